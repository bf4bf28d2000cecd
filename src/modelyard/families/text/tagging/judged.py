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
        self._tags: dict[str, str] = {}
        for word, seen in counts.items():
            most = max(seen.values())
            # Of several, the first by name: the same whatever the order of the sentences.
            self._tags[word] = min(tag for tag, count in seen.items() if count == most)

    def __call__(self, words: Sequence[Sequence[str]]) -> Tags:
        return [self._of_sentence(some) for some in words]

    def _of_sentence(self, words: Sequence[str]) -> list[str]:
        return [self._tags.get(word, OUTSIDE) for word in words]


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
    # The interval is of sums over sentences: a sentence by itself has no F1.
    own, others = _counts(judged.truth, judged.answers), _counts(judged.truth, baseline)
    found = resample(_f1, own[:, 2], own, others, varied=False, groups=groups)
    spans = int(own[:, 2].sum())
    notes = [found.sentence("span_f1", within=(0, 1)), f"{spans:,} spans in the split."]
    strange = sorted(_labels(judged.truth) - set(labels))
    if strange:
        notes.append(f"The model does not know {', '.join(strange)}: such spans count as missed.")
    names, figures = _figures(judged)
    precision, recall, _, _ = figures
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
        tables=[_by_label(names, figures), _wrong(judged)],
    )


def _counts(truth: Tags, answers: Tags) -> np.ndarray:
    """Of each sentence the right, the answered and the true spans, int64 (sentences, 3)."""
    rows = []
    # As sets: a span is right once, with both of its bounds and its label.
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
            if answered is None:
                answered = ELSEWHERE if _touching(span, found) else MISSED
            counts[span.label, answered] += 1
        for span in found:
            if not _touching(span, there):
                counts[MISSED, span.label] += 1
        names |= {span.label for span in (*there, *found)}
    order = [*sorted(names), ELSEWHERE, MISSED]
    matrix = []
    for row in order:
        matrix.append([counts[row, column] for column in order])
    return Confusion(labels=order, matrix=matrix)


def _touching(span: Span, others: Sequence[Span]) -> list[Span]:
    """Those of the others that share a word with the span."""
    return [other for other in others if other.start < span.end and span.start < other.end]


def _labels(tags: Tags) -> set[str]:
    """Of all spans."""
    found: set[str] = set()
    for some in tags:
        found |= {span.label for span in spans_of(some)}
    return found


def _figures(judged: JudgedTags) -> tuple[list[str], np.ndarray]:
    """Labels, and precision, recall, F1 and true spans of each, (4, labels)."""
    # seqeval gives the figures in this order, without the names.
    labels = sorted(_labels(judged.truth) | _labels(judged.answers))
    found = precision_recall_fscore_support(
        judged.truth, judged.answers, average=None, zero_division=0
    )
    return labels, np.array(found)


def _by_label(labels: list[str], figures: np.ndarray) -> Table:
    """`figures` (4, labels) are those of `_figures`."""
    rows: list[list[str | float]] = []
    for name, (precision, recall, f1, support) in zip(labels, figures.T.tolist(), strict=True):
        rows.append([name, int(support), round(precision, 4), round(recall, 4), round(f1, 4)])
    columns = ["label", "spans", "precision", "recall", "F1"]
    return Table(title="By label", columns=columns, rows=rows)


def _text(span: Span, words: list[str]) -> str:
    return " ".join(words[span.start : span.end])


def _wrong(judged: JudgedTags) -> Table:
    """Answered spans that are none, the surest first."""
    found: list[tuple[float, list[str | float]]] = []
    columns = zip(judged.words, judged.truth, judged.answers, judged.scores, strict=True)
    for words, truth, answers, scores in columns:
        there = spans_of(truth)
        sentence = " ".join(words)[:SHOWN]
        for span, score in zip(spans_of(answers), scores, strict=True):
            if span in there:
                continue
            true = [f"{_text(one, words)} ({one.label})" for one in _touching(span, there)]
            shown = ", ".join(true) or "–"
            text = _text(span, words)
            found.append((score, [sentence, text, span.label, shown, round(score, 4)]))
    found.sort(key=lambda one: -one[0])
    return Table(
        title="Wrong spans, the surest first",
        columns=["sentence", "span", "answered", "true there", "score"],
        rows=[row for _, row in found[:HARDEST]],
    )
