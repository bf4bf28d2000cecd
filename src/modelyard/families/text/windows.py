"""A text that is longer than the model reads, in windows that overlap. Numpy only."""

from __future__ import annotations

import numpy as np

from modelyard.kit.text.spec import TokenSpec

OVERLAP = 4
"""Windows share a quarter of their tokens."""


def in_windows(
    spec: TokenSpec, before: np.ndarray, tokens: np.ndarray, after: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A text's tokens between those that stand `before` and `after` each part of it, int32 (some,).

    Returns:
        Rows int32 (windows, length), and which of the text's tokens begins each, int64 (windows,).
    """
    size = spec.length - len(before) - len(after)
    begins = _begins(len(tokens), size)
    rows = np.full((len(begins), spec.length), spec.pad, np.int32)
    for row, begin in zip(rows, begins.tolist(), strict=True):
        part = np.concatenate([before, tokens[begin : begin + size], after])
        row[: len(part)] = part
    return rows, begins


def _begins(tokens: int, size: int) -> np.ndarray:
    """Where windows begin, int64 (windows,): one suffices for `size` tokens."""
    if tokens <= size:
        return np.zeros(1, np.int64)
    step = size - size // OVERLAP
    count = -(-(tokens - size) // step) + 1
    return np.minimum(np.arange(count) * step, tokens - size)
