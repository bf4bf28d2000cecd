"""What the features stage left out of the data, as clauses of its line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST_NAMES, MOST_REASONS = 4, 3


def losses(summary: Mapping[str, Any]) -> str:
    """`; 12 of 4,000 rows dropped: without churn; left out: id, unit`, or nothing.

    Args:
        summary: what `Data.features` returns. A reason of `dropped` counts the `unit` that `rows`
            counts (rows, unless it says otherwise), or what stands before its colon: `windows:
            across a gap`. `left_out` names columns; then `columns: …` is not counted once more.
    """
    unit = str(summary.get("unit", "rows"))
    left_out = list(summary.get("left_out") or ())
    dropped: dict[str, dict[str, int]] = {}
    for reason, count in (summary.get("dropped") or {}).items():
        what, colon, why = reason.partition(": ")
        # A unit is one word: other colons are of the reason itself.
        if not colon or " " in what:
            what, why = unit, reason
        if count and not (what == "columns" and left_out):
            dropped.setdefault(what, {})[why] = count
    used = sum(summary["rows"].values())
    clauses = []
    for what, counts in dropped.items():
        clauses.append(_clause(what, counts, used if what == unit else None))
    if left_out:
        names = ", ".join(left_out[:MOST_NAMES])
        if len(left_out) > MOST_NAMES:
            names += f", … ({len(left_out)} columns)"
        clauses.append(f"left out: {names}")
    return "".join(f"; {clause}" for clause in clauses)


def _clause(what: str, counts: Mapping[str, int], used: int | None) -> str:
    lost = sum(counts.values())
    reasons = list(counts)
    if len(counts) > 1:
        ordered = sorted(counts, key=lambda why: -counts[why])
        reasons = [f"{why} ({counts[why]:,})" for why in ordered]
    if len(reasons) > MOST_REASONS:
        reasons[MOST_REASONS:] = ["…"]
    of = f" of {used + lost:,}" if used is not None else ""
    # `1 rows` would be wrong, `1 of 4,000 rows` is not.
    named = what
    if lost == 1 and used is None:
        ending = "es" if what.endswith("xes") else "s"
        named = what.removesuffix(ending)
    return f"{lost:,}{of} {named} dropped: {', '.join(reasons)}"
