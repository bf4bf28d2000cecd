"""The response of a classifier: a class with its probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from modelyard.errors import UsageError
from modelyard.host import Cell, Outcome, WithWarnings, answered
from modelyard.kit.classes.decision import Decision

NAMED = 5
"""Classes in a message, at most."""


class ClassAnswer(WithWarnings):
    """The answer of a classifier of several classes."""

    label: str
    """The predicted class."""
    probability: float
    """Probability of the predicted class, calibrated."""
    probabilities: dict[str, float]
    """Probability by class; they add up to 1."""


class BinaryAnswer(ClassAnswer):
    """The answer of a classifier of two classes."""

    score: float
    """Probability of the positive class, calibrated."""
    threshold: float
    """The positive class is answered from this score on."""


def answer_type(classes: list[str]) -> type[ClassAnswer]:
    """The response of a classifier of these classes."""
    if len(classes) == 2:
        return BinaryAnswer
    return ClassAnswer


def answers(decision: Decision, classes: list[str], p: np.ndarray) -> list[ClassAnswer]:
    """One answer an example, from calibrated probabilities (n, classes)."""
    found: list[ClassAnswer] = []
    for row, index in zip(p.tolist(), decision.labels(p).tolist(), strict=True):
        by_class = dict(zip(classes, row, strict=True))
        fields = {"label": classes[index], "probability": row[index], "probabilities": by_class}
        if len(classes) == 2:
            found.append(BinaryAnswer(**fields, score=row[1], threshold=decision.answers_from))
        else:
            found.append(ClassAnswer(**fields))
    return found


def score_of(answer: ClassAnswer) -> float:
    """The figure that drift watches: of two classes the positive one's probability, else the
    predicted one's."""
    if isinstance(answer, BinaryAnswer):
        return answer.score
    return answer.probability


def class_named(label: Cell, classes: Sequence[str]) -> str | None:
    """The class that a label means: `1`, `1.0` and `"1"` are the same; None: it is none of them."""
    text = str(label).strip()
    # JSON's true, as a file of the training data may hold it.
    if isinstance(label, bool):
        text = text.lower()
    if text in classes:
        return text
    number = _number(text)
    if number is None:
        return None
    for name in classes:
        if _number(name) == number:
            return name
    return None


def check_shared(known: Sequence[str], classes: Sequence[str]) -> None:
    """Refuses to judge a model on data that has none of its classes: whatever it answers, such
    figures would say that another model is better.

    Raises:
        UsageError: both, the first of each.
    """
    if set(known) & set(classes):
        return
    own, others = ", ".join(known[:NAMED]), ", ".join(classes[:NAMED])
    raise UsageError(f"the model has none of the data's classes ({others}); its own are {own}")


def class_outcome(row: Mapping[str, Cell], label: Cell, classes: Sequence[str]) -> Outcome | None:
    """A described answer of a classifier held against its label."""
    truth = class_named(label, classes)
    given, score = answered(row, "label"), answered(row, "score")
    if truth is None or given is None or score is None:
        return None
    # What the score is the probability of: the positive class of two, else the one that was given.
    expected = given
    if len(classes) == 2:
        expected = classes[1]
    return Outcome(truth, float(given != truth), float(score), float(truth == expected))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def contrast(classes: list[str], index: int) -> tuple[np.ndarray, str]:
    """What reasons are given for: weights (classes,) whose sum over the logits is explained, and
    its name. Logits alone are known up to a constant only.

    Of two classes it is the positive one less the other, of more the class `index` less the mean of
    all.
    """
    if len(classes) == 2:
        return np.array([-1.0, 1.0]), f"log-odds of {classes[1]}"
    # They add up to 0, so that a constant in all logits, which changes no probability, drops out.
    weights = np.full(len(classes), -1 / len(classes))
    weights[index] += 1
    return weights, f"logit of {classes[index]} less the mean of all"
