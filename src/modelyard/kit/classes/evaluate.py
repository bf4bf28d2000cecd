"""A classifier's answers as one Evaluation: metrics beside the most frequent class, intervals,
and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Literal

import numpy as np
from sklearn.metrics import average_precision_score

from modelyard.judging.curves import roc, roc_auc
from modelyard.judging.evaluation import Evaluation, Gain, Plot, Table
from modelyard.kit.classes import plots
from modelyard.kit.classes.decision import HALF, Decision
from modelyard.kit.classes.judged import (
    Judged,
    class_metrics,
    class_shares,
    confusion,
    directions,
    macro_f1,
)
from modelyard.kit.intervals import Resampled, resample, share_sentence, unsampled

RARE = 0.2
"""Below this share of positives average precision is asked for first: ROC AUC flatters when
negatives abound."""
BASELINE = "most frequent class"
QUOTED = ("accuracy", "macro_f1")
"""Metrics of further simple answers that the card quotes, next to the main one."""
MainOfSeveral = Literal["accuracy", "macro_f1"]


def judge_classes(
    judged: Judged,
    decision: Decision,
    train: np.ndarray,
    *,
    split: str,
    unit: str,
    main_of_several: MainOfSeveral,
    groups: np.ndarray | None = None,
    rivals: Mapping[str, np.ndarray] = MappingProxyType({}),
    more: Sequence[Plot] = (),
    tables: Sequence[Table] = (),
) -> Evaluation:
    """Judges a classifier, its own host or another package's.

    Classes are matched by name: one that the host does not know counts as missed. Of two classes
    the first metric is average precision where positives are rare, else ROC AUC.

    Args:
        judged: calibrated probabilities and answers, as `align` matches them to the data's classes;
            decision: of the host that gave them.
        train: true class indices of the training split, for the baseline.
        unit: what examples are called: `rows`, `pictures`.
        main_of_several: the first metric of several classes. Macro F1 suffers both from a rare
            class missed and from
            one answered wrongly; accuracy is what people quote of balanced data.
        groups: of the examples (n,), such as patients: intervals rest on them; None: each is one.
        rivals: probabilities (n, classes) of further simple answers to the same examples, in the
            order of `classes`, which a person would compare the model with.
        more: further plots; tables: for the card.
    """
    y, classes = judged.y, judged.classes
    metrics = class_metrics(judged)
    notes = []
    if decision.note:
        notes.append(decision.note)
    if len(classes) == 2 and decision.threshold not in (None, HALF):
        notes.append(_both_answers(judged, decision.answers_from))
    if judged.unknown:
        names = ", ".join(judged.unknown)
        notes.append(f"The model does not know {names}: such {unit} count as missed.")
    simple = class_shares(judged, train)
    others = [Judged(y, found, found.argmax(axis=1), classes) for found in rivals.values()]
    main, sentences, found = _main(judged, [simple, *others], unit, main_of_several, groups)
    of_rivals = {name: class_metrics(other) for name, other in zip(rivals, others, strict=True)}
    # Among the answers that were resampled the rivals stand behind the model's and the baseline's.
    for place, (name, of_rival) in enumerate(of_rivals.items(), 2):
        ahead = found.gain(main, name, "max", place)
        sentences.append(_of_rival(name, of_rival, main, ahead))
    if len(classes) == 2:
        figures = plots.of_two(judged, decision.answers_from, unit)
    else:
        figures = plots.of_several(judged)
    curve = None
    if judged.both_classes_seen:
        curve = roc(y, judged.p[:, 1])
    return Evaluation(
        split=split,
        rows=len(y),
        unit=unit,
        metrics=metrics,
        baseline=class_metrics(simple),
        baseline_name=BASELINE,
        rivals={name: of_rival[main] for name, of_rival in of_rivals.items()},
        directions=directions(list(metrics)),
        **found.compared(main, "max", BASELINE),
        notes=[*notes, *sentences],
        confusion=confusion(judged),
        roc=curve,
        plots=[*figures, *more],
        tables=list(tables),
    )


def _main(
    judged: Judged,
    simple: Sequence[Judged],
    unit: str,
    of_several: MainOfSeveral,
    groups: np.ndarray | None,
) -> tuple[str, list[str], Resampled]:
    """The metric that comes first, sentences with intervals, and the metric of the model and of the
    `simple` answers on bootstrap samples."""
    y, labels = judged.y, judged.labels
    accuracy = share_sentence("accuracy", labels == y, groups)
    if len(judged.classes) > 2:
        answered = [answers.labels for answers in (judged, *simple)]
        f1 = first = resample(macro_f1, y, *answered, groups=groups)
        if of_several == "accuracy":
            first = resample(_accuracy, y, *answered, groups=groups)
        said = [f1.sentence("macro_f1", within=(0, 1)), accuracy]
        return of_several, said, first
    if not judged.both_classes_seen:
        only = judged.classes[int(y[0])]
        said = [f"All {unit} are {only}: ranking metrics are undefined.", accuracy]
        return "log_loss", said, unsampled(1 + len(simple))
    main, ranking = "roc_auc", roc_auc
    if y.mean() < RARE:
        main, ranking = "average_precision", average_precision_score
    alarm = labels == 1
    # All on the same samples: the difference of two models varies less than each of them.
    scores = [answers.p[:, 1] for answers in (judged, *simple)]
    found = resample(ranking, y, *scores, groups=groups)
    said = [
        found.sentence(main, within=(0, 1)),
        accuracy,
        share_sentence("recall", alarm[y == 1], _of(groups, y == 1)),
        share_sentence("specificity", ~alarm[y == 0], _of(groups, y == 0)),
    ]
    return main, said, found


def _of(groups: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    if groups is None:
        return None
    return np.asarray(groups[rows])


def _accuracy(y: np.ndarray, labels: np.ndarray) -> float:
    return float((labels == y).mean())


def _of_rival(name: str, metrics: dict[str, float], main: str, gain: Gain | None) -> str:
    """The figures of a further simple answer, and how far the model is ahead of it."""
    figures = [f"{metric} {metrics[metric]:.3f}" for metric in dict.fromkeys((main, *QUOTED))]
    said = f"{name} on the same examples: {', '.join(figures)}."
    if gain is None:
        return said
    if gain.low > 0:
        verdict = "the model is better beyond chance"
    elif gain.high < 0:
        verdict = "the model is worse beyond chance"
    else:
        verdict = "no difference beyond chance"
    return f"{said} Gain in {main} over it {gain.words}: {verdict}."


def _both_answers(judged: Judged, threshold: float) -> str:
    """The figures at the threshold, and where the most probable class is the answer."""
    probable = replace(judged, labels=(judged.p[:, 1] >= HALF).astype(np.int64))
    said = []
    names = ("accuracy", "precision", "recall", "f1")
    for at, answers in ((threshold, judged), (HALF, probable)):
        found = class_metrics(answers)
        figures = [f"{name} {found[name]:.3f}" for name in names]
        said.append(f"from {at:.3g} on {', '.join(figures)}")
    return (
        f"On this split {judged.classes[1]} answered {said[0]}; {said[1]}, which is the most probable class. "
        "The threshold serves its aim, at the cost of the other figures."
    )
