"""Exact match and F1 as SQuAD's evaluation counts them (Rajpurkar et al. 2016, section 6.1), next to
the sentence that is most like the question, and what the card shows."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from modelyard.judging.curves import histogram
from modelyard.judging.evaluation import Evaluation, Plot, Table
from modelyard.kit.classes.judged import directions
from modelyard.kit.intervals import mean_of, resample

WORDS = r"(?u)\w+"
BASELINE, SILENT = "sentence most like the question", "no answer to any"
HARDEST, SHOWN = 20, 160
ARTICLES = re.compile(r"\b(a|an|the)\b")
SIGNS = str.maketrans("", "", string.punctuation)
SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")
Accepted = list[list[str]]
"""Accepted answers by question; none: it has no answer."""
Given = Sequence[str | None]


@dataclass(frozen=True)
class JudgedAnswers:
    """Answers to the questions of a split."""

    questions: list[str]
    contexts: list[str]
    accepted: Accepted
    answers: list[str | None]
    scores: list[float]
    """Probability of the best span."""


def normalized(text: str) -> str:
    """Lower case, without punctuation, articles and further blanks."""
    bare = text.lower().translate(SIGNS)
    return " ".join(ARTICLES.sub(" ", bare).split())


def exact(answer: str | None, accepted: Sequence[str]) -> float:
    """1 where it is one of those that are accepted, normalized, or both are none."""
    # Where nothing is accepted, nothing is the right answer.
    truths = [normalized(one) for one in accepted or [""]]
    return float(normalized(answer or "") in truths)


def overlap(answer: str | None, accepted: Sequence[str]) -> float:
    """The F1 of its words, the best over the accepted answers; where either is none, whether both
    are."""
    own = normalized(answer or "")
    truths = [normalized(one) for one in accepted or [""]]
    return max(_overlap(own, truth) for truth in truths)


def _overlap(answer: str, truth: str) -> float:
    own, true = answer.split(), truth.split()
    if not own or not true:
        return float(own == true)
    # A word that both hold twice counts twice.
    common = (Counter(own) & Counter(true)).total()
    return 2 * common / (len(own) + len(true))


def answer_metrics(answers: Given, accepted: Accepted) -> dict[str, float]:
    """`f1` and `exact_match` of all questions; where some have no answer, of both sorts too."""
    f1, match = f1_of_each(answers, accepted), _exact_of_each(answers, accepted)
    has = np.array([bool(answer) for answer in accepted])
    found = {"f1": f1.mean(), "exact_match": match.mean()}
    if has.any() and not has.all():
        found |= {"answerable_f1": f1[has].mean(), "unanswerable_accuracy": match[~has].mean()}
    return {name: float(value) for name, value in found.items()}


def similar_sentences(questions: Sequence[str], contexts: Sequence[str]) -> list[str]:
    """The baseline: of each text the sentence whose words are most like the question's, weighed by
    how rare they are in the texts."""
    words = TfidfVectorizer(token_pattern=WORDS).fit([*contexts, *questions])
    found = []
    for question, context in zip(questions, contexts, strict=True):
        # A text without a letter has no sentence by the pattern.
        sentences = [match[0].strip() for match in SENTENCE.finditer(context)] or [context]
        likeness = (words.transform(sentences) @ words.transform([question]).T).toarray()[:, 0]
        found.append(sentences[int(likeness.argmax())])
    return found


def judge_answers(
    judged: JudgedAnswers, *, split: str, note: str, groups: np.ndarray | None = None
) -> Evaluation:
    """Figures of a split next to the baseline's; `groups` are those of the questions, (n,)."""
    simple = similar_sentences(judged.questions, judged.contexts)
    metrics = answer_metrics(judged.answers, judged.accepted)
    f1 = f1_of_each(judged.answers, judged.accepted)
    f1_of_simple = f1_of_each(simple, judged.accepted)
    # Who answers nothing is right wherever there is no answer: a rival on SQuAD 2.0.
    f1_of_silent = f1_of_each([None] * len(f1), judged.accepted)
    found = resample(mean_of, f1, f1, f1_of_simple, f1_of_silent, varied=False, groups=groups)
    lacking = sum(not answer for answer in judged.accepted)
    rivals = {}
    if lacking:
        rivals[SILENT] = float(f1_of_silent.mean())
    notes = [note] if note else []
    notes.append(found.sentence("f1", within=(0, 1)))
    notes.append(f"{lacking:,} of {len(f1):,} questions of the split have no answer.")
    return Evaluation(
        split=split,
        rows=len(f1),
        unit="questions",
        metrics=metrics,
        baseline=answer_metrics(simple, judged.accepted),
        baseline_name=BASELINE,
        rivals=rivals,
        directions=directions(list(metrics)),
        **found.compared("f1", "max", BASELINE, SILENT),
        notes=notes,
        plots=[_scores(judged)],
        tables=[_by_word(judged, f1), _hardest(judged, f1)],
    )


def f1_of_each(answers: Given, accepted: Accepted) -> np.ndarray:
    """The F1 of each answer, float64 (n,)."""
    return np.array([overlap(*pair) for pair in zip(answers, accepted, strict=True)])


def _exact_of_each(answers: Given, accepted: Accepted) -> np.ndarray:
    return np.array([exact(*pair) for pair in zip(answers, accepted, strict=True)])


def _scores(judged: JudgedAnswers) -> Plot:
    scores = np.array(judged.scores)
    right = _exact_of_each(judged.answers, judged.accepted)
    return Plot(
        kind="histogram",
        title="Scores of right and wrong answers",
        x_label="probability of the best span",
        y_label="questions",
        series=[histogram("right", scores[right == 1]), histogram("wrong", scores[right == 0])],
    )


def _by_word(judged: JudgedAnswers, f1: np.ndarray) -> Table:
    """Figures by the question's first word: who, when, where."""
    firsts = [question.split()[0].lower().strip(",.?:") for question in judged.questions]
    rows: list[list[str | float]] = []
    for word, count in Counter(firsts).most_common(12):
        own = np.array([first == word for first in firsts])
        rows.append([word, count, round(float(f1[own].mean()), 4)])
    return Table(
        title="By the question's first word", columns=["word", "questions", "F1"], rows=rows
    )


def _hardest(judged: JudgedAnswers, f1: np.ndarray) -> Table:
    """Wrong answers, the surest first."""
    scores = np.array(judged.scores)
    surest = np.argsort(-scores, kind="stable")
    wrong = surest[f1[surest] < 0.5]
    rows: list[list[str | float]] = []
    for row in wrong[:HARDEST].tolist():
        truth = " / ".join(judged.accepted[row]) or "–"
        given = judged.answers[row] or "–"
        texts = (judged.questions[row], given, truth, judged.contexts[row])
        shown = [" ".join(text.split())[:SHOWN] for text in texts]
        rows.append([*shown, round(float(scores[row]), 4)])
    columns = ["question", "answered", "accepted", "text", "score"]
    return Table(title="Wrong answers, the surest first", columns=columns, rows=rows)
