"""Brings a package to a cluster as a Helm release, makes sure that it serves, and goes back
where it does not."""

from __future__ import annotations

import json
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from modelyard.doctor.inspect import Reader
from modelyard.errors import ModelyardError, Unavailable, UsageError
from modelyard.home import source_root
from modelyard.kubernetes.client import Pace
from modelyard.packages.package import read_info
from modelyard.release.helm import Helm, Revision
from modelyard.release.smoke import Rollout, ask_golden, cause_of
from modelyard.release.store import publish, read_values
from modelyard.settings.serve import ServeSettings
from modelyard.store import artifact

Say = Callable[[str], None]


class Release(BaseModel):
    """A release as a deploy left it; kept with the registered version, so that a rollback finds
    it."""

    model_config = ConfigDict(frozen=True)

    settings: ServeSettings
    namespace: str
    revision: int
    uri: str
    """Where the pods fetched the package."""

    @property
    def called(self) -> str:
        """`models/payments`."""
        return f"{self.namespace}/{self.settings.release}"


class Releaser:
    """One release, in the namespace where it is."""

    def __init__(self, settings: ServeSettings, say: Say, pace: Pace | None = None) -> None:
        """Raises UsageError: no helm, no cluster is known."""
        assert settings.release is not None, "without a release there is nothing to bring anywhere"
        self.settings, self.say, self.name = settings, say, settings.release
        self.reader = Reader(settings.namespace, pace or Pace())
        self.helm = Helm(self.name, self.reader.namespace)
        self.called = f"release {self.reader.namespace}/{self.name}"

    def bring(self, package: Path, name: str) -> Release:
        """Serves a package; where its pods do not start or answer otherwise, serves again what
        served before.

        A release that has this very package and these values is checked, not made again.

        Raises:
            ModelyardError: it does not serve, and why; what served before does so again.
        """
        uri = publish(package, self.settings.packages, name)
        digest = artifact.read_manifest(package).digest
        values = wanted_values(self.settings, uri, digest)
        with _ended_by_sigterm():
            history = self._unblocked()
            good = next((one for one in reversed(history) if one.status == "deployed"), None)
            rollout = Rollout(self.reader, self.name, self.settings.failing_minutes)
            if good is None or self.helm.values(good.revision) != values:
                self._upgrade(values, good, rollout)
                back = good
            else:
                self.say(f"{self.called}: revision {good.revision} has this package already")
                back, rollout.before = self._other(history, digest), set()
            if problem := self._check(package, rollout):
                raise self._undone(problem, back)
        revision = self._deployed()
        self.say(f"{self.called}: revision {revision} serves {uri}")
        return Release(
            settings=self.settings, namespace=self.reader.namespace, revision=revision, uri=uri
        )

    def back_to(self, package: Path, name: str) -> Release:
        """Serves an earlier package again: helm's own revision of it where there is one, else as
        a new one."""
        digest = artifact.read_manifest(package).digest
        kept = [one for one in self._unblocked() if one.status in ("deployed", "superseded")]
        found = next(
            (one for one in reversed(kept) if _digest(self.helm.values(one.revision)) == digest),
            None,
        )
        if found is None:
            return self.bring(package, name)
        rollout = Rollout(self.reader, self.name, self.settings.failing_minutes)
        if found.status != "deployed":
            self.helm.rollback(found.revision, self.settings.timeout_minutes)
        if problem := self._check(package, rollout):
            raise ModelyardError(f"{self.called}: back at revision {found.revision}, but {problem}")
        uri = str(self.helm.values(found.revision)["package"]["uri"])
        return Release(
            settings=self.settings,
            namespace=self.reader.namespace,
            revision=self._deployed(),
            uri=uri,
        )

    def serves(self) -> str:
        """Digest of the package that the release serves by helm's own account; empty where there
        is no release."""
        deployed = [one for one in self.helm.history() if one.status == "deployed"]
        return _digest(self.helm.values(deployed[-1].revision)) if deployed else ""

    def _upgrade(self, values: Mapping[str, Any], good: Revision | None, rollout: Rollout) -> None:
        self.say(f"{self.called}: helm brings {values['package']['uri']}")
        chart, settings = chart_of(self.settings), self.settings
        problem = self.helm.upgrade(
            chart, settings.chart_version, values, settings.timeout_minutes, rollout
        )
        if problem is None:
            return
        if "timed out" in problem and rollout.seen:
            problem = cause_of(rollout.seen[0])
        now = [one for one in self.helm.history() if one.status == "deployed"]
        if good is not None and not now:
            raise self._undone(problem, good)  # helm was killed before it had put things back
        where = self._rolled_back(good) if good else "there was no earlier one: nothing is released"
        raise ModelyardError(f"{self.called}: {problem}. {where}")

    def _check(self, package: Path, rollout: Rollout) -> str | None:
        """Whether all pods are ready and answer as the package does; what is wrong, or None."""
        settings = self.settings
        if problem := rollout.wait(settings.timeout_minutes * 60):
            return problem
        if rollout.at_zero():
            self.say(f"{self.called}: it is scaled to zero, so that no pod can be tested")
            return None
        if settings.smoke == "helm":
            return self._test()
        if settings.smoke == "proxy":
            return self._ask(package)
        return None

    def _ask(self, package: Path) -> str | None:
        """The package's own example through the API; where that is closed, by the chart's own
        test."""
        golden, version = golden_of(package), read_info(package).version
        try:
            return ask_golden(self.reader, self.name, golden, version, self.settings.tolerance)
        except (PermissionError, TimeoutError) as closed:
            self.say(
                f"{self.called}: cannot ask through the API: {closed}. Asking by helm test instead"
            )
            problem = self._test()
            return (
                f"cannot ask through the API: {closed}. Nor by helm test: {problem}"
                if problem
                else None
            )

    def _test(self) -> str | None:
        """The chart's own test pod; what it said last, where it failed."""
        if not (self.helm.values(self._deployed()).get("tests") or {}).get("enabled", True):
            return "the release's values have tests.enabled=false, so that helm test asks nothing: set it to true"
        problem = self.helm.test(self.settings.timeout_minutes)
        pod = re.search(r"\bpod (\S+) failed", problem or "")
        said = self.reader.cluster.last_line(pod[1], "golden", previous=False) if pod else ""
        return f"{problem}: {said}" if said else problem

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
        return f"Rolled back to revision {good.revision}, package {_digest(self.helm.values(good.revision))[:12]}"

    def _other(self, history: list[Revision], digest: str) -> Revision | None:
        """The newest revision that served another package."""
        kept = [one for one in history if one.status == "superseded"]
        return next(
            (one for one in reversed(kept) if _digest(self.helm.values(one.revision)) != digest),
            None,
        )

    def _unblocked(self) -> list[Revision]:
        """The history; where a helm was killed in the midst of its work long ago, what it left is
        put back first.

        Raises:
            Unavailable: another helm is at work.
        """
        history = self.helm.history()
        if not history or not history[-1].status.startswith("pending"):
            return history
        last, good = (
            history[-1],
            next((one for one in reversed(history) if one.status == "deployed"), None),
        )
        if _age(last.updated) < self.settings.timeout_minutes * 60:
            # A first install has no revision to go back to: helm's own word is "release: not
            # found".
            back = f"rollback {self.name} {good.revision}" if good else f"uninstall {self.name}"
            raise Unavailable(
                f"{self.called}: another deploy is at work (revision {last.revision} is {last.status}). "
                f"Try again later; if it was killed: helm -n {self.reader.namespace} {back}"
            )
        self.say(
            f"{self.called}: revision {last.revision} was left {last.status}; putting it right"
        )
        self.helm.uninstall() if good is None else self.helm.rollback(
            good.revision, self.settings.timeout_minutes
        )
        return self.helm.history()

    def _deployed(self) -> int:
        return next(
            one.revision for one in reversed(self.helm.history()) if one.status == "deployed"
        )


