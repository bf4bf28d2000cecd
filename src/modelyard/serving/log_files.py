"""Files of the prediction log: columns to Parquet in a folder or an object store, and back."""

from __future__ import annotations

import math
import tempfile
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.tables import connect, read_parquet

Place = Path | str
"""A folder, or the URI of one that fsspec knows."""
FEEDBACK = "feedback"
"""Folder of the labels that came later, within the log's."""

Row = Mapping[str, float | str | None]


def write_rows(rows: Sequence[Row], place: Place, hour: str, stem: str) -> None:
    """Writes `date=…/hour=…/<stem>-<uuid>.parquet`, whole or not at all; `hour` is `2026-01-31T13`.

    Numbers are DOUBLE, a column with anything else is VARCHAR. A column that holds nothing is left out: it has no type
    yet, and as text here it would turn the numbers of other files into text when they are read together.
    """
    names = dict.fromkeys(name for row in rows for name, value in row.items() if value is not None)
    columns = {name: _column([row.get(name) for row in rows]) for name in names}
    inside = f"date={hour[:10]}/hour={hour[11:13]}/{stem}-{uuid.uuid4().hex}.parquet"
    if isinstance(place, Path):
        _write_whole(columns, place / inside)
        return
    import fsspec

    files, root = fsspec.core.url_to_fs(place)
    with tempfile.TemporaryDirectory() as work:
        local = Path(work) / "rows.parquet"
        _write(columns, local)
        target = f"{root.rstrip('/')}/{inside}"
        files.makedirs(target.rpartition("/")[0], exist_ok=True)
        files.put_file(str(local), target)


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


def read_labelled(folder: Path, since: datetime | None = None, package: str | None = None) -> dict[str, list[Any]]:
    """Logged rows whose label came by feedback, with the label as `_label`; of several labels the last counts."""
    rows, labels = read_log(folder, since, package), read_log(Path(folder) / FEEDBACK)
    if not rows or not labels:
        return {}
    order = sorted(range(len(labels["_id"])), key=lambda at: labels["_time"][at])
    known = {labels["_id"][at]: labels["_label"][at] for at in order}
    kept = [at for at, name in enumerate(rows["_id"]) if name in known]
    if not kept:
        return {}
    found = {name: [values[at] for at in kept] for name, values in rows.items()}
    return found | {"_label": [known[name] for name in found["_id"]]}


def plain(value: Any) -> float | str | None:
    """A described value as a file takes it: NaN and infinities count as missing."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if value is None or isinstance(value, int | str) else str(value)


def hour_of(stamp: float) -> str:
    """The partition of a time in seconds since 1970."""
    return datetime.fromtimestamp(stamp, UTC).isoformat()[:13]


def iso(stamp: float) -> str:
    """A time in seconds since 1970 as the log writes it."""
    return datetime.fromtimestamp(stamp, UTC).isoformat(timespec="milliseconds")


def _column(values: Iterable[Any]) -> np.ndarray:
    values = list(values)
    if all(value is None or isinstance(value, int | float) for value in values):
        return np.array([math.nan if value is None else value for value in values], np.float64)
    return np.array([value if value is None or isinstance(value, str) else str(value) for value in values], object)


def _write_whole(columns: dict[str, np.ndarray], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.part")
    try:
        _write(columns, beside)
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)


def _write(columns: dict[str, np.ndarray], file: Path) -> None:
    with connect() as database:
        database.register("rows", columns)
        quoted = str(file).replace("'", "''")
        database.execute(f"COPY (SELECT * FROM rows) TO '{quoted}' (FORMAT parquet)")  # noqa: S608


def _partition(file: Path) -> str:
    return f"{file.parts[-3].removeprefix('date=')}T{file.parts[-2].removeprefix('hour=')}"
