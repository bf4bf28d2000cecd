"""What a service answered, as Parquet: the other half of drift detection.

    <folder>/date=2026-01-31/hour=13/<package>-<uuid>.parquet
    <folder>/feedback/date=2026-01-31/hour=13/feedback-<uuid>.parquet

Rows are the family's described columns, with _id, _time (UTC, ISO 8601), _package, _family,
_latency_ms, _warnings (fields with commas between) and, where whole requests are logged, _request
(JSON, without sensitive fields); those of the feedback are _id, _time and _label. A column that held
nothing in a whole file is absent from that file.
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel

from modelyard.host import Host, cautions_of
from modelyard.packages.package import Package
from modelyard.predictions.files import FEEDBACK, Place, Writer, hour_of, iso, read_log

__all__ = ["PredictionLog", "read_log", "unlogged"]

log = logging.getLogger("modelyard.serving")

_TICK_SECONDS = 0.25
"""How often the thread looks for rows when nobody wakes it."""


_LABEL_BYTES = 200
"""What Python holds of a label besides its texts."""


class _Entry(NamedTuple):
    id: str
    time: float
    latency_ms: float
    size: int
    requests: Sequence[BaseModel]
    answers: Sequence[BaseModel]
    package: Package


class _Label(NamedTuple):
    id: str
    time: float
    label: float | str
    size: int


class _File(NamedTuple):
    """Which file a row belongs to: the hour, the folder within the log, the name's beginning;
    and the family."""

    hour: str
    folder: str
    stem: str
    family: str


class _Batch:
    """Rows of one file: what the family described, and the log's own columns."""

    def __init__(self, constant: dict[str, str], hidden: frozenset[str]) -> None:
        self.rows = 0
        self._names: tuple[str, ...] = ()
        self._described: list[tuple[Any, ...]] = []
        """What was described, a tuple of values a row: smaller than dicts, and turned into
        columns in one go."""
        self._own: dict[str, list[Any]] = {}
        self._constant, self._hidden = constant, hidden

    def add(self, described: Mapping[str, Any], **own: Any) -> None:
        """One row."""
        self.rows += 1
        if tuple(described) == self._names:
            self._described.append(tuple(described.values()))
        else:
            self._widen(described)
            self._described.append(tuple(map(described.get, self._names)))
        for name, value in own.items():
            self._own.setdefault(name, []).append(value)

    def columns(self) -> dict[str, Sequence[Any]]:
        """All of them, by name; a row without a column has None there."""
        found: dict[str, Sequence[Any]] = {}
        for name, values in zip(self._names, zip(*self._described, strict=True), strict=True):
            if name not in self._hidden:
                found[name] = values
        found |= self._own
        for name, value in self._constant.items():
            found[name] = [value] * self.rows
        return found

    def _widen(self, described: Mapping[str, Any]) -> None:
        """Makes room for columns that no row had before."""
        new = [name for name in described if name not in self._names]
        if new:
            self._names += tuple(new)
            self._described = [row + (None,) * len(new) for row in self._described]


def _nowhere(outcome: str, rows: int) -> None:
    """Counts nothing."""


