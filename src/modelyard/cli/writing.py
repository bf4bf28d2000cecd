"""Answers as JSON lines, CSV or Parquet."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from modelyard.errors import UsageError

notes = Console(stderr=True, highlight=False, style="dim")

ENDINGS = (".jsonl", ".csv", ".parquet")


def check_out(out: Path | None) -> None:
    """Raises UsageError for a file whose ending does not say how to write it."""
    if out is not None and out.suffix not in ENDINGS:
        raise UsageError(
            f"--out {out}: cannot write {out.suffix or 'this'}. Allowed: {', '.join(ENDINGS)}"
        )


def write_answers(answers: list[dict[str, Any]], out: Path | None, by: str = "") -> None:
    """To the file `out`, whose ending says how, or as JSON lines to standard output.

    Args:
        by: the field of an answer whose entries are rows in a table, see `Host.rows_by`.

    Raises:
        UsageError: another ending.
    """
    # A person reads 猫, not its escapes, where the terminal can write it.
    escaped = out is None and "utf" not in (sys.stdout.encoding or "").lower()
    lines = "".join(json.dumps(one, ensure_ascii=escaped) + "\n" for one in answers)
    if out is None:
        sys.stdout.write(lines)
        return
    from modelyard.store.artifact import write_text
    from modelyard.store.tables import write_parquet

    check_out(out)
    if out.suffix == ".parquet":
        write_parquet(_flat_rows(answers, by), out)
    elif out.suffix == ".csv":
        write_text(out, _csv(_flat_rows(answers, by)))
    else:
        write_text(out, lines)
    notes.print(f"wrote {len(answers):,} answers to {out}")


def _flat_rows(answers: list[dict[str, Any]], by: str) -> list[dict[str, Any]]:
    """All rows with the same columns, None where one has no such value."""
    rows: list[dict[str, Any]] = []
    for answer in answers:
        rows += [flat(row) for row in _unrolled(answer, by)]
    # In the order in which they first appear.
    empty: dict[str, Any] = {}
    for row in rows:
        empty |= dict.fromkeys(row)
    return [empty | row for row in rows]


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
        row = cells | {name: cells[name][place] for name in along} | {by: step}
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
        if isinstance(value, dict):
            cells |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            cells[name] = value
    return cells


def flat(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer as cells of a table: `probabilities.yes` for what is within a field, lists as JSON."""
    cells = within(answer)
    for name, value in cells.items():
        if isinstance(value, list | dict):
            cells[name] = json.dumps(value, ensure_ascii=False)
    return cells


def _csv(rows: list[dict[str, Any]]) -> str:
    import csv
    import io

    stream = io.StringIO()
    writer = csv.DictWriter(stream, rows[0] if rows else [])
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
