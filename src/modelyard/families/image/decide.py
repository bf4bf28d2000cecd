"""From logits to probabilities and a class: fitted on the validation split, served with numpy alone."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

FILE = "decision.json"
HALF = 0.5
LOWEST, HIGHEST = 0.05, 20.0
"""Bounds of the temperature."""


class Decision(BaseModel):
    """How logits become an answer. Class 1 is the positive one of two."""

    model_config = ConfigDict(frozen=True)

    temperature: float = 1.0
    """Logits are divided by it: above 1 the network was too sure of itself (Guo et al. 2017, section 4.2)."""
    offset: list[float] | None = None
    """Added to the divided logits: log class shares, where training took the classes as equally frequent."""
    threshold: float | None = Field(default=None, gt=0)
    """Of two classes the positive one is answered from this probability on. None: from HALF on."""
    note: str = ""
    """How it was chosen, with its figures on the validation split."""

    @classmethod
    def load(cls, assets: Path) -> Decision:
        """From `assets/decision.json`; without that file nothing is calibrated and the most probable class wins."""
        path = Path(assets) / FILE
        return cls.model_validate_json(path.read_text()) if path.is_file() else cls()

    def save(self, assets: Path) -> None:
        """Writes `assets/decision.json`."""
        (Path(assets) / FILE).write_text(self.model_dump_json(indent=1) + "\n")

    def calibrated(self, logits: np.ndarray) -> np.ndarray:
        """Logits (n, k) to calibrated logits, float64 (n, k)."""
        divided: np.ndarray = logits.astype(np.float64) / self.temperature
        return divided if self.offset is None else divided + np.array(self.offset)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Logits (n, k) to probabilities, float64 (n, k)."""
        return softmax(self.calibrated(logits))

    def labels(self, p: np.ndarray) -> np.ndarray:
        """Probabilities (n, k) to class indices, int64 (n,)."""
        if p.shape[1] != 2:
            return np.asarray(p.argmax(axis=1), np.int64)
        return np.asarray(p[:, 1] >= (self.threshold or HALF), np.int64)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return result


def fit_decision(
    logits: np.ndarray,
    y: np.ndarray,
    classes: list[str],
    *,
    calibrate: bool = True,
    least_sensitivity: float | None = None,
    shares: np.ndarray | None = None,
) -> Decision:
    """Chooses temperature and threshold on a split.

    Args:
        logits: (n, k); y: class indices, (n,); classes: names by index.
        calibrate: fit a temperature.
        least_sensitivity: with two classes, choose the threshold for this sensitivity.
        shares: class shares (k,) to bring back into two classes' probabilities after balanced training.
    """
    offset = np.log(shares).tolist() if shares is not None and len(classes) == 2 else None
    temperature = fit_temperature(logits, y, offset) if calibrate else 1.0
    decision = Decision(temperature=temperature, offset=offset)
    note = f"Calibrated by a temperature of {temperature:.3g} on the validation split." if calibrate else ""
    if len(classes) != 2 or least_sensitivity is None:
        ignored = least_sensitivity is not None and " model.least_sensitivity is for two classes, and was left aside."
        return decision.model_copy(update={"note": f"{note}{ignored or ''}".strip()})
    score, positive = decision.probabilities(logits)[:, 1], y == 1
    if positive.all() or not positive.any():
        text = "No threshold was chosen: the validation split holds one class alone."
        return decision.model_copy(update={"note": f"{note} {text}".strip()})
    threshold = choose_threshold(score, positive, least_sensitivity)
    chosen = _describe(threshold, score >= threshold, positive, least_sensitivity, classes[1])
    return decision.model_copy(update={"threshold": threshold, "note": f"{chosen} {note}".strip()})


def fit_temperature(logits: np.ndarray, y: np.ndarray, offset: list[float] | None = None) -> float:
    """The temperature with the least log loss, by golden section over its logarithm.

    The targets keep 1 / (n + 2) for the other classes (as Platt 1999 does for two): else a split without an error
    would ask for a temperature of 0.
    """
    classes = logits.shape[1]
    spread = 1 / (len(y) + 2)
    target = np.full(logits.shape, spread / (classes - 1))
    target[np.arange(len(y)), y] = 1 - spread

    def loss(log_temperature: float) -> float:
        p = Decision(temperature=math.exp(log_temperature), offset=offset).probabilities(logits)
        return float(-(target * np.log(np.maximum(p, 1e-300))).sum(axis=1).mean())

    low, high, step = math.log(LOWEST), math.log(HIGHEST), (math.sqrt(5) - 1) / 2
    for _ in range(60):
        a, b = high - step * (high - low), low + step * (high - low)
        if loss(a) <= loss(b):
            high = b
        else:
            low = a
    return math.exp((low + high) / 2)


def choose_threshold(score: np.ndarray, positive: np.ndarray, least_sensitivity: float) -> float:
    """The highest threshold at which the share of positives found is at least `least_sensitivity`.

    It lies midway to the next lower score, so that rounding in an exported graph moves no seen picture across it.

    Args:
        score: probability of the positive class, (n,); positive: bool (n,), both kinds present.
    """
    found = np.sort(score[positive])[::-1]
    needed = max(1, math.ceil(least_sensitivity * len(found) - 1e-9))
    at = float(found[needed - 1])
    lower = score[score < at]
    return (at + float(lower.max())) / 2 if len(lower) else at / 2


def wilson(hits: int, of: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    if not of:
        return 0.0, 1.0
    z, p = 1.959964, hits / of
    middle, half = p + z * z / (2 * of), z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    return max(0.0, (middle - half) / (1 + z * z / of)), min(1.0, (middle + half) / (1 + z * z / of))


def _describe(threshold: float, alarm: np.ndarray, positive: np.ndarray, asked: float, name: str) -> str:
    hits, of = int((alarm & positive).sum()), int(positive.sum())
    low, high = wilson(hits, of)
    specificity = float((~alarm & ~positive).sum() / (~positive).sum())
    return (
        f"Answers {name} from {threshold:.4g} on: the highest threshold with a sensitivity of {asked:g} or more on the "
        f"validation split. There it finds {hits} of {of} ({hits / of:.3f}, 95 % interval {low:.3f} to {high:.3f}) "
        f"at a specificity of {specificity:.3f}."
    )
