"""A decoder graph and its memory of keys and values, in numpy or on the device where it runs.

The graph takes `input_ids` (rows, new), `positions` (rows, past + new; -1 hides an entry), and for
each layer `past_key_i`, `past_value_i` (rows, heads, past, head width); it gives `logits` (rows,
new, vocabulary) and the `present_…` of all past + new tokens. A past of length 0 makes it a
prefill.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from modelyard.kit.assets import Asset
from modelyard.runtimes.types import Arrays, Runtime, hold

MAIN, DRAFT = "decoder", "draft"
"""Names of the two graphs."""
HIDDEN = -1
"""Position of an entry that no token sees: padding, or one left out on purpose."""
PREFIX = -2
"""Position of the entries of a learnt prefix: every token sees them, and they take no place of the
text."""

REACH = 2**18
"""Places that there are for the tokens of one text."""
CHUNK = 512
"""Most tokens of a text that are read at once."""
LOGITS = 2**24
"""Most logits of one call, to bound memory: 64 MiB."""
STRIDE = 64
"""Tokens before the window that are dropped at once where the memory lies on a device: to drop them
it is copied, and until then no token sees them."""


class GraphSpec(BaseModel):
    """Shape of one decoder graph."""

    model_config = ConfigDict(frozen=True)

    layers: int
    heads: int
    """Heads of keys and values."""
    head_width: int
    window: int | None = None
    """Tokens that a token sees, itself included; None: all before it."""
    global_tokens: int = 0
    """First tokens of a text, which every later one sees, however far the window has moved."""
    prefix: int = 0
    """Entries of a learnt prefix, which every memory begins with."""


class DecoderSpec(Asset):
    """What the host must know of the model."""

    FILE: ClassVar[str] = "decoder.json"

    kind: str
    context: int
    """Tokens of a row in training. Most tokens of one request (start token, prompt and answer)
    where prompts are not `endless`."""
    endless: bool = False
    """Whether a prompt may be longer than the context: there is a window, which fits into it."""
    vocabulary: int
    """Width of the logits."""
    start: int
    """Token before every document."""
    end: int
    """Token after every document."""
    main: GraphSpec
    draft: GraphSpec | None = None
    chats: bool = False
    """Trained on dialogues."""

    @property
    def reach(self) -> int:
        """Most tokens of one request."""
        if self.endless:
            return REACH
        return self.context

    @property
    def chunk(self) -> int:
        """Tokens of a text that are read at once, at most: this bounds attention and logits."""
        return max(1, min(CHUNK, LOGITS // self.vocabulary))


def first_past(spec: GraphSpec, rows: int, prefix: Arrays | None = None) -> Arrays:
    """The past that a text begins with: of length 0, or the model's prefix."""
    if prefix is not None:
        return {name: np.repeat(array[None], rows, axis=0) for name, array in prefix.items()}
    empty = np.zeros((rows, spec.heads, 0, spec.head_width), np.float32)
    return dict.fromkeys(past_names(spec.layers), empty)


def past_names(layers: int) -> list[str]:
    """The graph's inputs of what was read before, `past_key_0`, `past_value_0` and so on."""
    found = []
    for layer in range(layers):
        found += [f"past_key_{layer}", f"past_value_{layer}"]
    return found


