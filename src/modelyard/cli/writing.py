"""Answers as JSON lines, CSV or Parquet."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from modelyard.errors import UsageError
from modelyard.kit.wording import count_of

notes = Console(stderr=True, highlight=False, style="dim")

ENDINGS = (".jsonl", ".csv", ".parquet")


def check_out(out: Path | None) -> None:
    """Raises UsageError for a file whose ending does not say how to write it."""
    if out is not None and out.suffix not in ENDINGS:
        raise UsageError(
            f"--out {out}: cannot write {out.suffix or 'this'}. Allowed: {', '.join(ENDINGS)}"
        )


def write_answers(answers: Sequence[dict[str, Any]], out: Path | None, by: str = "") -> None:
    """To the file `out`, whose ending says how, or as JSON lines to standard output.

    Args:
        by: the field of an answer whose entries are rows in a table, see `Host.rows_by`.

    Raises:
        UsageError: another ending.
    """
    if out is None:
        # A person reads 猫, not its escapes, where the terminal can write it.
        escaped = "utf" not in (sys.stdout.encoding or "").lower()
        sys.stdout.writelines(_lines(answers, escaped))
        return
    from modelyard.store.artifact import write_lines
    from modelyard.store.tables import write_parquet

    check_out(out)
    if out.suffix == ".parquet":
        write_parquet(list(_flat_rows(answers, by)), out)
    elif out.suffix == ".csv":
        write_lines(out, _csv(_flat_rows(answers, by)))
    else:
        write_lines(out, _lines(answers, escaped=False))
    notes.print(f"wrote {count_of(len(answers), 'answer')} to {out}")


def _lines(answers: Sequence[dict[str, Any]], escaped: bool) -> Iterator[str]:
    for answer in answers:
        yield json.dumps(answer, ensure_ascii=escaped) + "\n"


def _flat_rows(answers: Sequence[dict[str, Any]], by: str) -> Iterator[dict[str, Any]]:
    """All rows with the same columns, None where one has no such value."""
    # Two passes: the columns have to be known before the first row is written, and all rows at
    # once would not fit into memory.
    empty: dict[str, Any] = {}
    for answer in answers:
        for row in _unrolled(answer, by):
            empty |= dict.fromkeys(within(row))
    for answer in answers:
        for row in _unrolled(answer, by):
            yield empty | flat(row)


def _unrolled(answer: dict[str, Any], by: str) -> list[dict[str, Any]]:
    """A row an entry of the field `by`, with the entries of lists that are as long; the other
    fields stand in each. One row where it has no entries."""
    cells = within(answer)
    steps = cells.get(by)
    if not isinstance(steps, list):
        return [answer]
    if not steps:
        return [{name: value for name, value in cells.items() if name != by}]
    along = [name for name, value in cells.items() if _goes_along(value, steps)]
    rows = []
    for place, step in enumerate(steps):
        row = dict(cells)
        for name in along:
            row[name] = cells[name][place]
        row[by] = step
        rows.append(within(row))
    return rows


def _goes_along(value: Any, steps: list[Any]) -> bool:
    if not isinstance(value, list) or len(value) != len(steps):
        return False
    return not any(isinstance(one, dict) for one in value)


def within(answer: dict[str, Any]) -> dict[str, Any]:
    """Fields within fields as `probabilities.yes`."""
    cells: dict[str, Any] = {}
    for name, value in answer.items():
        if not isinstance(value, dict):
            cells[name] = value
            continue
        for key, inner in value.items():
            cells[f"{name}.{key}"] = inner
    return cells


def flat(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer as cells of a table: `probabilities.yes` for what is within a field, lists as JSON."""
    cells = within(answer)
    for name, value in cells.items():
        if isinstance(value, list | dict):
            cells[name] = json.dumps(value, ensure_ascii=False)
    return cells


def _csv(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    """The lines of a table, its header first."""
    line = io.StringIO()
    writer = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(line, row)
            writer.writeheader()
        writer.writerow(row)
        yield line.getvalue()
        # `writerow` adds to the buffer: each line is yielded once.
        line.seek(0)
        line.truncate()
