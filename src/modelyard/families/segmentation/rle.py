"""COCO's run lengths of a mask: pixels column by column, runs of 0 and of 1 in turn, the first of
0. As text each run is a number in groups of 5 bits, six bits a character from `0` on, of which
the highest says that another follows; from the third on the difference from the run two before is
written. Numpy only, so that it serves; every number is checked, which pycocotools does not do.
"""

from __future__ import annotations

import numpy as np

FIRST = 48
"""Code of the character that stands for 0."""
MORE, NEGATIVE, BITS = 0x20, 0x10, 5
GROUPS = 7
"""Enough for 32 bits and their sign."""


def runs_of(mask: np.ndarray) -> np.ndarray:
    """Run lengths int64 of a mask, bool (height, width)."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate([[0], changes, [len(flat)]])
    # The first run is of 0: of length 0 where the mask begins with 1.
    first = [0] if flat[0] else []
    return np.concatenate([first, np.diff(edges)]).astype(np.int64)


def run_lengths(mask: np.ndarray) -> str:
    """A mask, bool (height, width), as COCO's text."""
    return as_text(runs_of(mask))


def as_text(runs: np.ndarray) -> str:
    """Run lengths as COCO's text."""
    values = runs.astype(np.int64)
    values[3:] -= runs[1:-2]
    # What is left of each number after so many groups; the shift keeps the sign.
    rest = values[:, None] >> (BITS * np.arange(GROUPS + 1))
    groups = rest[:, :-1] & 0x1F
    # The last group is that after which only the sign is left, which it must show.
    over = np.where((groups & NEGATIVE) > 0, -1, 0)
    ends = rest[:, 1:] == over
    last = ends.argmax(axis=1)
    places = np.arange(GROUPS)
    more = np.where(places < last[:, None], MORE, 0)
    kept = places <= last[:, None]
    codes: np.ndarray = (groups + more + FIRST)[kept]
    return codes.astype(np.uint8).tobytes().decode("ascii")


def from_text(text: str) -> list[int]:
    """Run lengths of COCO's text.

    Raises:
        ValueError: what is wrong with it.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - FIRST
        if not 0 <= code < 64:
            raise ValueError(f"holds {character!r}")
        value |= (code & 0x1F) << shift
        shift += BITS
        if code & MORE:
            if shift > BITS * GROUPS:
                raise ValueError("a run is too long")
            continue
        if code & NEGATIVE:
            value -= 1 << shift
        if len(runs) > 2:
            value += runs[-2]
        runs.append(value)
        value = shift = 0
    if shift:
        raise ValueError("ends within a number")
    return runs


def check_runs(runs: list[int], size: tuple[int, int]) -> None:
    """Whether they are the runs of a picture of `size`, width and height.

    Raises:
        ValueError: what is wrong.
    """
    if any(run < 0 for run in runs):
        raise ValueError("a run is negative")
    width, height = size
    if sum(runs) != width * height:
        raise ValueError(f"cover {sum(runs):,} pixels, and the picture has {width * height:,}")
