"""Parquet files of which some may be broken: those that can be read are, the others are named."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from modelyard.errors import Unavailable
from modelyard.predictions.window import Skipped


def take_readable(files: Sequence[Path], take: Callable[[Sequence[Path]], None]) -> list[Skipped]:
    """Hands the files that can be read to `take`; of a group with a broken one, or one that is too
    much for the memory, half by half.

    Args:
        take: takes all files or none, with `duckdb.Error`.

    Raises:
        Unavailable: a single file is too much for the memory.
    """
    import duckdb

    if not files:
        return []
    try:
        take(files)
    except duckdb.Error as error:
        if len(files) > 1:
            middle = len(files) // 2
            return take_readable(files[:middle], take) + take_readable(files[middle:], take)
        # A file that is whole: to skip it would judge the traffic by a part of it.
        if isinstance(error, duckdb.OutOfMemoryException):
            raise Unavailable(f"{files[0]} cannot be summed up: {error}") from None
        name = "/".join(files[0].parts[-3:])
        return [Skipped(file=name, why="unreadable", detail=_said(error))]
    return []


def _said(error: Exception) -> str:
    """The first line of what DuckDB says, without its kind and the file's name."""
    line = str(error).strip().splitlines()[0]
    line = re.sub(r"^[\w ]*Error: ", "", line)
    return re.sub(r"""\s*(of |in |for )?(file )?['"]?/[^\s'"]*\.parquet['"]?""", "", line)
