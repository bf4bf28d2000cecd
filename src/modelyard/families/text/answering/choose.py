"""The best span of all windows, and when there is none. Numpy only."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np

from modelyard.families.text.answering.spec import Pair
from modelyard.kit.assets import Asset
from modelyard.kit.logits import log_softmax

TOP = 20
"""Beginnings and ends that are paired, of each window."""


class Choice(Asset):
    """When an answer is given."""

    FILE: ClassVar[str] = "choice.json"

    threshold: float | None = None
    """An answer is given where its log probability is more than this above that of none. None:
    always."""
    most_tokens: int
    """Of an answer: twice the longest of training."""
    note: str = ""


class Best(NamedTuple):
    """The best span of a text."""

    start: int
    """Its first character."""
    end: int
    """The character behind its last; `start` where the text has no token."""
    log_p: float
    """Log probability of the span in its window."""
    log_none: float
    """Log probability that there is no answer, in the window where that is least likely."""

    @property
    def ahead(self) -> float:
        """How far the span is ahead of none."""
        return self.log_p - self.log_none


def best_span(pair: Pair, logits: list[np.ndarray], most_tokens: int) -> Best:
    """The most probable span of at most `most_tokens` tokens.

    Args:
        logits: of each window, (tokens, 2): that an answer begins, or ends, at each place; place 0
            says that there is none. Places that are not of the text are as good as impossible.
    """
    best: tuple[float, int, int] = (-np.inf, 0, -1)
    none = 0.0
    count = len(pair.offsets)
    for begin, scores in zip(pair.begins.tolist(), logits, strict=True):
        log_p = log_softmax(scores.astype(np.float64), axis=0)
        # A window without the answer says none: the text has one where a single window sees it.
        none = min(none, float(log_p[0].sum()))
        inside = log_p[pair.first : pair.first + count - begin]
        # All pairs of places would be a matrix of the window's length squared.
        firsts = np.argsort(-inside[:, 0], kind="stable")[:TOP]
        lasts = np.argsort(-inside[:, 1], kind="stable")[:TOP]
        length = lasts[None] - firsts[:, None] + 1
        joint = inside[firsts, 0][:, None] + inside[lasts, 1][None]
        joint[(length < 1) | (length > most_tokens)] = -np.inf
        if joint.size and joint.max() > best[0]:
            row, column = np.unravel_index(int(joint.argmax()), joint.shape)
            best = (float(joint[row, column]), begin + int(firsts[row]), begin + int(lasts[column]))
    score, first, last = best
    if last < 0:
        return Best(0, 0, -1e4, none)
    return Best(int(pair.offsets[first, 0]), int(pair.offsets[last, 1]), score, none)


def choose_threshold(ahead: np.ndarray, f1: np.ndarray, f1_of_none: np.ndarray) -> float:
    """The threshold with the best mean F1, midway between two seen values; ties go to the lower.

    Args:
        ahead: of each question, (n,); f1: of its best span; f1_of_none: where none is answered.
    """
    order = np.argsort(ahead, kind="stable")
    values = ahead[order]
    # After `k` places: the first k are answered with none, the others with their span.
    total = np.r_[0, np.cumsum((f1_of_none - f1)[order])] + f1.sum()
    # No threshold parts two questions that are equally far ahead.
    edges = np.r_[True, values[1:] > values[:-1], True]
    best = int(np.argmax(np.where(edges, total, -np.inf)))
    if best == 0:
        return float(values[0] - 1)
    if best == len(values):
        return float(values[-1] + 1)
    return float((values[best - 1] + values[best]) / 2)
