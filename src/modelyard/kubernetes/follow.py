"""Keeping up with a cluster: objects by list and watch, a container's log by follow; both
survive lost connections."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeAlias

from modelyard.errors import ModelyardError, Unavailable
from modelyard.kubernetes.client import PASSING, Cluster, Object, retry_after
from modelyard.kubernetes.refusals import refusal

Moment: TypeAlias = tuple[int, int]
"""Seconds since 1970, and nanoseconds."""
_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)")


class Watched(threading.Thread):
    """Objects that a query finds, as they are now. `open_stream(**query)` is a list or watch
    call of `Cluster`."""

    def __init__(
        self, cluster: Cluster, what: str, open_stream: Callable[..., Any], changed: threading.Event
    ) -> None:
        """`changed` is set whenever there is something new."""
        super().__init__(daemon=True, name=what)
        self.cluster, self.what = cluster, what
        self.open_stream, self.changed = open_stream, changed
        self.stopped, self.listed = threading.Event(), threading.Event()
        self.error: ModelyardError | None = None
        self._objects: dict[str, Object] = {}
        self._gone: dict[str, Object] = {}
        self._lock = threading.Lock()

    def objects(self) -> list[Object]:
        """Those that are there, by name.

        Raises:
            ModelyardError: no one can tell any more.
        """
        if self.error:
            raise self.error
        with self._lock:
            return [self._objects[name] for name in sorted(self._objects)]

    def gone(self) -> list[Object]:
        """Those that were deleted while one watched, as they were last."""
        with self._lock:
            return list(self._gone.values())

    def forget(self) -> None:
        """Forgets those that were deleted."""
        with self._lock:
            self._gone = {}

    def stop(self) -> None:
        """Ends the thread, at the latest when its watch ends."""
        self.stopped.set()

    def run(self) -> None:
        """Lists, then watches from there; lists again where the API has forgotten that state."""
        version, failures, answered = "", 0, time.monotonic()
        while not self.stopped.is_set():
            problem, wanted = "", None
            try:
                version = self._watch(version) if version else self._list()
                failures, answered = 0, time.monotonic()
            except Exception as error:
                problem, wanted = self._problem(error)
                version = "" if problem == "gone" else version
            # "gone" is an answer: the next turn lists at once, without a wait.
            settled = problem in ("", "gone")
            if settled or self.error:
                continue
            failures += 1
            if time.monotonic() - answered > self.cluster.pace.patience:
                self._fail(
                    Unavailable(
                        f"{self.what}: the Kubernetes API does not answer any more ({problem[:200]})"
                    )
                )
            wait = self.cluster.pace.wait(failures)
            if wanted is not None:
                wait = min(wanted, self.cluster.pace.longest)
            self.stopped.wait(wait)

    def _problem(self, error: Exception) -> tuple[str, float | None]:
        """What went wrong, and the requested wait; an error that will not pass ends the
        thread."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        if isinstance(error, ApiException):
            if error.status in (401, 410):  # listing asks with fresh credentials
                return "gone", None
            if error.status not in PASSING:
                self._fail(refusal(error, self.what, self.cluster))
            return f"{error.status} {error.reason}", retry_after(error.headers)
        if isinstance(error, HTTPError | json.JSONDecodeError):
            return f"{type(error).__name__}: {error}", None
        if isinstance(error, ModelyardError):
            self._fail(error)
            return str(error), None
        # A defect of ours: whoever waits for objects gets one line, the thread's traceback the
        # place.
        self._fail(Unavailable(f"{self.what}: {type(error).__name__}: {error}"))
        raise error

    def _fail(self, error: ModelyardError) -> None:
        # The error first: whoever `changed` wakes looks for it.
        self.error = error
        self.stopped.set()
        self.changed.set()

    def _list(self) -> str:
        response = self.cluster.call(self.what, lambda: self.open_stream(_request_timeout=(10, 60)))
        found = json.loads(response.data)
        with self._lock:
            now = {item["metadata"]["name"]: item for item in found["items"]}
            # What went while nobody watched; under its name there may be another one by now.
            for name, known in self._objects.items():
                if name not in now or _uid(now[name]) != _uid(known):
                    self._gone[_uid(known)] = known
            self._objects = now
        self.listed.set()
        self.changed.set()
        return str(found["metadata"]["resourceVersion"])

    def _watch(self, version: str) -> str:
        """Watches from a version until the connection ends; returns the version to continue from,
        empty to list again."""
        pace, began = self.cluster.pace, time.monotonic()
        response = self.open_stream(
            watch=True,
            resource_version=version,
            # Bookmarks move the version forward while nothing changes; a version that nobody moves
            # expires, and all is listed again.
            allow_watch_bookmarks=True,
            timeout_seconds=pace.watch,
            # The server ends a watch itself; ten seconds later its connection is known to be dead.
            _request_timeout=(10, pace.watch + 10),
        )
        try:
            for line, _ in lines_of(response):
                if self.stopped.is_set():
                    break
                event = json.loads(line)
                # A version that the API has forgotten: said within a stream of status 200 here, as
                # status 410 elsewhere (`_problem`).
                if event["type"] == "ERROR":
                    return ""
                version = self._take(event["type"], event["object"])
        finally:
            response.close()
        # A proxy that ends every watch at once must not be called without pause.
        self.stopped.wait(max(0.0, pace.backoff - (time.monotonic() - began)))
        return version

    def _take(self, kind: str, thing: Object) -> str:
        with self._lock:
            if kind == "DELETED":
                self._objects.pop(thing["metadata"]["name"], None)
                self._gone[_uid(thing)] = thing
            elif kind != "BOOKMARK":
                self._objects[thing["metadata"]["name"]] = thing
        self.changed.set()
        return str(thing["metadata"]["resourceVersion"])


