"""Judges answers with any number of labels. Needs scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn import metrics as sk

from modelyard.judging.evaluation import Evaluation, Plot, Table
from modelyard.kit.classes.answers import check_shared
from modelyard.kit.classes.judged import directions
from modelyard.kit.classes.plots import recall_bars
from modelyard.kit.intervals import resample

BASELINE = "most frequent labels"


@dataclass(frozen=True)
class JudgedLabels:
    """Answers in the class order of the features folder."""

    y: np.ndarray
    """Bool (n, classes)."""
    p: np.ndarray
    """Probability of each label, (n, classes)."""
    answers: np.ndarray
    """Bool (n, classes)."""
    classes: list[str]

    @property
    def surprise(self) -> np.ndarray:
        """Of each example's labels and lack of others, in nats, (n,)."""
        truth = np.where(self.y, self.p, 1 - self.p)
        found: np.ndarray = -np.log(np.maximum(truth, 1e-12)).sum(axis=1)
        return found


def align_labels(
    p: np.ndarray, answers: np.ndarray, known: Sequence[str], y: np.ndarray, classes: list[str]
) -> JudgedLabels:
    """Answers of a host with the classes `known`, matched by name to `classes`.

    A label that the host does not know is never answered; one that the data does not know is not
    judged.

    Raises:
        UsageError: the host knows none of the labels.
    """
    check_shared(known, classes)
    shape = (len(y), len(classes))
    aligned, held = np.zeros(shape), np.zeros(shape, bool)
    for column, name in enumerate(known):
        if name in classes:
            aligned[:, classes.index(name)] = p[:, column]
            held[:, classes.index(name)] = answers[:, column]
    return JudgedLabels(y.astype(bool), aligned, held, classes)


def frequent_labels(train: np.ndarray, y: np.ndarray, classes: list[str]) -> JudgedLabels:
    """The baseline: to every example the same labels, the most frequent ones of training, as many
    as have the best micro F1 there; their training shares as probabilities."""
    shares = train.mean(axis=0)
    # Right and answered labels of training where everybody is answered the first 1, 2, … of them.
    order = np.argsort(-shares, kind="stable")
    hits = np.cumsum(train.sum(axis=0)[order])
    answered = len(train) * np.arange(1, len(classes) + 1)
    best = int(np.argmax(2 * hits / (answered + train.sum())))
    chosen = np.zeros(len(classes), bool)
    chosen[order[: best + 1]] = True
    p, answers = np.tile(shares, (len(y), 1)), np.tile(chosen, (len(y), 1))
    return JudgedLabels(y.astype(bool), p, answers, classes)


def label_metrics(judged: JudgedLabels) -> dict[str, float]:
    """By the field's names. Macro averages are over the labels that some example has."""
    y, answers = judged.y, judged.answers
    seen = np.flatnonzero(y.any(axis=0))
    areas = []
    for label in seen:
        areas.append(sk.average_precision_score(y[:, label], judged.p[:, label]))
    found = {
        "micro_f1": micro_f1(y, answers),
        "macro_f1": sk.f1_score(y, answers, labels=seen, average="macro", zero_division=0),
        "micro_precision": sk.precision_score(y, answers, average="micro", zero_division=0),
        "micro_recall": sk.recall_score(y, answers, average="micro", zero_division=0),
        "macro_average_precision": np.mean(areas),
        "exact_match": (y == answers).all(axis=1).mean(),
        "hamming_loss": (y != answers).mean(),
    }
    return {name: float(value) for name, value in found.items()}


def micro_f1(y: np.ndarray, answers: np.ndarray) -> float:
    """F1 over all examples' labels together; y and answers are bool (n, classes)."""
    both = y.sum() + answers.sum()
    if both:
        return float(2 * (y & answers).sum() / both)
    return 0.0


def judge_labels(
    judged: JudgedLabels,
    train: np.ndarray,
    *,
    split: str,
    unit: str,
    note: str,
    rivals: Mapping[str, JudgedLabels],
    tables: Sequence[Table],
    thresholds: Mapping[str, float],
    more: Sequence[Plot] = (),
    groups: np.ndarray | None = None,
) -> Evaluation:
    """Metrics of a split next to the most frequent labels'.

    Args:
        train: labels of the training split (m, classes), for the baseline.
        note: how thresholds were chosen; thresholds: by label.
        rivals: further simple answers to the same examples, by what they are.
        more: further plots for the card.
        groups: of the examples (n,), such as patients; None: each is one.
    """
    y, classes = judged.y, judged.classes
    simple = frequent_labels(train, y, classes)
    answered = [answers.answers for answers in (judged, simple, *rivals.values())]
    found = resample(micro_f1, y, *answered, groups=groups)
    metrics = label_metrics(judged)
    notes = [note, found.sentence("micro_f1", within=(0, 1))]
    # Among the answers that were resampled the rivals stand behind the model's and the baseline's.
    for place, (name, rival) in enumerate(rivals.items(), 2):
        figures = label_metrics(rival)
        said = f"{name} on the same examples, thresholds chosen alike: "
        said += f"micro F1 {figures['micro_f1']:.3f}, macro F1 {figures['macro_f1']:.3f}."
        if ahead := found.gain("micro_f1", name, "max", place):
            said += f" Gain over it {ahead.words}."
        notes.append(said)
    if missing := sorted(set(classes) - thresholds.keys()):
        notes.append(f"The model does not know {', '.join(missing)}: such labels count as missed.")
    precision, recall, f1, _ = _figures(judged)
    bars = recall_bars("label", classes, recall, precision, ("F1", f1))
    way = directions(list(metrics))
    way["hamming_loss"] = "min"
    return Evaluation(
        split=split,
        rows=len(y),
        unit=unit,
        metrics=metrics,
        baseline=label_metrics(simple),
        baseline_name=BASELINE,
        rivals={name: micro_f1(y, rival.answers) for name, rival in rivals.items()},
        directions=way,
        **found.compared("micro_f1", "max", BASELINE),
        notes=[note for note in notes if note],
        plots=[bars, *more],
        tables=[_table(judged, thresholds), *tables],
    )


def _table(judged: JudgedLabels, thresholds: Mapping[str, float]) -> Table:
    """Each label's figures, and the other label that is most often answered in its place."""
    precision, recall, f1, support = _figures(judged)
    missed, wrong = judged.y & ~judged.answers, ~judged.y & judged.answers
    # (classes, classes): examples that lack the one and have the other for nothing. As integers:
    # the product of booleans is one of "any".
    instead = missed.astype(np.int64).T @ wrong.astype(np.int64)
    rows: list[list[str | float]] = []
    for place, name in enumerate(judged.classes):
        other = int(instead[place].argmax())
        count = int(instead[place, other])
        figures = [round(float(values[place]), 4) for values in (precision, recall, f1)]
        threshold: str | float = "–"
        if name in thresholds:
            threshold = round(thresholds[name], 4)
        confused = f"{judged.classes[other]} ({count})" if count else "–"
        rows.append([name, int(support[place]), *figures, threshold, confused])
    columns = ["label", "examples", "precision", "recall", "F1", "threshold"]
    return Table(title="By label", columns=[*columns, "answered instead"], rows=rows)


def _figures(judged: JudgedLabels) -> tuple[np.ndarray, ...]:
    found: tuple[np.ndarray, ...] = sk.precision_recall_fscore_support(
        judged.y, judged.answers, zero_division=0
    )
    return found
