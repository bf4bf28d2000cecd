"""Words of the lines that stages print."""

from __future__ import annotations


def count_of(count: int, thing: str) -> str:
    """`1 column`, `1,200 columns`."""
    ending = "" if count == 1 else "s"
    return f"{count:,} {thing}{ending}"
