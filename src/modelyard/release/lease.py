"""Who deploys to a release now: a ConfigMap whose holder renews it, so that a deploy that was
killed can be distinguished from one at work."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from modelyard.doctor.inspect import Reader
from modelyard.errors import ModelyardError, Unavailable, UsageError
from modelyard.kubernetes.refusals import message_of
from modelyard.release.helm import Say

BEAT = 4.0
"""Seconds between two renewals."""
LAPSE = 15.0
"""Seconds without a renewal after which the holder counts as dead."""


def lease_name(release: str) -> str:
    """The ConfigMap of a release."""
    return f"{release}-deploying"


class Lease:
    """Held while a release is changed. It only keeps two deploys out of each other's way: what
    serves is right without it.

    It is left behind by a deploy that was stopped midway, and so says that there is something to
    put right.
    """

    def __init__(self, reader: Reader, release: str, say: Say) -> None:
        self.reader, self.release, self.say = reader, release, say
        self.name = lease_name(release)
        self.holder = f"{socket.gethostname()}, process {os.getpid()}, {time.time_ns():x}"
        self.stopped = False
        """A deploy before this one was stopped midway."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> Lease:
        """Raises Unavailable: another deploy is at work; UsageError: this account may not see it."""
        while not self._create():
            found = self._found()
            if found is None:
                self._check_seen()
                continue
            seen = found.get("data") or {}
            is_free = not seen.get("holder") or self._is_dead(seen)
            if is_free and self._take_over(found):
                self.stopped = True
                break
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join(LAPSE)
        # Another deploy may have taken over while this one was out of reach: it keeps its lease.
        if error is None or isinstance(error, Exception):
            if self._is_held():
                self._delete()
        else:
            # SIGTERM or Ctrl-C: helm may not have put everything back. Whoever comes next looks.
            with suppress(Exception):
                if self._is_held(patience=1.0):
                    self._patch({"holder": ""}, patience=1.0)

    def check(self) -> None:
        """Raises Unavailable: another deploy took over, while this machine slept for instance."""
        holder = (self.read() or {}).get("holder")
        if holder != self.holder:
            raise Unavailable(
                f"release {self.reader.namespace}/{self.release}: another deploy took over while "
                f"this one was out of reach ({holder or 'nobody'} deploys now). Run the step again"
            )

    def read(self) -> dict[str, str] | None:
        """`holder` and `renewed`, as the ConfigMap has them; None where nobody deploys."""
        found = self._found()
        if found is None:
            return None
        return found.get("data") or {}

    def at_work(self) -> str | None:
        """Who deploys now, by the clocks of both machines; None where nobody does."""
        seen = self.read() or {}
        if not seen.get("holder"):
            return None
        age = datetime.now(UTC) - datetime.fromisoformat(seen["renewed"])
        # Generous, since the clocks of two machines differ.
        if age.total_seconds() < 2 * LAPSE:
            return seen["holder"]
        return None

    def _is_dead(self, seen: dict[str, str]) -> bool:
        """Waits until the holder renews the lease, or has had the time to.

        Raises:
            Unavailable: it lives.
        """
        called = f"release {self.reader.namespace}/{self.release}"
        self.say(f"{called}: a deploy by {seen.get('holder')} is not finished; is it at work?")
        # By change, not by time: the holder's clock may be wrong by more than a lapse.
        until = time.monotonic() + LAPSE
        while time.monotonic() < until:
            time.sleep(min(1.0, LAPSE / 10))
            now = self.read()
            if now is None or not now.get("holder"):
                # Handed back while we waited: deleted, it is created again; emptied, it is taken
                # over.
                return now is not None
            if now != seen:
                raise Unavailable(
                    f"{called}: another deploy is at work ({now['holder']}, seen at "
                    f"{now.get('renewed')}). Try again later"
                )
        return True

    def _renew(self) -> None:
        while not self._over.wait(BEAT):
            # A beat that fails is made up for by the next: LAPSE has room for three.
            with suppress(ModelyardError, *_answers()):
                if (self.read() or {}).get("holder") != self.holder:
                    return
                self._patch({"renewed": _now()}, patience=LAPSE)

    def _create(self) -> bool:
        from kubernetes.client import ApiException

        labels = {
            "app.kubernetes.io/managed-by": "modelyard",
            "app.kubernetes.io/part-of": "modelyard",
            "app.kubernetes.io/component": "lease",
        }
        body = {
            "metadata": {"name": self.name, "labels": labels},
            "data": {"holder": self.holder, "renewed": _now()},
        }
        try:
            self._call("create_namespaced_config_map", body)
        except ApiException as error:
            if error.status != 409:
                raise self._refused(error) from None
            return False
        return True

    @property
    def _path(self) -> str:
        return f"/api/v1/namespaces/{self.reader.namespace}/configmaps/{self.name}"

    def _found(self) -> dict[str, Any] | None:
        return self.reader.get(self._path)

    def _check_seen(self) -> None:
        """Raises UsageError where the API hides what is there: it would be asked for ever."""
        denied = self.reader.denied.get(self._path)
        if denied is not None:
            raise self._problem(f"403: {denied}")

    def _take_over(self, found: dict[str, Any]) -> bool:
        """False where the lease was changed after it was `found`, as by another deploy that waited
        for the same holder."""
        from kubernetes.client import ApiException

        # The API refuses a patch that names another version than the stored one.
        body = {
            "metadata": {"resourceVersion": found["metadata"]["resourceVersion"]},
            "data": {"holder": self.holder, "renewed": _now()},
        }
        try:
            self._call("patch_namespaced_config_map", body, named=True)
        except ApiException as error:
            if error.status not in (404, 409):
                raise self._refused(error) from None
            return False
        return True

    def _patch(self, data: dict[str, str], patience: float | None = None) -> None:
        self._call("patch_namespaced_config_map", {"data": data}, named=True, patience=patience)

    def _is_held(self, patience: float | None = None) -> bool:
        from kubernetes.client import ApiException

        try:
            seen = self._call("read_namespaced_config_map", named=True, patience=patience)
        except ApiException as error:
            if error.status != 404:
                raise self._refused(error) from None
            return False
        return (seen.data or {}).get("holder") == self.holder

    def _delete(self) -> None:
        from kubernetes.client import ApiException

        try:
            self._call("delete_namespaced_config_map", named=True)
        except ApiException as error:
            if error.status != 404:
                raise self._refused(error) from None

    def _call(
        self, method: str, body: Any = None, *, named: bool = False, patience: float | None = None
    ) -> Any:
        cluster, place = self.reader.cluster, [self.reader.namespace]
        if named:
            place.insert(0, self.name)
        with_body = {} if body is None else {"body": body}
        act = getattr(cluster.core, method)
        return cluster.call(f"ConfigMap {self.name}", lambda: act(*place, **with_body), patience)

    def _refused(self, error: Any) -> ModelyardError:
        return self._problem(f"{error.status}: {message_of(error)}")

    def _problem(self, answer: str) -> UsageError:
        return UsageError(
            f"release {self.reader.namespace}/{self.release}: ConfigMap {self.name}, which says who "
            f"deploys: {answer}. Deploying needs access.deployTo of charts/platform"
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _answers() -> tuple[type[Exception], ...]:
    from kubernetes.client import ApiException

    return (ApiException,)
