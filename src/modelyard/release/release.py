"""Brings a package to a cluster as a Helm release, makes sure that it serves, and goes back
where it does not."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from modelyard.doctor.inspect import Reader
from modelyard.errors import ModelyardError, Unavailable
from modelyard.kubernetes.client import Pace
from modelyard.release.candidate import Candidate
from modelyard.release.helm import Helm, Revision, Say, serving
from modelyard.release.judge import Judge
from modelyard.release.lease import Lease
from modelyard.release.noted import Release
from modelyard.release.smoke import Rollout
from modelyard.release.store import publish
from modelyard.release.values import digest_of, wanted_values
from modelyard.settings.serve import ServeSettings
from modelyard.store import artifact

NOTHING = "There was no earlier one: nothing is released"


class Releaser:
    """One release, in the namespace where it is."""

    def __init__(self, settings: ServeSettings, say: Say, pace: Pace | None = None) -> None:
        """Raises UsageError: no helm, no cluster is known."""
        assert settings.release is not None, "without a release there is nothing to bring anywhere"
        self.settings, self.say, self.name = settings, say, settings.release
        self.reader = Reader(settings.namespace, pace or Pace())
        self.helm = Helm(self.name, self.reader.namespace)
        self.judge = Judge(self.helm, self.reader, settings, say)
        self.candidate = Candidate(self.name, self.reader, settings, say)
        self.called = self.judge.called

    def bring(self, package: Path, name: str) -> Release:
        """Serves a package, once a candidate has shown that its pods start and answer as it does.

        A release that has this very package and these values is checked, not made again.

        Raises:
            ModelyardError: it does not serve, and why; what served before still does.
        """
        uri = publish(package, self.settings.packages, name)
        with self._held() as lease:
            self._bring(package, uri, lease)
            revision = self._deployed()
        self.say(f"{self.called}: revision {revision} serves {uri}")
        return self._release(revision, uri)

    def back_to(self, package: Path, name: str) -> Release:
        """Serves an earlier package again: helm's own revision of it where there is one, else as
        a new one."""
        digest = artifact.read_manifest(package).digest
        # Before its history is read: until then another deploy may change it.
        with self._held() as lease:
            for revision in reversed(self._mended(lease.stopped)):
                if revision.served and self._digest(revision) == digest:
                    self._back_to(revision, package)
                    uri = str(self.helm.values(revision.revision)["package"]["uri"])
                    return self._release(self._deployed(), uri)
        return self.bring(package, name)

    def serves(self) -> str:
        """Digest of the package that the release serves by helm's own account; empty where there
        is no release."""
        now = serving(self.helm.history())
        if now:
            return self._digest(now)
        return ""

    def half_done(self) -> str | None:
        """What a deploy that was stopped left, or one at work has not finished; None where there
        is nothing."""
        history = self.helm.history()
        found = []
        if _is_half_done(history):
            found.append(f"revision {history[-1].revision} is {history[-1].status}")
        if self.candidate.is_left():
            found.append(f"{self.candidate.helm.release} is there")
        if (held := self.lease().read()) is not None:
            holder = held.get("holder") or "a process that was stopped"
            found.append(f"a deploy by {holder} did not end (last seen {held.get('renewed')})")
        return "; ".join(found) or None

    def lease(self) -> Lease:
        """Who changes the release now."""
        return Lease(self.reader, self.name, self.say)

    def mend(self) -> bool:
        """Puts right what a stopped deploy left; whether there was anything.

        Raises:
            Unavailable: a deploy is at work.
        """
        if self.half_done() is None:
            return False
        with self._held() as lease:
            self._mended(lease.stopped)
        return True

    def _bring(self, package: Path, uri: str, lease: Lease) -> None:
        digest = artifact.read_manifest(package).digest
        values = wanted_values(self.settings, uri, digest)
        history = self._mended(lease.stopped)
        good = serving(history)
        now = None if good is None else self.helm.values(good.revision)
        if now == values:
            assert good is not None
            self.say(f"{self.called}: revision {good.revision} has this package already")
            back, rollout = self._other(history, digest), self.judge.rollout()
            # Nothing new is started: the pods that are there already are those to judge.
            rollout.before = set()
        else:
            if self.settings.candidate:
                self._judge(package, values, now, good)
            # Judging took minutes, in which this process may have lost the lease.
            lease.check()
            rollout = self.judge.rollout()
            self._upgrade(values, good, rollout)
            back = good
        if problem := self.judge.check(package, rollout):
            raise self._undone(problem, back)

    def _judge(
        self,
        package: Path,
        values: Mapping[str, Any],
        now: Mapping[str, Any] | None,
        good: Revision | None,
    ) -> None:
        """Raises ModelyardError: the package must not serve."""
        uri, candidate = values["package"]["uri"], self.candidate
        self.say(f"{self.called}: {candidate.helm.release} tries {uri}, and serves nobody")
        problem = candidate.problem(package, values, now)
        if problem:
            still = NOTHING
            if good:
                still = (
                    f"Revision {good.revision} serves as before, package {self._digest(good)[:12]}"
                )
            raise ModelyardError(f"{self.called}: {problem}. {still}")

    def _upgrade(self, values: Mapping[str, Any], good: Revision | None, rollout: Rollout) -> None:
        self.say(f"{self.called}: helm brings {values['package']['uri']}")
        problem = self.judge.upgrade(values, rollout)
        if problem is None:
            return
        # Helm was killed before it had put things back.
        if good is not None and _is_half_done(self.helm.history()):
            raise self._undone(problem, good)
        where = self._rolled_back(good) if good else NOTHING
        raise ModelyardError(f"{self.called}: {problem}. {where}")

    def _back_to(self, found: Revision, package: Path) -> None:
        rollout = self.judge.rollout()
        if found.status != "deployed":
            self.helm.rollback(found.revision, self.settings.timeout_minutes)
        if problem := self.judge.check(package, rollout):
            raise ModelyardError(f"{self.called}: back at revision {found.revision}, but {problem}")

    def _undone(self, problem: str, good: Revision | None) -> ModelyardError:
        """Puts back what served before; the error that says both."""
        if good is None:
            self.helm.uninstall()
            return ModelyardError(
                f"{self.called}: {problem}. There was no earlier one: it is uninstalled"
            )
        self.helm.rollback(good.revision, self.settings.timeout_minutes)
        return ModelyardError(f"{self.called}: {problem}. {self._rolled_back(good)}")

    def _rolled_back(self, good: Revision) -> str:
        return f"Rolled back to revision {good.revision}, package {self._digest(good)[:12]}"

    def _other(self, history: list[Revision], digest: str) -> Revision | None:
        """The newest revision that served another package."""
        for revision in reversed(history):
            was_served = revision.served and revision.status != "deployed"
            if was_served and self._digest(revision) != digest:
                return revision
        return None

    def _mended(self, stopped: bool) -> list[Revision]:
        """The history, after what a killed deploy or helm left was put right.

        Raises:
            Unavailable: another helm is at work.
        """
        if self.candidate.is_left():
            self.say(f"{self.called}: removing {self.candidate.helm.release}, which was left there")
            self.candidate.remove()
        history = self.helm.history()
        if not _is_half_done(history):
            return history
        last, good = history[-1], self._target(history)
        young = _age(last.updated) < self.settings.timeout_minutes * 60
        if last.status.startswith("pending") and young and not stopped:
            # Nobody of ours holds the release: a person's helm may be at work. Rolled back without
            # a revision, helm installs the one before the last, which may have failed.
            back = f"rollback {self.name} {good.revision}" if good else f"uninstall {self.name}"
            raise Unavailable(
                f"{self.called}: another helm is at work (revision {last.revision} is "
                f"{last.status}). Try again later; if it was killed: "
                f"helm -n {self.reader.namespace} {back}"
            )
        place = f"back to revision {good.revision}" if good else "uninstalling it"
        self.say(f"{self.called}: revision {last.revision} was left {last.status}: {place}")
        if good is None:
            self.helm.uninstall()
        else:
            self.helm.rollback(good.revision, self.settings.timeout_minutes)
        return self.helm.history()

    def _target(self, history: list[Revision]) -> Revision | None:
        """Which revision puts a half-done release right: a rollback is finished, anything else
        undone."""
        last, earlier = history[-1], history[:-1]
        if last.status == "pending-rollback":
            values = self.helm.values(last.revision)
            for revision in reversed(earlier):
                if revision.served and self.helm.values(revision.revision) == values:
                    return revision
        return serving(earlier)

    @contextmanager
    def _held(self) -> Iterator[Lease]:
        """While this process alone changes the release."""
        with _ended_by_sigterm(), self.lease() as lease:
            yield lease

    def _release(self, revision: int, uri: str) -> Release:
        namespace = self.reader.namespace
        return Release(settings=self.settings, namespace=namespace, revision=revision, uri=uri)

    def _digest(self, revision: Revision) -> str:
        return digest_of(self.helm.values(revision.revision))

    def _deployed(self) -> int:
        deployed = [
            revision.revision for revision in self.helm.history() if revision.status == "deployed"
        ]
        return deployed[-1]


def _is_half_done(history: list[Revision]) -> bool:
    """Whether helm was ended before it had finished, or put back, the last revision."""
    return bool(history) and history[-1].status not in ("deployed", "uninstalled")


def _age(updated: str) -> float:
    """Seconds since a time that helm wrote, with nanoseconds."""
    return time.time() - datetime.fromisoformat(updated).timestamp()


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the helm that is at work too, and lets it put back what was there."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return

    def stop(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
