"""Judges an image model on a split, through the host that serves it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard import evaluation_curves
from modelyard.evaluation import Direction, Evaluation
from modelyard.evaluation_curves import Judged, align, by_class, confusion
from modelyard.families.image import curves, store
from modelyard.families.image.decide import wilson
from modelyard.families.image.gallery import gallery
from modelyard.families.image.spec import ImageSpec

if TYPE_CHECKING:
    from modelyard.families.image.host import ImageHost
    from modelyard.family import Runtime, Split

BINS = 15
"""Of the expected calibration error."""
DOWN = frozenset({"log_loss", "brier", "ece"})
"""Metrics of which less is better."""


def evaluate(host: ImageHost, run: Runtime, features: Path, split: Split = "test") -> Evaluation:
    """Metrics beside those of the most frequent class, and the plots of the field.

    The host may be another package's: it decodes the files by its own rules, its classes are matched by name, and a
    class that it does not know counts as missed.
    """
    spec = ImageSpec.load(Path(features) / "assets")
    y, pixels = store.load_labels(features, split), seen_pixels(host, spec, features, split)
    p = host.decision.probabilities(host.logits(run, pixels))
    judged = align(p, host.decision.labels(p), host.spec.classes, y, spec.classes)
    notes = [host.decision.note] if host.decision.note else []
    if strange := sorted(set(spec.classes) - set(host.spec.classes)):
        notes.append(f"The model does not know {', '.join(strange)}: such pictures count as missed.")
    binary = len(spec.classes) == 2
    frequent = _most_frequent(judged, features)
    metrics, baseline = class_metrics(judged), class_metrics(frequent)
    main, drawn = "accuracy", [by_class(y, judged.labels, spec.classes)]
    if binary:
        metrics, baseline = metrics | diagnosis(judged), baseline | diagnosis(frequent)
        notes += _intervals(judged)
        main = "roc_auc" if "roc_auc" in metrics else "accuracy"
        drawn = curves.two(y, judged.p[:, 1], spec.classes, host.decision.threshold)
    right = int((judged.labels == y).sum())
    notes.append(_interval("accuracy", right, len(y)))
    reliability = curves.reliability(judged.p.argmax(axis=1) == y, judged.p.max(axis=1), BINS)
    pictures = gallery(host, run, pixels, judged.y, judged.labels, judged.p, spec.classes)
    return _evaluation(split, judged, metrics, baseline, main, notes, [*drawn, reliability, *pictures])


def seen_pixels(host: ImageHost, spec: ImageSpec, features: Path, split: str) -> np.ndarray:
    """What the host sees of the split's files: what is stored, where the features were made by the same rules."""
    if host.spec.sees_like(spec):
        return store.load_pixels(features, split)
    return np.stack([host.spec.decode(data) for _, data in store.load_files(features, split)])


def class_metrics(judged: Judged) -> dict[str, float]:
    """Metrics for any number of classes; macro averages are over the classes that are true of a picture."""
    from sklearn.metrics import f1_score

    y, p, labels = judged.y, judged.p, judged.labels
    recalls = [float((labels[y == index] == index).mean()) for index in np.unique(y)]
    truth = p[np.arange(len(y)), y]
    best = 5 if len(judged.classes) >= 20 else 2
    shared = evaluation_curves.class_metrics(judged)
    metrics = {
        "accuracy": shared["accuracy"],
        "balanced_accuracy": shared["balanced_accuracy"],
        "macro_f1": float(f1_score(y, labels, labels=np.unique(y), average="macro", zero_division=0)),
        "worst_class_recall": min(recalls),
        "log_loss": shared["log_loss"],
        "ece": calibration_error(p.argmax(axis=1) == y, p.max(axis=1)),
    }
    if len(judged.classes) > 2:
        first = np.argsort(-p, axis=1, kind="stable")[:, :best]
        metrics[f"top_{best}_accuracy"] = float(((first == y[:, None]).any(axis=1) & (truth > 0)).mean())
    return metrics


def diagnosis(judged: Judged) -> dict[str, float]:
    """Of two classes: sensitivity, specificity, predictive values (0 where nothing was answered so), and the ranking
    metrics where both classes are there."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    y, score, alarm = judged.y == 1, judged.p[:, 1], judged.labels == 1
    metrics = {
        "sensitivity": _share(alarm, y),
        "specificity": _share(~alarm, ~y),
        "ppv": _share(y, alarm),
        "npv": _share(~y, ~alarm),
        "brier": float(np.square(score - y).mean()),
    }
    if y.any() and not y.all():
        ranking = {"roc_auc": roc_auc_score(y, score), "average_precision": average_precision_score(y, score)}
        metrics |= {name: float(value) for name, value in ranking.items()}
    return metrics


def calibration_error(hit: np.ndarray, confidence: np.ndarray) -> float:
    """Expected calibration error: mean |share right - mean probability| over BINS bins of equal width, weighted by
    their counts (Guo et al. 2017, section 2)."""
    bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    gaps = np.bincount(bins, hit.astype(np.float64) - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(hit))


def _most_frequent(judged: Judged, features: Path) -> Judged:
    """Always the most frequent training class, with the training shares as probabilities."""
    train = store.load_labels(features, "train")
    shares = np.bincount(train, minlength=len(judged.classes)) / len(train)
    p = np.tile(shares, (len(judged.y), 1))
    return Judged(judged.y, p, np.full(len(judged.y), shares.argmax()), judged.classes)


def _intervals(judged: Judged) -> list[str]:
    y, alarm = judged.y == 1, judged.labels == 1
    return [
        _interval("sensitivity", int((alarm & y).sum()), int(y.sum())),
        _interval("specificity", int((~alarm & ~y).sum()), int((~y).sum())),
    ]


def _interval(name: str, hits: int, of: int) -> str:
    low, high = wilson(hits, of)
    return f"{name}: {hits} of {of}, 95 % interval {low:.3f} to {high:.3f} (Wilson)."


def _share(hit: np.ndarray, among: np.ndarray) -> float:
    return float(hit[among].mean()) if among.any() else 0.0


def _evaluation(
    split: str, judged: Judged, metrics: dict[str, float], baseline: dict[str, float], main: str, notes: list[str],
    plots: list[Any],
) -> Evaluation:  # fmt: skip
    directions: dict[str, Direction] = {name: "min" if name in DOWN else "max" for name in metrics}
    y = judged.y
    both = len(judged.classes) == 2 and 0 < y.sum() < len(y)
    return Evaluation(
        split=split, rows=len(y), metrics=metrics, baseline=baseline, baseline_name="most frequent class", main=main,
        directions=directions, notes=notes, confusion=confusion(judged), plots=plots,
        roc=evaluation_curves.roc(y, judged.p[:, 1]) if both else None,
    )  # fmt: skip
