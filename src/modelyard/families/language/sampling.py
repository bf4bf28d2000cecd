"""From logits to a token: penalty, temperature, top-k, top-p, and the draw. Vectors of
(vocabulary,)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from modelyard.kit.logits import softmax


def penalise(scores: np.ndarray, seen: Sequence[int], penalty: float) -> np.ndarray:
    """Scores with those of tokens that stood before made smaller (Keskar et al. 2019, CTRL,
    section 4.1)."""
    if penalty == 1.0 or not seen:
        return scores
    changed = scores.copy()
    known = np.unique(np.asarray(seen))
    old = changed[known]
    changed[known] = np.where(old < 0, old * penalty, old / penalty)
    return changed


def adjusted(
    logits: np.ndarray,
    written: Sequence[int],
    presence: float,
    frequency: float,
    bias: Mapping[int, float],
) -> np.ndarray:
    """Logits with a bias by token, less `presence` for each token of `written` and `frequency`
    for each time it stands there: the formula of OpenAI's API reference, "Advanced usage",
    "Frequency and presence penalties"."""
    is_penalized = bool(written) and bool(presence or frequency)
    if not bias and not is_penalized:
        return logits
    changed = logits.copy()
    for token, value in bias.items():
        changed[token] += value
    known, times = np.unique(np.asarray(written, np.int64), return_counts=True)
    changed[known] -= presence + frequency * times
    return changed


def distribution(logits: np.ndarray, temperature: float, top_k: int, top_p: float) -> np.ndarray:
    """Probabilities, float64, sum 1: logits over `temperature`, then the `top_k` likeliest (0:
    all), then of these the fewest that hold `top_p` of the mass (Holtzman et al. 2020, section
    3.1)."""
    # The highest is 0 before the division: however low the temperature, it stays finite.
    exact = logits.astype(np.float64)
    with np.errstate(over="ignore"):
        scaled = (exact - exact.max()) / temperature
    if 0 < top_k < len(scaled):
        # The k-th largest, without sorting a whole vocabulary.
        least = np.partition(scaled, -top_k)[-top_k]
        scaled = np.where(scaled < least, -np.inf, scaled)
    probabilities = softmax(scaled)
    if top_p < 1:
        order = np.argsort(-probabilities, kind="stable")
        # What is likelier than a token: the one that crosses `top_p` is kept, so that one always
        # is.
        before = np.cumsum(probabilities[order]) - probabilities[order]
        probabilities[order[before >= top_p]] = 0
        probabilities /= probabilities.sum()
    return probabilities


def draw(probabilities: np.ndarray, rng: np.random.Generator) -> int:
    """A token at random, from one uniform number: equal seeds give equal tokens on every
    machine."""
    steps = np.cumsum(probabilities)
    drawn = int(np.searchsorted(steps, rng.random() * steps[-1], side="right"))
    # Rounding may put the number at the very end: never behind the last possible token.
    return min(drawn, int(np.flatnonzero(probabilities)[-1]))
