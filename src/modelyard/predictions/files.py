"""Files of the prediction log: columns to Parquet in a folder or an object store, and back."""

from __future__ import annotations

import functools
import math
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import compress
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.store.tables import connect, read_parquet

Place = Path | str
"""A folder, or the URI of one that fsspec knows."""
FEEDBACK = "feedback"
"""Folder of the labels that came later, within the log's."""

Columns = Mapping[str, Sequence[Any]]
"""Values by column, all of the same length."""


class Writer:
    """Writes files of the log with one DuckDB, which takes longer to open than a file to write;
    for one thread."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._database = connect()
        self._database.execute("SET threads = 1")

    def write(self, columns: Columns, hour: str, stem: str, within: str = "") -> None:
        """Writes `date=…/hour=…/<stem>-<uuid>.parquet`, whole or not at all; `hour` is
        `2026-01-31T13`.

        Numbers are DOUBLE, a column with anything else is VARCHAR. A column that holds nothing is
        left out: it has no type yet, and as text here it would turn the numbers of other files into
        text when they are read together.
        """
        found = {}
        for name, values in columns.items():
            array = _column(values)
            if array is not None:
                found[name] = array
        inside = f"date={hour[:10]}/hour={hour[11:13]}/{stem}-{uuid.uuid4().hex}.parquet"
        if within:
            inside = f"{within}/{inside}"
        if isinstance(self._place, Path):
            self._write_whole(found, self._place / inside)
        else:
            self._upload(found, self._place, inside)

    def close(self) -> None:
        """Lets go of the database."""
        self._database.close()

    def _upload(self, columns: dict[str, np.ndarray], place: str, inside: str) -> None:
        import fsspec

        files, root = fsspec.core.url_to_fs(place)
        with tempfile.TemporaryDirectory() as work:
            local = Path(work) / "rows.parquet"
            self._write(columns, local)
            target = f"{root.rstrip('/')}/{inside}"
            files.makedirs(target.rpartition("/")[0], exist_ok=True)
            files.put_file(str(local), target)

    def _write_whole(self, columns: dict[str, np.ndarray], file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Drift reads while the service writes: the rename shows it the whole file or none. Killed
        # before that, the part stays, and its reader counts it as half-written.
        part = file.with_name(f".{file.name}.part")
        try:
            self._write(columns, part)
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)

    def _write(self, columns: dict[str, np.ndarray], file: Path) -> None:
        quoted = str(file).replace("'", "''")
        self._database.register("rows", columns)
        try:
            self._database.execute(f"COPY (SELECT * FROM rows) TO '{quoted}' (FORMAT parquet)")  # noqa: S608
        finally:
            self._database.unregister("rows")


def read_log(
    folder: Path, since: datetime | None = None, package: str | None = None
) -> dict[str, list[Any]]:
    """Logged rows by column, from `since` on, of one package version or of all; nothing logged: an
    empty dict.

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


def read_labelled(
    folder: Path, since: datetime | None = None, package: str | None = None
) -> dict[str, list[Any]]:
    """Logged rows whose label came by feedback, with the label as `_label`; of several labels
    the last counts."""
    rows, labels = read_log(folder, since, package), read_log(Path(folder) / FEEDBACK)
    if not rows or not labels:
        return {}
    came = zip(labels["_time"], labels["_id"], labels["_label"], strict=True)
    known = {}
    # By time, so that of several labels the last one stays; files come in no such order.
    for _, name, label in sorted(came, key=itemgetter(0)):
        known[name] = label
    is_known = [name in known for name in rows["_id"]]
    if not any(is_known):
        return {}
    found = {name: list(compress(values, is_known)) for name, values in rows.items()}
    found["_label"] = [known[name] for name in found["_id"]]
    return found


def hour_of(stamp: float) -> str:
    """The partition of a time in seconds since 1970."""
    return _second(round(stamp * 1e6) // 1_000_000)[:13]


def iso(stamp: float) -> str:
    """A time in seconds since 1970 as the log writes it."""
    # Rounded once, to whole microseconds: a float's 12.999999999 must not be in two seconds.
    second, micro = divmod(round(stamp * 1e6), 1_000_000)
    return f"{_second(second)}.{micro // 1000:03d}+00:00"


@functools.lru_cache(maxsize=64)
def _second(stamp: int) -> str:
    """A time to the second; requests come many to one."""
    return datetime.fromtimestamp(stamp, UTC).isoformat()[:19]


_NUMBERS = frozenset({float, int, type(None)})


def _column(values: Sequence[Any]) -> np.ndarray | None:
    """A column as a file takes it: NaN and infinities count as missing. None: it holds nothing."""
    # By the types and not each value: nearly every column is of numbers or None already.
    if not set(map(type, values)) <= _NUMBERS:
        values = [value.item() if isinstance(value, np.generic) else value for value in values]
    if set(map(type, values)) <= _NUMBERS:
        numbers = np.array(values, np.float64)
        numbers[~np.isfinite(numbers)] = math.nan
        if np.isnan(numbers).all():
            return None
        return numbers
    texts = [_text(value) for value in values]
    if texts.count(None) == len(texts):
        return None
    return np.array(texts, object)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _partition(file: Path) -> str:
    return f"{file.parts[-3].removeprefix('date=')}T{file.parts[-2].removeprefix('hour=')}"
