"""A linear chain of tags (Lafferty et al. 2001): the best tags of a sentence by Viterbi, and how
probable a span is by the forward and backward algorithms. Numpy only."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import numpy as np

from modelyard.families.text.tagging.schemes import OUTSIDE, parts
from modelyard.kit.assets import Asset
from modelyard.kit.logits import log_sum

NEVER = -1e4
"""Score of a tag that may not follow another: minus infinity would give NaN where it meets another."""


class Chain(Asset):
    """Scores of tags that follow each other, NEVER where BIO does not allow it."""

    FILE: ClassVar[str] = "chain.json"

    transitions: list[list[float]]
    """`transitions[tag][next]`."""
    starts: list[float]
    """Of a sentence's first tag."""
    ends: list[float]
    """Of its last."""
    inside: list[int]
    """Of each tag, the one with I- and its label; -1 of O."""

    def best(self, emissions: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """The tags with the highest score, int64 (n, words); 0 behind a sentence's last word.

        Args:
            emissions: scores of each word's tags, (n, words, tags); counts: words, (n,), one at
                least.
        """
        many, longest, tags = emissions.shape
        # Onwards: the best score of a way to each tag, and the tag that it comes from.
        come = np.zeros((many, longest, tags), np.int64)
        score = self._starts + emissions[:, 0]
        for word in range(1, longest):
            ways = score[:, :, None] + self._moves
            come[:, word] = ways.argmax(axis=1)
            # Of a way only the best is remembered: the tags follow from it on the way back.
            moved = ways.max(axis=1) + emissions[:, word]
            # A shorter sentence waits with the score of its last word.
            score = np.where((word < counts)[:, None], moved, score)
        # Back from the best last tag, each sentence from its own end.
        found = np.zeros((many, longest), np.int64)
        row, tag = np.arange(many), (score + self._ends).argmax(axis=1)
        for word in range(longest - 1, -1, -1):
            inside = word < counts
            found[inside, word] = tag[inside]
            tag = np.where(inside, come[row, word, tag], tag)
        return found

    def forward(self, emissions: np.ndarray) -> np.ndarray:
        """Of one sentence (words, tags): the log of the summed scores of all ways to each tag."""
        alpha = np.empty(emissions.shape)
        alpha[0] = self._starts + emissions[0]
        for word in range(1, len(emissions)):
            alpha[word] = log_sum(alpha[word - 1][:, None] + self._moves, 0) + emissions[word]
        return alpha

    def backward(self, emissions: np.ndarray) -> np.ndarray:
        """The same of all ways from each tag to the end, that word's own score left out."""
        beta = np.empty(emissions.shape)
        beta[-1] = self._ends
        for word in range(len(emissions) - 2, -1, -1):
            ahead = emissions[word + 1] + beta[word + 1]
            beta[word] = log_sum(self._moves + ahead[None], 1)
        return beta

    def probabilities(
        self, emissions: np.ndarray, tags: np.ndarray, spans: list[tuple[int, int]]
    ) -> list[float]:
        """How probable it is that the words of each span have just these tags, and that the span
        ends there.

        Args:
            emissions: (words, tags); tags: of each word, (words,); spans: first word and the one
                behind the last.
        """
        if not spans:
            return []
        alpha, beta = self.forward(emissions), self.backward(emissions)
        total = log_sum(alpha[-1] + self._ends, 0)
        found = []
        for start, end in spans:
            own = tags[start:end]
            # All ways to the span's first tag, the one way through it, and all ways on from it.
            score = alpha[start, own[0]]
            score += self._moves[own[:-1], own[1:]].sum()
            score += emissions[np.arange(start + 1, end), own[1:]].sum()
            score += self._after(own[-1], end, emissions, beta)
            # Rounding may lift a sure span a little above 1.
            found.append(float(np.exp(min(score - total, 0.0))))
        return found

    def _after(
        self, tag: int, end: int, emissions: np.ndarray, beta: np.ndarray
    ) -> np.ndarray | np.floating:
        """The log of the summed scores of all ways on from a span's last tag that do not go on with
        the span."""
        if end == len(emissions):
            last: np.floating = self._ends[tag]
            return last
        ways = self._moves[tag] + emissions[end] + beta[end]
        inside = self.inside[tag]
        if inside >= 0:
            ways = np.delete(ways, inside)
        return log_sum(ways, 0)

    @cached_property
    def _moves(self) -> np.ndarray:
        return np.array(self.transitions)

    @cached_property
    def _starts(self) -> np.ndarray:
        return np.array(self.starts)

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.array(self.ends)


def insides(classes: list[str]) -> list[int]:
    """Of each tag in BIO, the place of I- with its label; -1 of O."""
    index = {name: place for place, name in enumerate(classes)}
    return [index.get(f"I-{parts(name)[1]}", -1) for name in classes]


def forbidden(classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """What BIO does not allow: bool (tags, tags), a tag after another; and (tags,), at a sentence's
    beginning."""
    inside = np.array([parts(name)[0] == "I" for name in classes])
    labels = np.array([parts(name)[1] for name in classes])
    same = labels[:, None] == labels[None]
    outside = np.array(classes) == OUTSIDE
    return inside[None] & ~(same & ~outside[:, None]), inside
