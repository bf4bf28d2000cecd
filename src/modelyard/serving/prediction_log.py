"""What a service answered, as Parquet: the other half of drift detection.

    <folder>/date=2026-01-31/hour=13/<package>-<uuid>.parquet

Rows are the family's described columns, with _id, _time (UTC, ISO 8601), _package, _family and _latency_ms.
A column that held nothing in a whole file is absent from that file.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from modelyard.package import Package
from modelyard.tables import read_parquet, write_parquet

log = logging.getLogger("modelyard.serving")

_TICK_SECONDS = 0.25
"""How often the thread looks for rows when nobody wakes it."""


@dataclass(frozen=True)
class _Entry:
    id: str
    time: str
    latency_ms: float
    size: int
    requests: Sequence[BaseModel]
    answers: Sequence[BaseModel]


def _nowhere(outcome: str, rows: int) -> None:
    """Counts nothing."""


class PredictionLog:
    """Writes in a thread of its own, so that no request waits or fails; what it cannot keep is counted.

    A batch is written when it has `batch_rows`, or `seconds` after its first row; `close` writes the rest.
    At most `capacity_rows` rows and `capacity_bytes` of request bodies wait.
    """

    def __init__(
        self,
        folder: Path,
        package: Package,
        *,
        batch_rows: int = 2_000,
        seconds: float = 5.0,
        capacity_rows: int = 20_000,
        capacity_bytes: int = 64 * 2**20,
    ) -> None:
        self.folder = Path(folder)
        self.observe: Callable[[str, int], None] = _nowhere
        self.written = self.dropped = 0
        self._host, self._info = package.host, package.info
        self._hidden = _with_aliases(package.host.Request, package.host.sensitive)
        self._batch_rows, self._seconds = batch_rows, seconds
        self._capacity_rows, self._capacity_bytes = capacity_rows, capacity_bytes
        self._entries: deque[_Entry] = deque()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._waiting_rows = self._waiting_bytes = 0
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="prediction-log", daemon=True)
        self._thread.start()

    def add(
        self,
        call: str,
        received: datetime,
        latency_ms: float,
        requests: Sequence[BaseModel],
        answers: Sequence[BaseModel],
        *,
        size: int = 0,
    ) -> None:
        """Takes the examples and answers of one request of `size` bytes; returns at once."""
        stamp = received.astimezone(UTC).isoformat(timespec="milliseconds")
        entry = _Entry(call, stamp, latency_ms, size, requests, answers)
        with self._lock:
            fits = (
                not self._closed
                and self._waiting_rows + len(requests) <= self._capacity_rows
                and self._waiting_bytes + size <= self._capacity_bytes
            )
            if fits:
                self._waiting_rows += len(requests)
                self._waiting_bytes += size
                self._entries.append(entry)
        if not fits:
            self._count("dropped", len(requests))
        # Waking the thread costs more than the rest of this; it looks by itself when there is no hurry.
        if self._waiting_rows >= self._batch_rows or self._waiting_bytes * 4 >= self._capacity_bytes:
            self._wake.set()

    def close(self, timeout: float = 20.0) -> None:
        """Writes all that was taken, and ends the thread; waits for it at most `timeout` seconds."""
        with self._lock:
            self._closed = True
        self._wake.set()
        self._thread.join(timeout)

    def _work(self) -> None:
        rows: list[dict[str, Any]] = []
        due = math.inf
        while True:
            self._wake.wait(min(_TICK_SECONDS, self._seconds))
            self._wake.clear()
            last = self._closed  # read before the queue is emptied: nothing is added once it is set
            while self._entries and len(rows) < self._batch_rows:
                due = due if rows else time.monotonic() + self._seconds
                rows += self._rows(self._entries.popleft())
            if self._entries:
                self._wake.set()
            if rows and (last or len(rows) >= self._batch_rows or time.monotonic() >= due):
                self._write(rows)
                rows = []
            if last and not self._entries:
                return

    def _rows(self, entry: _Entry) -> list[dict[str, Any]]:
        many = len(entry.requests) > 1
        rows = []
        try:
            for number, (request, answer) in enumerate(zip(entry.requests, entry.answers, strict=True)):
                described = self._host.describe(request, answer)
                row = {name: _plain(value) for name, value in described.items() if name not in self._hidden}
                rows.append(row | self._own(entry, f"{entry.id}-{number}" if many else entry.id))
        except Exception:
            log.exception("the prediction log drops a request that %s.describe fails on", type(self._host).__name__)
            self._release(len(entry.requests), entry.size)
            self._count("dropped", len(entry.requests))
            return []
        self._release(0, entry.size)
        return rows

    def _own(self, entry: _Entry, row_id: str) -> dict[str, Any]:
        info = self._info
        return {"_id": row_id, "_time": entry.time, "_package": info.version, "_family": info.family,
                "_latency_ms": round(entry.latency_ms, 4)}  # fmt: skip

    def _write(self, rows: list[dict[str, Any]]) -> None:
        for hour, group in groupby(sorted(rows, key=_hour), key=_hour):
            batch = _without_empty_columns(list(group))
            name = f"{self._info.version}-{uuid.uuid4().hex}.parquet"
            try:
                write_parquet(batch, self.folder / f"date={hour[:10]}" / f"hour={hour[11:13]}" / name)
                outcome = "written"
            except Exception as error:  # a full disk, a lost mount, a value no column takes: the service goes on
                log.warning("the prediction log drops %d rows: %s", len(batch), error)
                outcome = "dropped"
            self._count(outcome, len(batch))
        self._release(len(rows), 0)

    def _release(self, rows: int, size: int) -> None:
        with self._lock:
            self._waiting_rows -= rows
            self._waiting_bytes -= size

    def _count(self, outcome: str, rows: int) -> None:
        with self._lock:
            if outcome == "written":
                self.written += rows
            else:
                self.dropped += rows
        self.observe(outcome, rows)


def read_log(folder: Path, since: datetime | None = None, package: str | None = None) -> dict[str, list[Any]]:
    """Logged rows by column, from `since` on, of one package version or of all; nothing logged: an empty dict.

    A column that held nothing in all of these rows is absent.
    """
    hour, where = "", "true"
    if since is not None:
        stamp = since.astimezone(UTC).isoformat(timespec="milliseconds")
        hour, where = stamp[:13], f"_time >= '{stamp}'"
    files = sorted(Path(folder).glob(f"date=*/hour=*/{package or '*'}-*.parquet"))
    files = [file for file in files if _partition(file) >= hour]
    if not files:
        return {}
    columns = read_parquet(files, where)
    return columns if columns["_id"] else {}


def _partition(file: Path) -> str:
    return f"{file.parts[-3].removeprefix('date=')}T{file.parts[-2].removeprefix('hour=')}"


def _hour(row: dict[str, Any]) -> str:
    return str(row["_time"])[:13]


def _plain(value: Any) -> float | str | None:
    """As Parquet takes it: NaN and infinities count as missing."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, int | float) else str(value)


def _without_empty_columns(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same columns in each row, and none that is all None: it has no type yet, and as text here it would turn
    the numbers of other files into text when they are read together."""
    names = dict.fromkeys(name for row in rows for name, value in row.items() if value is not None)
    return [{name: row.get(name) for name in names} for row in rows]


def _with_aliases(request: type[BaseModel], names: Iterable[str]) -> frozenset[str]:
    fields = request.model_fields
    aliases = {fields[name].alias or name for name in names if name in fields}
    fields_of = {name for name, field in fields.items() if field.alias in set(names)}
    return frozenset(names) | aliases | fields_of
