"""From raw probabilities to calibrated ones and a class: fitted on the validation split, served with numpy alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from modelyard.families.tabular.config import TabularModel

FILE = "decision.json"
SIGMOID_POSITIVES, ISOTONIC_POSITIVES = 30, 1_000
"""Positive validation rows from which `calibration=auto` considers each method."""
FOLDS = 5
CLIP = 1e-7


class NoCalibration(BaseModel):
    """Probabilities as the model gives them."""

    model_config = ConfigDict(frozen=True)
    method: Literal["none"] = "none"

    def apply(self, p: np.ndarray) -> np.ndarray:
        """Probabilities of the positive class, (n,) to (n,)."""
        return p


class Sigmoid(BaseModel):
    """1 / (1 + exp(-(a logit(p) + b))): Platt's scaling (1999) on the log-odds. a = 1, b = 0 changes nothing."""

    model_config = ConfigDict(frozen=True)
    method: Literal["sigmoid"] = "sigmoid"
    a: float
    b: float

    def apply(self, p: np.ndarray) -> np.ndarray:
        """Probabilities of the positive class, (n,) to (n,)."""
        result: np.ndarray = 1 / (1 + np.exp(-(self.a * logit(p) + self.b)))
        return result


class Isotonic(BaseModel):
    """A rising line through the points (x, y), flat outside (Zadrozny and Elkan 2002)."""

    model_config = ConfigDict(frozen=True)
    method: Literal["isotonic"] = "isotonic"
    x: list[float]
    y: list[float]

    def apply(self, p: np.ndarray) -> np.ndarray:
        """Probabilities of the positive class, (n,) to (n,)."""
        result: np.ndarray = np.interp(p, self.x, self.y)
        return result


Calibration = Annotated[NoCalibration | Sigmoid | Isotonic, Field(discriminator="method")]


class Decision(BaseModel):
    """How probabilities become an answer. Class index 1 is the positive one of a binary classifier."""

    model_config = ConfigDict(frozen=True)

    calibration: Calibration = NoCalibration()
    threshold: float | None = None
    """A binary classifier answers class 1 from this probability on. None: the most probable class."""
    aim: str = "most probable class"
    """What the threshold was chosen for."""
    note: str = ""
    """How it was chosen, with its figures on the validation split."""

    @classmethod
    def load(cls, assets: Path) -> Decision:
        """From `assets/decision.json`; without that file nothing is calibrated and the most probable class wins."""
        path = Path(assets) / FILE
        return cls.model_validate_json(path.read_text()) if path.is_file() else cls()

    def save(self, assets: Path) -> None:
        """Writes `assets/decision.json`."""
        (Path(assets) / FILE).write_text(self.model_dump_json(indent=2) + "\n")

    def probabilities(self, raw: np.ndarray) -> np.ndarray:
        """The model's probabilities (n, k) to calibrated ones, float64 (n, k)."""
        raw = raw.astype(np.float64)
        if raw.shape[1] != 2 or isinstance(self.calibration, NoCalibration):
            return raw
        positive = self.calibration.apply(raw[:, 1])
        return np.stack([1 - positive, positive], axis=1)

    def labels(self, p: np.ndarray) -> np.ndarray:
        """Calibrated probabilities (n, k) to class indices, int64 (n,)."""
        if self.threshold is None or p.shape[1] != 2:
            labels: np.ndarray = p.argmax(axis=1)
        else:
            labels = p[:, 1] >= self.threshold
        return labels.astype(np.int64)


def logit(p: np.ndarray) -> np.ndarray:
    """Log-odds of probabilities, which are first kept CLIP away from 0 and 1."""
    clipped = np.clip(np.asarray(p, dtype=np.float64), CLIP, 1 - CLIP)
    result: np.ndarray = np.log(clipped / (1 - clipped))
    return result


def fit_decision(settings: TabularModel, raw: np.ndarray, y: np.ndarray) -> Decision:
    """Chooses calibration and threshold. Training only: it imports scikit-learn.

    Args:
        settings: calibration, aim, least_recall and the two costs.
        raw: the model's probabilities on the validation split, (n, k).
        y: class indices, (n,).
    """
    if raw.shape[1] != 2:
        asked = settings.calibration not in ("auto", "none") or settings.aim != "f1"
        ignored = " calibration and aim are for two classes, and were left aside." if asked else ""
        return Decision(note=f"The most probable of {raw.shape[1]} classes is the answer.{ignored}")
    positive = y == 1
    if positive.all() or not positive.any():
        return Decision(threshold=0.5, aim="half", note="Threshold 0.5: the validation split holds one class alone.")
    calibration, calibration_note = _fit_calibration(settings, raw[:, 1].astype(np.float64), positive)
    p = Decision(calibration=calibration).probabilities(raw)[:, 1]
    threshold = 0.5 if settings.aim == "half" else _choose(settings, p, positive)
    note = f"{_describe(settings, threshold, p >= threshold, positive)} {calibration_note}"
    return Decision(calibration=calibration, threshold=threshold, aim=settings.aim, note=note.strip())


