"""BLEU and chrF as sacrebleu counts them (Post 2018; Popović 2015), next to copying and a translation
memory, and what the card shows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sacrebleu.metrics import BLEU, CHRF
from sklearn.feature_extraction.text import TfidfVectorizer

from modelyard.judging.curves import histogram
from modelyard.judging.evaluation import Evaluation, Plot, Table
from modelyard.kit.classes.judged import directions
from modelyard.kit.intervals import resample

COPY, MEMORY = "the source itself", "the translation of the most similar training source"
WORST, SHOWN = 20, 160
CHUNK = 256
ORDER = 4
"""N-grams that BLEU counts."""
HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
SPACELESS = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff]")
"""Letters of other scripts without blanks between words: Thai, Lao, Burmese, Khmer, kana."""


@dataclass(frozen=True)
class JudgedTranslations:
    """Translations of the sources of a split."""

    sources: list[str]
    references: list[str]
    translations: list[str]
    scores: list[float]
    """Geometric mean of the tokens' probabilities."""
    remembered: list[str]
    """What a translation memory answers."""


def tokenization(references: Sequence[str]) -> str:
    """How BLEU finds words: `13a`, between blanks. Where most letters are of scripts without blanks,
    a sentence would be one word: `zh` makes each Chinese character one, `char` each character."""
    text = "".join(references)
    han, other = len(HAN.findall(text)), len(SPACELESS.findall(text))
    if 2 * (han + other) <= sum(map(str.isalpha, text)):
        return "13a"
    if 20 * other > han:
        return "char"
    return "zh"


def translation_metrics(
    answers: Sequence[str], references: Sequence[str], tokenize: str = "13a"
) -> dict[str, float]:
    """`bleu`, with words as `tokenize` finds them, and `chrf`, 0 to 100, and `exact_match`."""
    given, truths = list(answers), [list(references)]
    return {
        "bleu": float(BLEU(tokenize=tokenize).corpus_score(given, truths).score),
        "chrf": float(CHRF().corpus_score(given, truths).score),
        "exact_match": float(_exact(answers, references).mean()),
    }


def _exact(answers: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """Whether each is just its reference, bool (n,)."""
    pairs = zip(answers, references, strict=True)
    return np.array([answer == truth for answer, truth in pairs])


def remember(sources: Sequence[str], training: Sequence[tuple[str, str]]) -> list[str]:
    """A translation memory: the target of the training pair whose source is the most like each,
    by weighed n-grams of characters."""
    known = [source for source, _ in training]
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
    table = letters.fit_transform(known)
    found = []
    for start in range(0, len(sources), CHUNK):
        likeness = letters.transform(list(sources[start : start + CHUNK])) @ table.T
        nearest = np.asarray(likeness.toarray()).argmax(axis=1)
        found += [training[place][1] for place in nearest.tolist()]
    return found


def judge_translations(
    judged: JudgedTranslations, *, split: str, groups: np.ndarray | None = None
) -> Evaluation:
    """Figures of a split next to those of copying and of the memory; `groups` are those of the pairs."""
    references, words = judged.references, tokenization(judged.references)
    metrics = translation_metrics(judged.translations, references, words)
    own = _counts(judged.translations, references, words)
    copied = _counts(judged.sources, references, words)
    found = resample(_bleu, np.zeros(len(references)), own, copied, varied=False, groups=groups)
    # The signature says how many references there were: only after a score.
    scorer = BLEU(tokenize=words)
    scorer.corpus_score(judged.translations, [references])
    return Evaluation(
        split=split,
        rows=len(references),
        unit="pairs",
        metrics=metrics,
        baseline=translation_metrics(judged.sources, references, words),
        baseline_name=COPY,
        rivals={MEMORY: translation_metrics(judged.remembered, references, words)["bleu"]},
        directions=directions(list(metrics)),
        **found.compared("bleu", "max", COPY),
        notes=[
            found.sentence("bleu", within=(0, 100)),
            f"BLEU: sacrebleu, {scorer.get_signature()}.",
        ],
        plots=[_scores(judged)],
        tables=[_by_length(judged, words), _worst(judged)],
    )


def _counts(answers: Sequence[str], references: Sequence[str], tokenize: str) -> np.ndarray:
    """What BLEU is computed from, of each pair: n-grams that match, n-grams, and both lengths,
    float64 (pairs, 10)."""
    scorer = BLEU(effective_order=True, tokenize=tokenize)
    rows = []
    for answer, reference in zip(answers, references, strict=True):
        found = scorer.sentence_score(answer, [reference])
        rows.append([*found.counts, *found.totals, found.sys_len, found.ref_len])
    return np.array(rows, np.float64)


def _bleu(_: np.ndarray, counts: np.ndarray) -> float:
    """Of these pairs together: BLEU is of sums of counts, and no mean over pairs."""
    total = counts.sum(axis=0).round().astype(int).tolist()
    found = BLEU.compute_bleu(
        correct=total[:ORDER],
        total=total[ORDER : 2 * ORDER],
        sys_len=total[-2],
        ref_len=total[-1],
        smooth_method="exp",
    )
    return float(found.score)


def _chrf_of_each(judged: JudgedTranslations) -> np.ndarray:
    scorer = CHRF()
    pairs = zip(judged.translations, judged.references, strict=True)
    return np.array([scorer.sentence_score(answer, [truth]).score for answer, truth in pairs])


def _scores(judged: JudgedTranslations) -> Plot:
    scores = np.array(judged.scores)
    right = _exact(judged.translations, judged.references)
    return Plot(
        kind="histogram",
        title="Scores of exact and other translations",
        x_label="geometric mean of the tokens' probabilities",
        y_label="pairs",
        series=[histogram("exact", scores[right]), histogram("other", scores[~right])],
    )


def _by_length(judged: JudgedTranslations, tokenize: str) -> Table:
    """Figures by quarters of the sources' length."""
    lengths = np.array([len(source) for source in judged.sources])
    edges = np.unique(np.quantile(lengths, [0, 0.25, 0.5, 0.75, 1]))
    # The quarter of each; the longest are of the last, and equal ones of a single one.
    quarters = np.searchsorted(edges[1:-1], lengths, side="right")
    rows: list[list[str | float]] = []
    for quarter in np.unique(quarters).tolist():
        own = np.flatnonzero(quarters == quarter)
        metrics = translation_metrics(
            [judged.translations[row] for row in own],
            [judged.references[row] for row in own],
            tokenize,
        )
        figures = [metrics[name] for name in ("bleu", "chrf", "exact_match")]
        low, high = edges[quarter], edges[min(quarter + 1, len(edges) - 1)]
        rows.append([f"{low:.0f} to {high:.0f}", len(own), *figures])
    columns = ["characters of the source", "pairs", "BLEU", "chrF", "exact"]
    return Table(title="By length", columns=columns, rows=rows)


def _worst(judged: JudgedTranslations) -> Table:
    """The translations least like their reference, by chrF."""
    chrf = _chrf_of_each(judged)
    rows: list[list[str | float]] = []
    for row in np.argsort(chrf, kind="stable")[:WORST].tolist():
        texts = (judged.sources[row], judged.translations[row], judged.references[row])
        shown = [" ".join(text.split())[:SHOWN] for text in texts]
        rows.append([*shown, float(chrf[row]), judged.scores[row]])
    columns = ["source", "translation", "reference", "chrF", "score"]
    return Table(title="Worst translations", columns=columns, rows=rows)
