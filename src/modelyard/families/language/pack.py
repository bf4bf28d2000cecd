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
    """From 0 in each piece; with global tokens a later piece begins with these, and continues
    behind the first."""
    segments: np.ndarray


def pack(
    documents: Sequence[Sequence[int]],
    length: int,
    start: int,
    end: int,
    learned: Sequence[Sequence[bool]] | None = None,
    global_tokens: int = 0,
) -> Packed:
    """Packs documents (tokens without boundary tokens) into rows of `length`.

    `learned` says of each document's tokens and its end whether they are targets; None: all are.

    A document becomes start + tokens + end, and is cut into pieces of `length` inputs where it is
    longer; a piece does not see the one before it, but with `global_tokens` the document's first
    tokens, which stand before it once more and are no targets there. A piece without a target is
    left out. Pieces fill the rows, the longest first, each in the row that it fills best. No piece
    attends to another, and none predicts another's first token.
    """
    pieces: list[_Piece] = []
    for number, tokens in enumerate(documents):
        inputs, targets = [start, *tokens], [*tokens, end]
        if learned is not None:
            for place, is_learned in enumerate(learned[number]):
                if not is_learned:
                    targets[place] = IGNORED
        for piece in _pieces(inputs, targets, length, global_tokens):
            if set(piece.targets) != {IGNORED}:
                pieces.append(piece)
    # The longest first: what is left of a row is filled by short ones.
    pieces.sort(key=lambda piece: len(piece.inputs), reverse=True)
    rows = _fill([len(piece.inputs) for piece in pieces], length)
    return _written(pieces, rows, length)


def _written(pieces: list[_Piece], rows: list[list[int]], length: int) -> Packed:
    """The arrays of rows, each of which names its pieces."""
    shape = (len(rows), length)
    packed = Packed(
        input_ids=np.zeros(shape, np.int64),
        targets=np.full(shape, IGNORED),
        positions=np.full(shape, PADDING),
        segments=np.full(shape, PADDING),
    )
    for number, members in enumerate(rows):
        at = 0
        for segment, member in enumerate(members):
            piece = pieces[member]
            inside = slice(at, at := at + len(piece.inputs))
            packed.input_ids[number, inside] = piece.inputs
            packed.targets[number, inside] = piece.targets
            packed.positions[number, inside] = piece.positions
            packed.segments[number, inside] = segment
    return packed


@dataclass(frozen=True)
class _Piece:
    inputs: list[int]
    targets: list[int]
    positions: list[int]


def _pieces(inputs: list[int], targets: list[int], length: int, global_tokens: int) -> list[_Piece]:
    """A document in pieces of at most `length` inputs."""
    found = [_Piece(inputs[:length], targets[:length], list(range(min(length, len(inputs)))))]
    first, silent = inputs[:global_tokens], [IGNORED] * global_tokens
    for start in range(length, len(inputs), length - global_tokens):
        inside = slice(start, start + length - global_tokens)
        own = inputs[inside]
        # Wherever it really stands, a window and more behind the first tokens: all such places are
        # alike to the network, and these numbers are small.
        begins = length if global_tokens else 0
        places = [*range(global_tokens), *range(begins, begins + len(own))]
        found.append(_Piece(first + own, silent + targets[inside], places))
    return found


def _fill(sizes: list[int], length: int) -> list[list[int]]:
    """Best fit for sizes in falling order: members of each row."""
    rows: list[list[int]] = []
    # The rows that have so much room, by room.
    free: list[list[int]] = [[] for _ in range(length + 1)]
    for member, size in enumerate(sizes):
        room = size
        while room < length and not free[room]:
            room += 1
        if not free[room]:
            free[room].append(len(rows))
            rows.append([])
        row = free[room].pop()
        rows[row].append(member)
        free[room - size].append(row)
    return rows
