"""What checks say and how they compare."""

from __future__ import annotations

from typing import Any

TOLERANCE = 1e-5
"""Largest |difference| / max(1, |value|) of numbers in two answers that count as the same."""


def expect(holds: bool, otherwise: str) -> None:
    """Raises AssertionError with `otherwise` unless `holds`, under `python -O` too."""
    if not holds:
        raise AssertionError(otherwise)


def difference(left: Any, right: Any, tolerance: float = TOLERANCE, at: str = "answer") -> str:
    """Where two JSON values differ first, in words; empty when they are the same within
    `tolerance`."""
    if isinstance(left, dict) and isinstance(right, dict):
        if set(left) != set(right):
            return f"{at} has fields {sorted(left)} and {sorted(right)}"
        pairs = [(f"{at}.{name}", left[name], right[name]) for name in left]
    elif isinstance(left, list) and isinstance(right, list):
        if len(left) != len(right):
            return f"{at} has {len(left)} and {len(right)} items"
        pairs = []
        for number, items in enumerate(zip(left, right, strict=True)):
            pairs.append((f"{at}[{number}]", *items))
    elif _same(left, right, tolerance):
        return ""
    else:
        return f"{at} is {left!r} and {right!r}"
    for place, one, other in pairs:
        found = difference(one, other, tolerance, place)
        if found:
            return found
    return ""


def _same(left: Any, right: Any, tolerance: float) -> bool:
    # 1 and 1.0 are the same answer to a reader of JSON; 1 and true are not.
    if _is_number(left) and _is_number(right):
        return bool(abs(left - right) <= tolerance * max(1, abs(left)))
    return bool(type(left) is type(right) and left == right)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
