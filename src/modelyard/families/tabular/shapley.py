"""Shapley values of any scoring function by sampling permutations; numpy only, so that serving
can explain."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

Score = Callable[[np.ndarray], np.ndarray]

BATCH_BYTES = 64 * 2**20
"""Most memory of the rows handed to `score` in one call."""


def shapley_values(
    score: Score,
    x: np.ndarray,
    background: np.ndarray,
    groups: Sequence[Sequence[int]],
    permutations: int = 4,
    seed: int = 0,
) -> tuple[np.ndarray, float]:
    """Share of each group of columns in `score(x)` minus the mean score of the background.

    Every background row is turned into `x` group by group, in `permutations` random orders of its
    own, every second order being the reverse of the one before; a group's value is the mean change
    of the score at its turn. A walk's changes add up to score(x) - score(row), so base + sum of
    values = score(x) without a sampling error. It costs len(background) * permutations *
    (len(groups) - 1) scored rows.

    Štrumbelj and Kononenko, "Explaining prediction models and individual predictions with feature
    contributions" (2014), algorithm 2; reversed orders: Mitchell et al., "Sampling permutations for
    Shapley value estimation" (2022), section 3.

    Args:
        score: (m, n) float32 rows to (m,) numbers.
        x: the row to explain, (n,).
        background: rows that stand for average data, (b, n).
        groups: column indices by group; together they are the n columns, each once.
        permutations: orders for every background row, at least 1; an even number uses reversal
            fully.
        seed: of the orders.

    Returns:
        values, float64 (len(groups),), and base, the mean score of the background.
    """
    group_of = _group_of(groups, x.shape[-1])
    assert permutations >= 1
    assert len(background) > 0
    ranks = _ranks(len(background) * permutations, permutations, len(groups), seed)
    base = np.asarray(score(background), dtype=np.float64)
    top = float(np.asarray(score(x[None]), dtype=np.float64)[0])
    walks = np.repeat(np.arange(len(background)), permutations)
    path = np.empty((len(walks), len(groups) + 1))
    path[:, 0], path[:, -1] = base[walks], top
    # The scores at both ends are known: a walk scores what lies between them.
    for part in _parts(len(walks), max(len(groups) - 1, 1) * x.nbytes):
        path[part, 1:-1] = _walk(
            score, x, background[walks[part]], ranks[part][:, group_of], len(groups) - 1
        )
    # From the order of the turns back to the order of the groups.
    changes = np.take_along_axis(np.diff(path, axis=1), ranks, axis=1)
    return changes.mean(axis=0), float(base.mean())


def _group_of(groups: Sequence[Sequence[int]], columns: int) -> np.ndarray:
    """Group index by column, (columns,)."""
    flat = list(itertools.chain.from_iterable(groups))
    assert sorted(flat) == list(range(columns)), "the groups must hold every column once"
    group_of = np.empty(columns, dtype=np.int64)
    for index, group in enumerate(groups):
        group_of[list(group)] = index
    return group_of


def _ranks(walks: int, permutations: int, groups: int, seed: int) -> np.ndarray:
    """Turn of each group in each walk, (walks, groups); within a row's walks every second one is
    reversed."""
    ranks = np.random.default_rng(seed).permuted(np.tile(np.arange(groups), (walks, 1)), axis=1)
    # What one order puts early the next puts late: errors of the two cancel in part.
    reverse = np.flatnonzero(np.arange(walks) % permutations % 2 == 1)
    ranks[reverse] = groups - 1 - ranks[reverse - 1]
    return ranks


def _parts(walks: int, bytes_a_walk: int) -> list[slice]:
    size = max(1, BATCH_BYTES // bytes_a_walk)
    return [slice(start, min(start + size, walks)) for start in range(0, walks, size)]


def _walk(
    score: Score, x: np.ndarray, rows: np.ndarray, turns: np.ndarray, steps: int
) -> np.ndarray:
    """Scores between the background row and `x`, (walks, steps); `turns` (walks, n) is each
    column's turn."""
    if steps == 0:
        return np.empty((len(rows), 0))
    # Step by step: the columns whose turn has come are those of `x`, the others the row's.
    switched = turns[:, None, :] < np.arange(1, steps + 1)[None, :, None]
    mixed = np.where(switched, x, rows[:, None, :]).reshape(-1, rows.shape[1])
    return np.asarray(score(mixed), dtype=np.float64).reshape(len(rows), steps)
