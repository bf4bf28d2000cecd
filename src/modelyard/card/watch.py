"""The columns that drift is measured against, each with its distribution in small."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from modelyard.card.figures import sparkline
from modelyard.card.text import clean, cut, percent, plain, short

MOST_COLUMNS = 24
LAST = 4
MOST_CATEGORIES = 4


@dataclass(frozen=True)
class Watched:
    """One column: a small histogram of numbers, or the most frequent categories with their
    share."""

    name: str
    summary: str
    svg: Markup | None = None
    categories: list[tuple[str, str, float]] = field(default_factory=list)


def columns(reference: Mapping[str, Sequence[Any]]) -> list[Watched]:
    """The reference's columns; of too many the first and the last, where answers stand after
    inputs.

    Call inside `canvas.style()`.
    """
    chosen = list(reference.items())
    if len(chosen) > MOST_COLUMNS:
        chosen = chosen[: MOST_COLUMNS - LAST] + chosen[-LAST:]
    watched = []
    for number, (name, values) in enumerate(chosen):
        watched.append(_column(name, list(values), f"w{number}-"))
    return watched


def _column(name: str, values: list[Any], prefix: str) -> Watched:
    present = [value for value in values if not _missing(value)]
    if not present:
        return Watched(clean(name), "no values")
    gone = 1 - len(present) / len(values)
    missing = f", {percent(gone)} missing" if gone else ""
    if all(map(_is_number, present)):
        numbers = [float(value) for value in present]
        low, middle, high = min(numbers), statistics.median(numbers), max(numbers)
        summary = f"{short(low)} to {short(high)}, median {short(middle)}{missing}"
        drawn = sparkline(numbers, f"{name}: histogram, {summary}", prefix)
        return Watched(clean(name), summary, drawn)
    counts = Counter(map(plain, present))
    # Equally frequent ones by name: the same package gives the same card.
    ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    top = []
    for value, count in ranked[:MOST_CATEGORIES]:
        share = count / len(present)
        top.append((cut(value, 18), percent(share), round(share, 3)))
    noun = "category" if len(counts) == 1 else "categories"
    return Watched(clean(name), f"{len(counts):,} {noun}{missing}", categories=top)


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
