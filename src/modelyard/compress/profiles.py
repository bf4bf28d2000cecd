"""Which shapes a TensorRT engine is built for: least, usual and most of every input."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from modelyard.runtimes.types import Arrays

LEAST_ROWS, USUAL_ROWS, MOST_ROWS = 1, 8, 64
"""Of a batch."""
ROOM = 2
"""Times the longest input that was seen, where the family does not say how long one may be."""

Shape = tuple[int, ...]
Inputs = Mapping[str, tuple[int | None, ...]]
"""Declared shapes of a graph's inputs; None where an axis varies."""
Lengths = Mapping[str, tuple[int, int]]
"""Least and most of the varying axes, but for the batch, by input."""


class Range(NamedTuple):
    """Shapes of one input."""

    least: Shape
    usual: Shape
    most: Shape


def ranges_of(inputs: Inputs, calls: Sequence[Arrays], lengths: Lengths) -> dict[str, Range]:
    """The range of each input: batches of 1 to 64; other axes as the family declares them, or from
    what recorded calls had up to twice the longest.

    Raises:
        ValueError: an axis varies, and neither says how far.
    """
    found = {}
    for name, declared in inputs.items():
        least: list[int] = []
        usual: list[int] = []
        most: list[int] = []
        for place, size in enumerate(declared):
            if place == 0 and size is None:
                low, middle, high = LEAST_ROWS, USUAL_ROWS, MOST_ROWS
            elif size is None:
                seen = [call[name].shape[place] for call in calls]
                low, middle, high = _axis(name, place, seen, lengths.get(name))
            else:
                low = middle = high = size
            least.append(low)
            usual.append(middle)
            most.append(high)
        found[name] = Range(tuple(least), tuple(usual), tuple(most))
    return found


def _axis(
    name: str, place: int, seen: Sequence[int], declared: tuple[int, int] | None
) -> tuple[int, int, int]:
    if not seen and declared is None:
        raise ValueError(
            f"axis {place} of input {name!r} varies, and no request of the training split shows how far. "
            "Set Family.lengths"
        )
    least, most = declared or (min(seen), max(1, ROOM * max(seen)))
    if seen:
        usual = int(statistics.median(seen))
    else:
        usual = (least + most) // 2
    return least, min(max(usual, least), most), most
