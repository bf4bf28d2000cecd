"""F1 of spans by seqeval, next to each word's most frequent tag, and what the card shows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support
from seqeval.scheme import IOB2

from modelyard.families.text.tagging.schemes import OUTSIDE, Span, spans_of
from modelyard.judging.evaluation import Confusion, Evaluation, Table
from modelyard.kit.classes.judged import directions
from modelyard.kit.classes.plots import recall_bars
from modelyard.kit.intervals import resample

BASELINE = "most frequent tag of a word"
MISSED, ELSEWHERE = "(none)", "(other bounds)"
HARDEST, SHOWN = 20, 200
"""Rows of the table of wrong spans, and characters of a sentence there."""
Tags = list[list[str]]
"""By sentence, of its words."""


@dataclass(frozen=True)
class JudgedTags:
    """Answers to the sentences of a split."""

    words: list[list[str]]
    truth: Tags
    answers: Tags
    scores: list[list[float]]
    """Of the answered spans."""


def span_metrics(truth: Tags, answers: Tags) -> dict[str, float]:
    """By seqeval: broken BIO read leniently, as conlleval does; `strict_f1` counts only what is
    valid BIO."""
    right = 0
    for true, answered in zip(truth, answers, strict=True):
        right += sum(one == other for one, other in zip(true, answered, strict=True))
    plain = {"zero_division": 0}
    found = {
        "span_f1": f1_score(truth, answers, **plain),
        "span_precision": precision_score(truth, answers, **plain),
        "span_recall": recall_score(truth, answers, **plain),
        "strict_f1": f1_score(truth, answers, mode="strict", scheme=IOB2, **plain),
        "word_accuracy": right / sum(map(len, truth)),
    }
    return {name: float(value) for name, value in found.items()}


class FrequentTags:
    """The baseline: a word has the tag that it has most often in training; a new one has O."""

    def __init__(self, words: Sequence[Sequence[str]], tags: Tags) -> None:
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for some, their in zip(words, tags, strict=True):
            for word, tag in zip(some, their, strict=True):
                counts[word][tag] += 1
        self._tags = {
            word: min(seen, key=lambda tag: (-seen[tag], tag)) for word, seen in counts.items()
        }

    def __call__(self, words: Sequence[Sequence[str]]) -> Tags:
        return [[self._tags.get(word, OUTSIDE) for word in some] for some in words]


def judge_tags(
    judged: JudgedTags,
    baseline: Tags,
    *,
    split: str,
    labels: list[str],
    groups: np.ndarray | None = None,
) -> Evaluation:
    """Figures of a split next to the baseline's; `groups` are the documents of the sentences, (n,)."""
    metrics = span_metrics(judged.truth, judged.answers)
    simple = span_metrics(judged.truth, baseline)
    truth, answers = _counts(judged.truth, judged.answers), _counts(judged.truth, baseline)
    found = resample(_f1, truth[:, 2], truth, answers, varied=False, groups=groups)
    spans = int(truth[:, 2].sum())
    notes = [found.sentence("span_f1", within=(0, 1)), f"{spans:,} spans in the split."]
    names, (precision, recall, _, _) = _figures(judged)
    known = set(labels)
    strange = sorted({span.label for tags in judged.truth for span in spans_of(tags)} - known)
    if strange:
        notes.append(f"The model does not know {', '.join(strange)}: such spans count as missed.")
    return Evaluation(
        split=split,
        rows=len(judged.truth),
        unit="sentences",
        metrics=metrics,
        baseline=simple,
        baseline_name=BASELINE,
        directions=directions(list(metrics)),
        **found.compared("span_f1", "max", BASELINE),
        notes=notes,
        confusion=_confusion(judged),
        plots=[recall_bars("label", names, recall, precision)],
        tables=[_by_label(judged), _wrong(judged)],
    )


def _counts(truth: Tags, answers: Tags) -> np.ndarray:
    """Of each sentence the right, the answered and the true spans, int64 (sentences, 3)."""
    rows = []
    for true, answered in zip(truth, answers, strict=True):
        there, found = set(spans_of(true)), set(spans_of(answered))
        rows.append((len(there & found), len(found), len(there)))
    return np.array(rows, np.int64).reshape(-1, 3)


def _f1(_: np.ndarray, counts: np.ndarray) -> float:
    right, answered, true = counts.sum(axis=0).tolist()
    return 2 * right / (answered + true) if answered + true else 0.0


def _confusion(judged: JudgedTags) -> Confusion:
    """Of each true span, the label that is answered in just its bounds; and spans that are none."""
    names: set[str] = set()
    counts: Counter[tuple[str, str]] = Counter()
    for truth, answers in zip(judged.truth, judged.answers, strict=True):
        there, found = spans_of(truth), spans_of(answers)
        by_bounds = {(span.start, span.end): span.label for span in found}
        for span in there:
            answered = by_bounds.get((span.start, span.end))
            counts[span.label, answered or (ELSEWHERE if _touched(span, found) else MISSED)] += 1
        for span in found:
            if not _touched(span, there):
                counts[MISSED, span.label] += 1
        names |= {span.label for span in (*there, *found)}
    order = [*sorted(names), ELSEWHERE, MISSED]
    matrix = [[counts[row, column] for column in order] for row in order]
    return Confusion(labels=order, matrix=matrix)


def _touched(span: Span, others: Sequence[Span]) -> bool:
    return any(other.start < span.end and span.start < other.end for other in others)


def _figures(judged: JudgedTags) -> tuple[list[str], np.ndarray]:
    """Labels, and precision, recall, F1 and true spans of each, (4, labels)."""
    both = [*judged.truth, *judged.answers]
    labels = sorted({span.label for tags in both for span in spans_of(tags)})
    found = precision_recall_fscore_support(
        judged.truth, judged.answers, average=None, zero_division=0
    )
    return labels, np.array(found)


def _by_label(judged: JudgedTags) -> Table:
    labels, figures = _figures(judged)
    rows: list[list[str | float]] = []
    for name, (precision, recall, f1, support) in zip(labels, figures.T.tolist(), strict=True):
        rows.append([name, int(support), round(precision, 4), round(recall, 4), round(f1, 4)])
    columns = ["label", "spans", "precision", "recall", "F1"]
    return Table(title="By label", columns=columns, rows=rows)


def _wrong(judged: JudgedTags) -> Table:
    """Answered spans that are none, the surest first."""
    found: list[tuple[float, list[str | float]]] = []
    columns = zip(judged.words, judged.truth, judged.answers, judged.scores, strict=True)
    for words, truth, answers, scores in columns:
        there = spans_of(truth)
        for span, score in zip(spans_of(answers), scores, strict=True):
            if span in there:
                continue
            true = ", ".join(
                f"{' '.join(words[one.start : one.end])} ({one.label})"
                for one in there
                if _touched(one, [span])
            )
            text = " ".join(words[span.start : span.end])
            sentence = " ".join(words)[:SHOWN]
            found.append((score, [sentence, text, span.label, true or "–", round(score, 4)]))
    found.sort(key=lambda one: -one[0])
    return Table(
        title="Wrong spans, the surest first",
        columns=["sentence", "span", "answered", "true there", "score"],
        rows=[row for _, row in found[:HARDEST]],
    )
