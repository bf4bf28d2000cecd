"""Documents to rows of equal length for training: packed, with their boundaries kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PADDING = -1
"""Position and segment of an entry that holds nothing."""
IGNORED = -100
"""Target that counts for nothing."""


@dataclass(frozen=True)
class Packed:
    """Arrays of (rows, length), int64. `segments` numbers the pieces of a row: attention stays
    within one."""

    input_ids: np.ndarray
    targets: np.ndarray
    positions: np.ndarray
    """From 0 in each piece."""
    segments: np.ndarray


def pack(
    documents: Sequence[Sequence[int]],
    length: int,
    start: int,
    end: int,
    learned: Sequence[Sequence[bool]] | None = None,
) -> Packed:
    """Packs documents (tokens without boundary tokens) into rows of `length`.

    `learned` says of each document's tokens and its end whether they are targets; None: all are.

    A document becomes start + tokens + end, and is cut into pieces of `length` inputs where it is
    longer; a piece does not see the one before it. Pieces fill the rows, the longest first, each in
    the row that it fills best. No piece attends to another, and none predicts another's first
    token.
    """
    pieces: list[tuple[list[int], list[int]]] = []
    for number, tokens in enumerate(documents):
        inputs, targets = [start, *tokens], [*tokens, end]
        if learned is not None:
            chosen = zip(targets, learned[number], strict=True)
            targets = [token if said else IGNORED for token, said in chosen]
        for at in range(0, len(inputs), length):
            pieces.append((inputs[at : at + length], targets[at : at + length]))
    pieces.sort(key=lambda piece: len(piece[0]), reverse=True)
    rows = _fill([len(piece[0]) for piece in pieces], length)
    packed = Packed(
        *(np.full((len(rows), length), value) for value in (0, IGNORED, PADDING, PADDING))
    )
    for number, members in enumerate(rows):
        at = 0
        for segment, member in enumerate(members):
            inputs, targets = pieces[member]
            inside = slice(at, at := at + len(inputs))
            packed.input_ids[number, inside], packed.targets[number, inside] = inputs, targets
            packed.positions[number, inside] = np.arange(len(inputs))
            packed.segments[number, inside] = segment
    return packed


def _fill(sizes: list[int], length: int) -> list[list[int]]:
    """Best fit for sizes in falling order: members of each row."""
    rows: list[list[int]] = []
    free: list[list[int]] = [[] for _ in range(length + 1)]
    for member, size in enumerate(sizes):
        room = next((room for room in range(size, length + 1) if free[room]), None)
        if room is None:
            rows.append([])
            room = length
            free[room].append(len(rows) - 1)
        row = free[room].pop()
        rows[row].append(member)
        free[room - size].append(row)
    return rows