class PredictionLog:
    """Writes in a thread of its own, so that no request waits or fails; what it cannot keep is
    counted.

    A batch is written when it has `batch_rows`, or `seconds` after its first row; `close` writes
    the rest. At most `capacity_rows` rows and `capacity_bytes` of request bodies wait. Of all
    requests the share `sample` is logged, as they came too where `whole` is set. `add` is called
    from one thread: it and the writer count apart, so that neither takes a lock.
    """

    def __init__(
        self,
        place: Place,
        package: Package,
        *,
        batch_rows: int = 2_000,
        seconds: float = 5.0,
        capacity_rows: int = 20_000,
        capacity_bytes: int = 64 * 2**20,
        sample: float = 1.0,
        whole: bool = False,
    ) -> None:
        self.place = place
        self.observe: Callable[[str, int], None] = _nowhere
        self.written = 0
        self._refused = self._lost = 0
        self._package, self._sample, self._whole = package, sample, whole
        self._batch_rows, self._seconds = batch_rows, seconds
        self._capacity_rows, self._capacity_bytes = capacity_rows, capacity_bytes
        self._entries: deque[_Entry | _Label] = deque()
        self._writer: Writer | None = None
        self._wake = threading.Event()
        self._rows_in = self._rows_out = self._bytes_in = self._bytes_out = 0
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="prediction-log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Rows that were not kept: too many waited, or they could not be described or written."""
        return self._refused + self._lost

    @property
    def waiting(self) -> int:
        """Rows that are not in a file yet."""
        return self._rows_in - self._rows_out

    def add(
        self,
        call: str,
        received: float,
        latency_ms: float,
        requests: Sequence[BaseModel],
        answers: Sequence[BaseModel],
        *,
        size: int = 0,
        package: Package | None = None,
    ) -> None:
        """Takes the examples and answers of one request of `size` bytes; returns at once.

        `received` is in seconds since 1970; `package` is what answered, the log's own where it is
        left out.
        """
        if self._sample < 1.0 and random.random() >= self._sample:  # noqa: S311 - a sample, not a secret
            return
        entry = _Entry(
            call, received, latency_ms, size, requests, answers, package or self._package
        )
        self._take([entry], len(requests), size)

    def feedback(self, labels: Mapping[str, float | str]) -> bool:
        """Takes labels of requests that were answered before, by their ids: all of them, or, where the
        log is full or closed, none and False."""
        now = time.time()
        entries = []
        total = 0
        for name, label in labels.items():
            size = _LABEL_BYTES + len(name)
            if isinstance(label, str):
                size += len(label)
            entries.append(_Label(name, now, label, size))
            total += size
        return self._take(entries, len(entries), total)

    def close(self, timeout: float = 20.0) -> None:
        """Writes all that was taken, and ends the thread; waits for it at most `timeout`
        seconds."""
        self._closed = True
        self._wake.set()
        self._thread.join(timeout)

    def _take(self, entries: Sequence[_Entry | _Label], rows: int, size: int) -> bool:
        # The writer may count out meanwhile: then there is more room than was seen, never less.
        waiting = self._rows_in - self._rows_out + rows
        held = self._bytes_in - self._bytes_out + size
        is_full = waiting > self._capacity_rows or held > self._capacity_bytes
        if is_full or self._closed:
            self._refused += rows
            self.observe("dropped", rows)
            return False
        # Counted before they can be taken, so that the difference is never negative.
        self._rows_in += rows
        self._bytes_in += size
        self._entries.extend(entries)
        # Waking the thread costs more than the rest of this; it looks by itself when there is no
        # hurry.
        is_large = waiting >= self._batch_rows or held * 4 >= self._capacity_bytes
        if is_large and not self._wake.is_set():
            self._wake.set()
        return True

    def _work(self) -> None:
        batches: dict[_File, _Batch] = {}
        due, rows = math.inf, 0
        while True:
            self._wake.wait(min(_TICK_SECONDS, self._seconds))
            self._wake.clear()
            last = self._closed  # read before the queue is emptied: nothing is added once it is set
            while self._entries and rows < self._batch_rows:
                if not rows:
                    due = time.monotonic() + self._seconds
                rows += self._describe(self._entries.popleft(), batches)
            if self._entries:
                self._wake.set()
            is_due = last or rows >= self._batch_rows or time.monotonic() >= due
            if rows and is_due:
                for file, batch in batches.items():
                    self._write(file, batch)
                batches, rows = {}, 0
            if last and not self._entries:
                break
        if self._writer is not None:
            self._writer.close()

    def _describe(self, entry: _Entry | _Label, batches: dict[_File, _Batch]) -> int:
        """Takes an entry into the batch of its file; returns how many rows it made."""
        hour, stamp = hour_of(entry.time), iso(entry.time)
        if isinstance(entry, _Label):
            batch = batches.setdefault(_File(hour, FEEDBACK, FEEDBACK, ""), _Batch({}, frozenset()))
            batch.add({}, _id=entry.id, _time=stamp, _label=entry.label)
            self._bytes_out += entry.size
            return 1
        info, host, many = entry.package.info, entry.package.host, len(entry.requests) > 1
        try:
            pairs = zip(entry.requests, entry.answers, strict=True)
            described = [host.describe(request, answer) for request, answer in pairs]
        except Exception:
            log.exception(
                "the prediction log drops a request that it cannot describe: %s", entry.id
            )
            self._rows_out += len(entry.requests)
            self._lose(len(entry.requests))
            return 0
        finally:
            self._bytes_out += entry.size
        file = _File(hour, "", info.version, info.family)
        # Not by setdefault, which would look up what must not be logged for each request.
        found = batches.get(file)
        if found is None:
            constant = {"_package": info.version, "_family": info.family}
            found = batches[file] = _Batch(constant, unlogged(host))
        latency = round(entry.latency_ms, 4)
        for number, row in enumerate(described):
            own: dict[str, Any] = {}
            if self._whole:
                own["_request"] = _whole(entry.requests[number], host)
            fields = {caution.field for caution in cautions_of(entry.answers[number])}
            own["_warnings"] = ", ".join(sorted(fields)) or None
            own["_id"] = f"{entry.id}-{number}" if many else entry.id
            found.add(row, **own, _time=stamp, _latency_ms=latency)
        return len(described)

    def _write(self, file: _File, batch: _Batch) -> None:
        try:
            if self._writer is None:
                self._writer = Writer(self.place)
            self._writer.write(batch.columns(), file.hour, file.stem, file.folder)
        except Exception as error:
            # A full disk, a lost mount, a value no column takes: the service continues.
            log.warning("the prediction log drops %d rows: %s", batch.rows, error)
            self._lose(batch.rows)
        else:
            self.written += batch.rows
            self.observe("written", batch.rows)
        self._rows_out += batch.rows

    def _lose(self, rows: int) -> None:
        self._lost += rows
        self.observe("dropped", rows)


def _whole(request: BaseModel, host: Host) -> str:
    """A request as it came, as JSON, without its sensitive fields."""
    hidden = unlogged(host)
    left_out = set()
    for name, field in type(request).model_fields.items():
        if name in hidden or field.alias in hidden:
            left_out.add(name)
    return request.model_dump_json(by_alias=True, exclude=left_out)


def unlogged(host: Host) -> frozenset[str]:
    """What must never be logged: `host.sensitive`, by the fields' own names and by their
    aliases, described under another name or not."""
    hidden = set(host.sensitive)
    for name, field in host.Request.model_fields.items():
        alias = field.alias or name
        if name in host.sensitive or alias in host.sensitive:
            hidden |= {name, alias}
    # As `described` calls an input that is named as a column of the log.
    return frozenset(hidden | {f"input.{name}" for name in hidden})
