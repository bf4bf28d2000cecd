"""A decoder graph and its memory of keys and values, in numpy or on the device where it runs.

The graph takes `input_ids` (rows, new), `positions` (rows, past + new; -1 hides an entry), and for
each layer `past_key_i`, `past_value_i` (rows, heads, past, head width); it gives `logits` (rows,
new, vocabulary) and the `present_…` of all past + new tokens. A past of length 0 makes it a
prefill.
"""

from __future__ import annotations

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
    prefix: int = 0
    """Entries of a learnt prefix, which every memory begins with."""


class DecoderSpec(Asset):
    """What the host must know of the model."""

    FILE: ClassVar[str] = "decoder.json"

    kind: str
    context: int
    """Most tokens of one request: start token, prompt and answer."""
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


def first_past(spec: GraphSpec, rows: int, prefix: Arrays | None = None) -> Arrays:
    """The past that a text begins with: of length 0, or the model's prefix."""
    if prefix is not None:
        return {name: np.repeat(array[None], rows, axis=0) for name, array in prefix.items()}
    empty = np.zeros((rows, spec.heads, 0, spec.head_width), np.float32)
    return {
        f"past_{part}_{layer}": empty for layer in range(spec.layers) for part in ("key", "value")
    }


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
            following = self._positions.max(axis=1, keepdims=True, initial=HIDDEN) + 1
            positions = following + np.arange(tokens.shape[1])
        self._slide()
        self._positions = np.concatenate([self._positions, positions], axis=1)
        arrays = {"input_ids": tokens.astype(np.int64), "positions": self._positions, **self._past}
        present = {name: name.replace("past", "present", 1) for name in self._past}
        out = hold(self._run, self._graph, arrays, set(present.values()))
        self._past = {name: out[present[name]] for name in self._past}
        return out["logits"]

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
        only cost time. What every token sees stays, in front."""
        if self._spec.window is None:
            return
        visible = self._spec.window - 1 + self._reserve
        first = self._spec.prefix
        start = self._positions.shape[1] - visible
        held = not all(isinstance(array, np.ndarray) for array in self._past.values())
        if start - first >= (STRIDE if held else 1):
            self._past = {
                name: np.concatenate([array[:, :, :first], array[:, :, start:]], axis=2)
                for name, array in self._read().items()
            }
            self._positions = np.concatenate(
                [self._positions[:, :first], self._positions[:, start:]], axis=1
            )

    def _read(self) -> Arrays:
        """The memory as arrays: it comes from the device where it lies on one."""
        return {name: np.asarray(array) for name, array in self._past.items()}


def prefill(
    run: Runtime,
    spec: GraphSpec,
    graph: str,
    rows: list[list[int]],
    reserve: int = 0,
    prefix: Arrays | None = None,
) -> tuple[Decoder, np.ndarray]:
    """Reads texts of different lengths at once, padded on the left; logits (rows, longest,
    vocabulary)."""
    longest = max(map(len, rows))
    tokens = np.zeros((len(rows), longest), np.int64)
    positions = np.full((len(rows), longest), HIDDEN, np.int64)
    for number, row in enumerate(rows):
        tokens[number, longest - len(row) :] = row
        positions[number, longest - len(row) :] = np.arange(len(row))
    decoder = Decoder(run, graph, spec, len(rows), reserve, prefix)
    return decoder, decoder.step(tokens, positions)