def wanted_values(settings: ServeSettings, uri: str, digest: str) -> dict[str, Any]:
    """The values of a release: the file's, over them those of the settings, over them the package.

    A tolerance of the settings holds for the chart's test as well, unless the values name one for
    it.
    """
    own = settings.tolerance != ServeSettings.model_fields["tolerance"].default
    values: dict[str, Any] = {"tests": {"tolerance": settings.tolerance}} if own else {}
    for more in (read_values(settings.values_file), settings.values):
        values = _over(values, more)
    return _over(values, {"package": {"uri": uri, "sha256": digest}})


def chart_of(settings: ServeSettings) -> str:
    """The chart of a model: the setting's, else modelyard's own.

    Raises:
        UsageError: the setting names a folder or a file that is not there.
    """
    if settings.chart is None:
        return str(source_root() / "charts" / "model")
    if "://" not in settings.chart and not Path(settings.chart).exists():
        raise UsageError(f"serve.chart {settings.chart}: there is no such folder or file")
    return settings.chart


def golden_of(package: Path) -> dict[str, Any]:
    """The package's own example and its answer."""
    golden: dict[str, Any] = json.loads((package / "golden.json").read_text())
    return golden


def _over(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in over.items():
        old = merged.get(name)
        merged[name] = (
            _over(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
        )
    return merged


def _digest(values: Mapping[str, Any]) -> str:
    return str((values.get("package") or {}).get("sha256", ""))


def _age(updated: str) -> float:
    """Seconds since a time that helm wrote, with nanoseconds."""
    head, dot, rest = updated.partition(".")
    zone = rest.lstrip("0123456789") if dot else ""
    return time.time() - datetime.fromisoformat(head + zone).astimezone(UTC).timestamp()


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