class Log(threading.Thread):
    """A container's log, line by line from its start, each once in spite of lost
    connections."""

    def __init__(
        self, cluster: Cluster, pod: str, container: str, say: Callable[[str], None]
    ) -> None:
        super().__init__(daemon=True, name=f"log of {pod}")
        self.cluster, self.pod, self.container, self.say = cluster, pod, container, say
        self.over, self.stopped = threading.Event(), threading.Event()
        self._time: Moment | None = None
        self._seen = 0

    def stop(self) -> None:
        """Ends the thread without the rest."""
        self.stopped.set()
        self.over.set()

    def end(self, seconds: float) -> None:
        """Waits for the rest of the log of a container that ended, at most so long."""
        self.over.set()
        self.join(seconds)
        self.stopped.set()

    def run(self) -> None:
        """Follows until `end` was called and all has been read, or the pod is gone."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError, ReadTimeoutError

        failures = 0
        while not self.stopped.is_set():
            # Before reading: what is written by then is all that there will be.
            complete = self.over.is_set()
            before = (self._time, self._seen)
            try:
                self._read(complete)
                if complete:
                    return
            except ApiException as error:
                # 404: the pod is gone, and its log with it. Of a container that ended there is no
                # second chance either, unless the API is only busy.
                refused = complete and error.status not in PASSING
                if error.status == 404 or refused:
                    return
            except ReadTimeoutError:  # it had nothing to say for a while
                failures = 0
            except HTTPError:  # the stream broke: continue where it was
                pass
            has_read = before != (self._time, self._seen)
            failures = 1 if has_read else failures + 1
            if complete:
                time.sleep(self.cluster.pace.backoff)
            else:
                self.over.wait(self.cluster.pace.wait(failures))

    def _read(self, complete: bool) -> None:
        query = {} if complete else {"follow": "true"}
        if self._time:
            # The API knows no fractions of a second, so some lines come again.
            since = datetime.fromtimestamp(self._time[0], UTC)
            query["sinceTime"] = f"{since:%Y-%m-%dT%H:%M:%SZ}"
        response = self.cluster.open_log(self.pod, self.container, **query)
        repeated = 0
        try:
            for line, whole in lines_of(response):
                if self.stopped.is_set():
                    return
                stamp, _, text = line.partition(" ")
                moment = _moment(stamp)
                # What the stream cut off is read whole the next time, if there is a next time.
                usable = whole or complete
                if moment is None or not usable:
                    continue
                if self._time and moment < self._time:
                    continue
                # Lines of one moment are distinguished by their number.
                repeated = repeated + 1 if moment == self._time else 1
                if moment == self._time and repeated <= self._seen:
                    continue
                self._time, self._seen = moment, repeated
                self.say(text)
        finally:
            response.close()


def lines_of(response: Any) -> Iterator[tuple[str, bool]]:
    """Lines of a streamed response as they come, without their ends; False with one that the
    stream cut off."""
    rest = b""
    # A chunk ends anywhere, within a UTF-8 character too: only whole lines are decoded.
    for chunk in response.stream(amt=None, decode_content=False):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield line.decode(errors="replace"), True
    if rest.strip():
        yield rest.decode(errors="replace"), False


def _moment(stamp: str) -> Moment | None:
    """`2026-11-22T02:30:00.5Z` in a form that can be compared; None for what is no time (a
    node's own complaint)."""
    found = _STAMP.fullmatch(stamp)
    if not found:
        return None
    second = datetime.fromisoformat(found[1] + found[3]).timestamp()
    # Nanoseconds, of which the kubelet drops zeros at the end and `datetime` keeps six digits.
    return int(second), int(f"{found[2] or '':0<9}"[:9])


def _uid(thing: Object) -> str:
    return str(thing["metadata"]["uid"])