class Decoder:
    """Runs a graph step by step over some rows of text."""

    def __init__(
        self,
        run: Runtime,
        graph: str,
        spec: GraphSpec,
        rows: int = 1,
        reserve: int = 0,
        prefix: Arrays | None = None,
    ) -> None:
        """`reserve`: how many of the newest tokens `forget` may take back at once."""
        assert (prefix is None) == (spec.prefix == 0), "a model with a prefix is run with it"
        self._run, self._graph, self._spec, self._reserve = run, graph, spec, reserve
        self._past = first_past(spec, rows, prefix)
        self._positions = np.full((rows, spec.prefix), PREFIX, np.int64)

    def step(self, tokens: np.ndarray, positions: np.ndarray | None = None) -> np.ndarray:
        """Reads `tokens` (rows, new) and gives their logits (rows, new, vocabulary).

        `positions` (rows, new) are needed where rows are padded; else they go on from the last.
        """
        if positions is None:
            # `initial`: at first there is no position to continue from.
            following = self._positions.max(axis=1, keepdims=True, initial=HIDDEN) + 1
            positions = following + np.arange(tokens.shape[1])
        self._slide()
        self._positions = np.concatenate([self._positions, positions], axis=1)
        arrays = {"input_ids": tokens.astype(np.int64), "positions": self._positions, **self._past}
        present = {name: name.replace("past", "present", 1) for name in self._past}
        out = hold(self._run, self._graph, arrays, set(present.values()))
        self._past = {name: out[present[name]] for name in self._past}
        return out["logits"]

    def read(self, rows: Sequence[Sequence[int]], size: int) -> Iterator[tuple[int, np.ndarray]]:
        """Reads texts of different lengths, padded on the left, `size` tokens at once: which column
        of (rows, longest) a piece begins with, and its logits (rows, piece, vocabulary)."""
        tokens, positions = _padded(rows)
        for start in range(0, tokens.shape[1], size):
            piece = slice(start, start + size)
            yield start, self.step(tokens[:, piece], positions[:, piece])

    def repeated(self, rows: int) -> Decoder:
        """Another decoder that continues the only text of this one, `rows` times."""
        # Both hold the same arrays: every method puts others in their place, and changes none.
        found = copy.copy(self)
        found.keep(np.zeros(rows, np.int64))
        return found

    def keep(self, rows: np.ndarray) -> None:
        """Goes on with these rows of the memory; a row may be named several times."""
        every = np.arange(len(self._positions))
        if len(rows) == len(every) and (rows == every).all():
            return  # nothing changes: what lies on a device stays there
        self._past = {name: array[rows] for name, array in self._read().items()}
        self._positions = self._positions[rows]

    def forget(self, count: int) -> None:
        """Takes the newest `count` tokens back."""
        if count:
            self._past = {name: array[:, :, :-count] for name, array in self._read().items()}
            self._positions = self._positions[:, :-count]

    def _slide(self) -> None:
        """Drops what lies before the window of the next token: it could not be seen, and would
        only cost time. What every token sees moves to the front."""
        if self._spec.window is None:
            return
        start = max(0, self._positions.shape[1] - (self._spec.window - 1 + self._reserve))
        before = self._positions[:, :start]
        # Of what lies before the window: the prefix, whose number is below all, and global tokens.
        seen = before < self._spec.global_tokens
        seen &= before != HIDDEN
        count = int(seen.sum(axis=1).max(initial=0))
        held = not all(isinstance(array, np.ndarray) for array in self._past.values())
        least = STRIDE if held else 1
        if start - count < least:
            return
        # A row that has fewer of them than another, for it is padded, gets hidden ones.
        front = np.argsort(seen, axis=1, kind="stable")[:, start - count :]
        own = np.take_along_axis(before, front, 1)
        moved = np.where(np.take_along_axis(seen, front, 1), own, HIDDEN)
        self._positions = np.concatenate([moved, self._positions[:, start:]], axis=1)
        if not count:
            self._past = {name: array[:, :, start:] for name, array in self._read().items()}
            return
        places = front[:, None, :, None]
        past: Arrays = {}
        for name, array in self._read().items():
            first = np.take_along_axis(array, places, 2)
            past[name] = np.concatenate([first, array[:, :, start:]], axis=2)
        self._past = past

    def _read(self) -> Arrays:
        """The memory as arrays: it comes from the device where it lies on one."""
        return {name: np.asarray(array) for name, array in self._past.items()}


def prefill(
    run: Runtime,
    spec: GraphSpec,
    graph: str,
    rows: Sequence[Sequence[int]],
    prefix: Arrays | None = None,
    positions: Sequence[np.ndarray] | None = None,
) -> tuple[Decoder, np.ndarray]:
    """Reads short texts at once, padded on the left; logits (rows, longest, vocabulary).
    `positions` where they are not 0, 1, …"""
    decoder = Decoder(run, graph, spec, len(rows), prefix=prefix)
    tokens, places = _padded(rows, positions)
    return decoder, decoder.step(tokens, places)


def _padded(
    rows: Sequence[Sequence[int]], positions: Sequence[np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and positions of texts, both (rows, longest), padded on the left."""
    longest = max(map(len, rows))
    tokens = np.zeros((len(rows), longest), np.int64)
    places = np.full((len(rows), longest), HIDDEN, np.int64)
    for number, row in enumerate(rows):
        tokens[number, longest - len(row) :] = row
        if positions is None:
            own = np.arange(len(row))
        else:
            own = positions[number]
        places[number, longest - len(row) :] = own
    return tokens, places
