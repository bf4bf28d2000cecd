"""The columns that drift is measured against, each with its distribution in small."""

from __future__ import annotations

import math
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
    every = list(reference.items())
    if len(every) <= MOST_COLUMNS:
        chosen = every
    else:
        chosen = every[: MOST_COLUMNS - LAST] + every[-LAST:]
    return [_column(name, list(values), f"w{i}-") for i, (name, values) in enumerate(chosen)]


def _column(name: str, values: list[Any], prefix: str) -> Watched:
    present = [value for value in values if not _missing(value)]
    gone = 1 - len(present) / len(values) if values else 0.0
    missing = f", {percent(gone)} missing" if gone else ""
    if not present:
        return Watched(clean(name), "no values")
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        numbers = sorted(float(value) for value in present)
        middle = numbers[len(numbers) // 2]
        summary = f"{short(numbers[0])} to {short(numbers[-1])}, median {short(middle)}{missing}"
        return Watched(
            clean(name), summary, sparkline(numbers, f"{name}: histogram, {summary}", prefix)
        )
    counts = Counter(plain(value) for value in present)
    top = [
        (cut(value, 18), percent(count / len(present)), round(count / len(present), 3))
        for value, count in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[
            :MOST_CATEGORIES
        ]
    ]
    noun = "category" if len(counts) == 1 else "categories"
    return Watched(clean(name), f"{len(counts):,} {noun}{missing}", categories=top)


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))