def _choose(settings: TabularModel, p: np.ndarray, positive: np.ndarray) -> float:
    """The threshold that serves the aim; ties go to the higher one, and it lies midway between two seen values.

    Midway, so that rounding in an exported graph cannot move a seen row across it.
    """
    values, group = np.unique(p, return_inverse=True)
    hits = np.cumsum(np.bincount(group, positive)[::-1])
    alarms = np.cumsum(np.bincount(group, ~positive)[::-1])
    values = values[::-1]
    utility = _utility(settings, np.r_[0.0, hits], np.r_[0.0, alarms])
    best = int(np.argmax(utility))
    if best == 0:
        return float(np.nextafter(1.0, 2.0)) if values[0] >= 1 else float((values[0] + 1) / 2)
    return float((values[best - 1] + values[best]) / 2) if best < len(values) else float(values[-1] / 2)


def _utility(settings: TabularModel, hits: np.ndarray, alarms: np.ndarray) -> np.ndarray:
    """What the aim makes of each threshold, from the highest (no alarm at all) down; larger is better."""
    total = hits[-1]
    if settings.aim == "cost":
        cost: np.ndarray = settings.false_positive_cost * alarms + settings.false_negative_cost * (total - hits)
        return -cost
    if settings.aim == "recall":
        precision = hits / np.maximum(hits + alarms, 1)
        # The last term lets the higher recall win where the precision is the same.
        return np.where(hits >= settings.least_recall * total - 1e-9, precision + 1e-9 * hits / total, -1.0)
    f1: np.ndarray = 2 * hits / (hits + alarms + total)
    return f1


def _describe(settings: TabularModel, threshold: float, alarm: np.ndarray, positive: np.ndarray) -> str:
    hits, alarms, misses = (alarm & positive).sum(), (alarm & ~positive).sum(), (~alarm & positive).sum()
    precision, recall = hits / max(hits + alarms, 1), hits / positive.sum()
    cost = settings.false_positive_cost * alarms + settings.false_negative_cost * misses
    reason = {
        "f1": f"has the best F1 ({2 * hits / (2 * hits + alarms + misses):.3f})",
        "recall": f"has the best precision at a recall of {settings.least_recall:g} or more",
        "cost": f"costs least ({cost:g} = {alarms} false alarms x {settings.false_positive_cost:g} + {misses} misses"
        f" x {settings.false_negative_cost:g})",
        "half": "is one half, not chosen",
    }[settings.aim]
    return (
        f"Threshold {threshold:.4g} {reason} on the validation split: precision {precision:.3f}, recall {recall:.3f}."
    )


def _fit_calibration(
    settings: TabularModel, p: np.ndarray, positive: np.ndarray
) -> tuple[NoCalibration | Sigmoid | Isotonic, str]:
    """The calibration, and a sentence on it; `auto` keeps one only where it lowers the log loss on held-out folds."""
    method = settings.calibration
    if method == "auto":
        count = int(min(positive.sum(), (~positive).sum()))
        method = "isotonic" if count >= ISOTONIC_POSITIVES else "sigmoid" if count >= SIGMOID_POSITIVES else "none"
        if method == "none":
            return NoCalibration(), f"Not calibrated: {count} validation rows of the rarer class are too few."
        before, after = _held_out_losses(method, p, positive)
        if after >= before:
            return NoCalibration(), (
                f"Not calibrated: {method} would not lower the log loss ({before:.4f} to {after:.4f}, cross-validated)."
            )
    if method == "none":
        return NoCalibration(), ""
    return _calibration(method, p, positive), (
        f"Probabilities are calibrated ({method}) on the same rows, so these figures flatter a little; the test"
        " split judges."
    )


def _held_out_losses(method: str, p: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """Log loss over all rows, raw and calibrated by the other folds."""
    from sklearn.model_selection import StratifiedKFold

    calibrated = np.empty_like(p)
    for train, held_out in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(p, positive):
        calibrated[held_out] = _calibration(method, p[train], positive[train]).apply(p[held_out])
    return _log_loss(p, positive), _log_loss(calibrated, positive)


def _calibration(method: str, p: np.ndarray, positive: np.ndarray) -> Sigmoid | Isotonic:
    return _fit_isotonic(p, positive) if method == "isotonic" else _fit_sigmoid(p, positive)


def _fit_sigmoid(p: np.ndarray, positive: np.ndarray) -> Sigmoid:
    """With Platt's smoothed targets, which keep the slope finite where the classes part cleanly."""
    from sklearn.linear_model import LogisticRegression

    hits, others = positive.sum(), (~positive).sum()
    target = np.where(positive, (hits + 1) / (hits + 2), 1 / (others + 2))
    x = np.tile(logit(p), 2)[:, None]
    y = np.repeat([1, 0], len(p))
    model = LogisticRegression(C=1e6, max_iter=1_000).fit(x, y, sample_weight=np.r_[target, 1 - target])
    return Sigmoid(a=float(model.coef_[0, 0]), b=float(model.intercept_[0]))


def _fit_isotonic(p: np.ndarray, positive: np.ndarray) -> Isotonic:
    """Kept 1 / (n + 2) away from 0 and 1: no finite sample shows that an event is impossible."""
    from sklearn.isotonic import IsotonicRegression

    edge = 1 / (len(p) + 2)
    model = IsotonicRegression(y_min=edge, y_max=1 - edge, out_of_bounds="clip").fit(p, positive)
    return Isotonic(x=model.X_thresholds_.tolist(), y=model.y_thresholds_.tolist())


def _log_loss(p: np.ndarray, positive: np.ndarray) -> float:
    right = np.clip(np.where(positive, p, 1 - p), CLIP, 1)
    return float(-np.log(right).mean())
