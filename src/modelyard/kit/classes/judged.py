"""A classifier's answers in the data's own class order, and their metrics. Needs scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from sklearn import metrics as sk

from modelyard.judging.evaluation import Confusion, Direction
from modelyard.kit.classes.answers import check_shared

ANOTHER = "(another)"
"""In a confusion matrix: the class of answers that the data does not know."""
ERROR_BINS = 15
"""Of the expected calibration error."""
MANY_CLASSES = 20
"""From so many classes on the best five are counted instead of the best two."""
LESS_IS_BETTER = frozenset({"log_loss", "brier", "ece"})


@dataclass(frozen=True)
class Judged:
    """A classifier's answers, in the class order of the features folder, whatever the host's own
    is."""

    y: np.ndarray
    """True class indices, int64 (n,)."""
    p: np.ndarray
    """Probabilities (n, classes); 0 for a class that the host does not know."""
    labels: np.ndarray
    """Predicted class indices, int64 (n,); `len(classes)` for a class that is not in the data."""
    classes: list[str]
    unknown: tuple[str, ...] = ()
    """Classes that the host does not know."""

    def rows(self, part: np.ndarray) -> Judged:
        """The answers to some of the examples."""
        return replace(self, y=self.y[part], p=self.p[part], labels=self.labels[part])

    @property
    def both_classes_seen(self) -> bool:
        """Whether two classes can be ranked: there are two, and each is true of some example."""
        return len(self.classes) == 2 and bool(0 < self.y.sum() < len(self.y))


def align(
    p: np.ndarray, labels: np.ndarray, known: Sequence[str], y: np.ndarray, classes: list[str]
) -> Judged:
    """Answers of a host with the classes `known`, in the order of `classes`: matched by name.

    Args:
        p: probabilities (n, len(known)); labels: answered indices into `known`, (n,).
        y: true indices into `classes`, (n,).

    Raises:
        UsageError: the host knows none of the classes.
    """
    check_shared(known, classes)
    # Classes that the data lacks share a last column, which is cut off below.
    index = {name: position for position, name in enumerate(classes)}
    to = np.array([index.get(name, len(classes)) for name in known])
    aligned = np.zeros((len(p), len(classes) + 1))
    for column, position in enumerate(to):
        aligned[:, position] += p[:, column]
    unknown = tuple(sorted(set(classes) - set(known)))
    return Judged(y, aligned[:, :-1], to[labels], classes, unknown)


def class_shares(judged: Judged, train: np.ndarray) -> Judged:
    """The baseline: always the most frequent training class, with the training shares as
    probabilities.

    Args:
        train: class indices of the training split, (m,).
    """
    shares = np.bincount(train, minlength=len(judged.classes)) / len(train)
    p = np.tile(shares, (len(judged.y), 1))
    return Judged(judged.y, p, np.full(len(judged.y), shares.argmax()), judged.classes)


def class_metrics(judged: Judged) -> dict[str, float]:
    """Metrics by the field's names: of any number of classes, and those of two or of several.

    Macro averages are over the classes that are true of an example: one that none has cannot be
    judged.
    """
    found = _of_any(judged)
    if len(judged.classes) == 2:
        found |= _of_two(judged)
    else:
        found |= _of_several(judged)
    return {name: float(value) for name, value in found.items()}


def directions(metrics: Sequence[str]) -> dict[str, Direction]:
    """Whether more or less of each metric is better."""
    found: dict[str, Direction] = {}
    for name in metrics:
        found[name] = "min" if name in LESS_IS_BETTER else "max"
    return found


def confusion(judged: Judged) -> Confusion:
    """Counts by true and answered class; a last row and column where some answer is another
    class."""
    names = list(judged.classes)
    if (judged.labels == len(names)).any():
        names.append(ANOTHER)
    matrix = sk.confusion_matrix(judged.y, judged.labels, labels=np.arange(len(names)))
    return Confusion(labels=names, matrix=matrix.tolist())


def macro_f1(y: np.ndarray, labels: np.ndarray) -> float:
    """Mean F1 over the classes that are true of an example: scikit-learn's `f1_score`, which takes
    twenty times as long on each of hundreds of bootstrap samples."""
    size = 1 + max(int(y.max()), int(labels.max()))
    hits = np.bincount(y[y == labels], minlength=size)
    true = np.bincount(y, minlength=size)
    answered = np.bincount(labels, minlength=size)
    seen = true > 0
    return float((2 * hits[seen] / (true + answered)[seen]).mean())


def calibration_error(hit: np.ndarray, confidence: np.ndarray) -> float:
    """Expected calibration error: mean |share right - mean probability| over ERROR_BINS bins of equal width, weighted
    by their counts (Guo et al. 2017, section 2)."""
    # A bin holds its upper edge; 0 is in the first one.
    bins = np.clip(np.ceil(confidence * ERROR_BINS).astype(np.int64) - 1, 0, ERROR_BINS - 1)
    # A bin's difference of means times its rows is the difference of its sums.
    gaps = np.bincount(bins, hit.astype(np.float64) - confidence, minlength=ERROR_BINS)
    return float(np.abs(gaps).sum() / len(hit))


def top_accuracy(y: np.ndarray, p: np.ndarray, best: int) -> float:
    """Share of examples whose true class is among the `best` most probable; ties count by their
    expected value.

    A class without a probability, as one that the host does not know, is never among them.
    """
    truth = p[np.arange(len(y)), y]
    above = (p > truth[:, None]).sum(axis=1)
    tied = (p == truth[:, None]).sum(axis=1)
    # Of so many tied ones some have room among the best: the true one is of them by chance.
    chance = np.clip((best - above) / tied, 0, 1)
    return float(np.where(truth > 0, chance, 0).mean())


def _of_any(judged: Judged) -> dict[str, float]:
    y, p, labels = judged.y, judged.p, judged.labels
    recalls = [(labels[y == index] == index).mean() for index in np.unique(y)]
    # As scikit-learn's `log_loss` clips: a class that the host does not know has probability 0, whose
    # logarithm is -inf.
    truth = np.clip(p[np.arange(len(y)), y], np.finfo(np.float64).eps, 1)
    return {
        "accuracy": (labels == y).mean(),
        "balanced_accuracy": np.mean(recalls),
        "macro_f1": macro_f1(y, labels),
        "worst_class_recall": min(recalls),
        "log_loss": -np.log(truth).mean(),
        "ece": calibration_error(p.argmax(axis=1) == y, p.max(axis=1)),
    }


def _of_two(judged: Judged) -> dict[str, float]:
    """Class 1 is the positive one; shares of nothing are 0, and rankings are left out where one
    class is missing."""
    y, score, alarm = judged.y == 1, judged.p[:, 1], judged.labels == 1
    found = {
        "precision": _share(y, among=alarm),
        "recall": _share(alarm, among=y),
        "specificity": _share(~alarm, among=~y),
        "negative_predictive_value": _share(~y, among=~alarm),
        "f1": sk.f1_score(y, alarm, zero_division=0),
        "brier": np.square(score - y).mean(),
    }
    if judged.both_classes_seen:
        found["roc_auc"] = sk.roc_auc_score(y, score)
        found["average_precision"] = sk.average_precision_score(y, score)
    return found


def _of_several(judged: Judged) -> dict[str, float]:
    best = 2
    if len(judged.classes) >= MANY_CLASSES:
        best = 5
    return {f"top_{best}_accuracy": top_accuracy(judged.y, judged.p, best)}


def _share(hit: np.ndarray, *, among: np.ndarray) -> float:
    if among.any():
        return float(hit[among].mean())
    return 0.0
