"""Translations token by token, greedily or with beams. Numpy only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from modelyard.families.text.translating.spec import Decoding, TranslationSpec
from modelyard.kit.logits import log_softmax
from modelyard.runtimes.types import Arrays, Runtime, hold

ENCODER, DECODER = "encoder", "decoder"
PARTS = ("key", "value")


class Written(NamedTuple):
    """A translation in tokens."""

    tokens: list[int]
    """Without start and end."""
    log_p: float
    """Mean log probability of its tokens, the end included."""
    ended: bool
    """Whether it came to its end; else it is as long as allowed."""


def past_names(layers: int) -> list[str]:
    """The decoder's inputs of what is written so far."""
    return _names("past", layers)


def source_names(layers: int) -> list[str]:
    """The encoder's outputs, which every step of the decoder takes."""
    return _names("source", layers)


def _names(what: str, layers: int) -> list[str]:
    """`what_key_0`, `what_value_0`, `what_key_1` and so on."""
    found = []
    for layer in range(layers):
        found += [f"{what}_{part}_{layer}" for part in PARTS]
    return found


class Writer:
    """Writes translations of some sources at once, step by step."""

    def __init__(self, run: Runtime, tokens: np.ndarray, shape: Decoding) -> None:
        """`tokens` int64 (rows, length) are of the sources."""
        self._run = run
        sources = source_names(shape.layers)
        self._source = {
            "tokens": tokens,
            **hold(run, ENCODER, {"tokens": tokens}, set(sources)),
        }
        empty = np.zeros((len(tokens), shape.heads, 0, shape.head_width), np.float32)
        self._past: Arrays = dict.fromkeys(past_names(shape.layers), empty)

    def step(self, tokens: np.ndarray) -> np.ndarray:
        """Reads what was written last, (rows, new), and gives the log probabilities of what follows
        each, float64 (rows, new, vocabulary)."""
        arrays = {"input_ids": tokens.astype(np.int64), **self._source, **self._past}
        present = {name: name.replace("past", "present", 1) for name in self._past}
        found = hold(self._run, DECODER, arrays, set(present.values()))
        self._past = {name: found[present[name]] for name in self._past}
        return log_softmax(np.asarray(found["logits"]).astype(np.float64))

    def keep(self, rows: np.ndarray) -> None:
        """Goes on with these rows; a row may be named several times."""
        for held in (self._source, self._past):
            for name, array in held.items():
                held[name] = np.asarray(array)[rows]


def write_greedily(
    run: Runtime, tokens: np.ndarray, spec: TranslationSpec, shape: Decoding
) -> Iterator[list[Written]]:
    """The likeliest token after the other, for sources (rows, length) at once: what is written so far,
    after each step. Rows that came to their end are not gone on with."""
    rows = len(tokens)
    writer = Writer(run, tokens, shape)
    written: list[list[int]] = [[] for _ in range(rows)]
    total, ended = np.zeros(rows), np.zeros(rows, bool)
    going = np.arange(rows)
    last = np.full(rows, spec.start)
    for _ in range(spec.most_written):
        log_p = writer.step(last[:, None])[:, -1]
        last = log_p.argmax(axis=1)
        total[going] += log_p[np.arange(len(going)), last]
        ends = last == spec.end
        ended[going[ends]] = True
        for row, token in zip(going[~ends].tolist(), last[~ends].tolist(), strict=True):
            written[row].append(token)
        if ends.any():
            stays = np.flatnonzero(~ends)
            writer.keep(stays)
            going, last = going[stays], last[stays]
        found = []
        for some, log_p_sum, end in zip(written, total.tolist(), ended.tolist(), strict=True):
            # The end is a token too, though it is no part of the text.
            found.append(Written(some, log_p_sum / (len(some) + end), end))
        yield found
        if not len(going):
            return


def write_with_beams(
    run: Runtime, tokens: np.ndarray, spec: TranslationSpec, shape: Decoding, beams: int
) -> Written:
    """The translation of one source (1, length) with the highest mean log probability that so many
    beams find (Sutskever et al. 2014, section 3.2; the mean as of Wu et al. 2016, section 7)."""
    writer = Writer(run, tokens, shape)
    texts: list[list[int]] = [[]]
    last, sums = np.array([spec.start]), np.zeros(1)
    found: list[Written] = []
    for _ in range(spec.most_written):
        log_p = sums[:, None] + writer.step(last[:, None])[:, -1]
        # Twice as many: each beam may end once, and as many as before must go on.
        best = np.argsort(-log_p, axis=None, kind="stable")[: 2 * beams]
        rows, following = np.unravel_index(best, log_p.shape)
        ends = following == spec.end
        # An end counts where it is among the best: else any beam could end at any step.
        for row in rows[:beams][ends[:beams]].tolist():
            total = float(log_p[row, spec.end])
            found.append(Written(texts[row], total / (len(texts[row]) + 1), True))
        if len(found) >= beams:
            break
        rows, last = rows[~ends][:beams], following[~ends][:beams]
        pairs = zip(rows.tolist(), last.tolist(), strict=True)
        texts = [[*texts[row], token] for row, token in pairs]
        sums = log_p[rows, last]
        writer.keep(rows)
    if not found:
        for text, total in zip(texts, sums.tolist(), strict=True):
            found.append(Written(text, total / len(text), False))
    return max(found, key=lambda one: one.log_p)
