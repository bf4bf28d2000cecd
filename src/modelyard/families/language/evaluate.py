"""Judges a model on a split: bits per byte, perplexity, and where they come from."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from modelyard.families.language.data import read_split
from modelyard.families.language.decoder import DecoderSpec
from modelyard.families.language.documents import Document
from modelyard.families.language.host import LanguageHost
from modelyard.families.language.scoring import Judged, judge_documents, sequence_of
from modelyard.family import Split
from modelyard.judging.evaluation import WHOLE, Evaluation, Part, Plot, Series
from modelyard.kit.intervals import Resampled, resample, unsampled
from modelyard.runtimes.types import Runtime

BINS = 32
"""Points of the curve over positions."""
GROUP = 64
"""Documents that are read together: their windows fill batches. Between two groups it is looked
whether there is time for another."""
MAIN, BASELINE = "bits_per_byte", "unigram frequencies"
LEAST_DOCUMENTS = 10
"""For an interval: documents are what is resampled."""
BARS = 20
"""Documents that are drawn."""


def evaluate(
    host: LanguageHost,
    run: Runtime,
    features: Path,
    split: Split,
    most: int,
    part: Part = WHOLE,
) -> Evaluation:
    """Judges at most `most` bytes of a split, whole documents, next to a unigram model of the
    training split. `part` counts groups of documents.

    Perplexity counts tokens, so it compares models with one tokenizer only; bits per byte compare
    any.
    """
    chosen, left = _first(read_split(features, split), most)
    groups = [chosen[start : start + GROUP] for start in range(0, len(chosen), GROUP)]
    judged: list[Judged] = []
    done = 0
    for group in part.take(groups):
        judged += judge_documents(host, run, group)
        done += 1
    losses = np.concatenate([document.losses for document in judged])
    hits = np.concatenate([document.hits for document in judged])
    size = sum(document.bytes for document in judged)
    tokens = np.concatenate([document.tokens for document in judged])
    metrics = _figures(losses, hits, size)
    simple, simple_hits = _unigram(host, features, tokens)
    found = _resampled(judged, losses, simple)
    return Evaluation(
        split=split,
        rows=len(losses),
        unit="tokens",
        part=done if done < len(groups) else None,
        metrics=metrics,
        baseline=_figures(simple, simple_hits, size),
        baseline_name=BASELINE,
        **found.compared(MAIN, "min", BASELINE),
        directions={"bits_per_byte": "min", "perplexity": "min", "accuracy": "max"},
        notes=_notes(host.spec, left, most),
        plots=[_by_position(judged), _by_document(judged)],
    )


def _notes(spec: DecoderSpec, left: int, most: int) -> list[str]:
    """How was judged, and how many documents were not."""
    notes = [
        _reading(spec),
        "Perplexity is per token of this model's tokenizer; bits per byte compare models with different tokenizers.",
    ]
    if left:
        notes.append(
            f"{left} further documents of the split were not judged: features.evaluation_bytes = {most:,}."
        )
    return notes


def _reading(spec: DecoderSpec) -> str:
    if not spec.endless:
        return (
            f"Every token is predicted from at least {spec.context // 2} tokens before it where its document has "
            f"so many, at most {spec.context}, and never from another document."
        )
    if spec.main.global_tokens:
        others = f" and the first {spec.main.global_tokens}"
    else:
        others = ""
    return (
        f"Documents are read from their start to their end, each layer attending to {spec.main.window} tokens{others}, "
        "and no token is predicted from another document."
    )


def _first(documents: list[Document], most: int) -> tuple[list[Document], int]:
    sizes = np.cumsum([len(document.text.encode()) for document in documents])
    count = max(1, int(np.searchsorted(sizes, most, side="right")))
    return documents[:count], len(documents) - count


def _targets(host: LanguageHost, document: Document) -> np.ndarray:
    """The judged tokens of a document."""
    ids, learned = sequence_of(host, document)
    targets: np.ndarray = np.array(ids[1:])[learned]
    return targets


def _figures(losses: np.ndarray, hits: np.ndarray, size: int) -> dict[str, float]:
    return {
        "bits_per_byte": float(losses.sum() / math.log(2) / size),
        "perplexity": float(np.exp(losses.mean())),
        "accuracy": float(hits.mean()),
    }


def _unigram(
    host: LanguageHost, features: Path, tokens: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Losses of each token by its frequency in the training split, with one count more for every
    token of the vocabulary, and whether it is the most frequent; (tokens,) each."""
    counts = np.ones(host.spec.vocabulary)
    documents = read_split(features, "train")
    if documents[0].messages is None:
        texts = [document.text for document in documents]
        read = [np.array([*ids, host.spec.end]) for ids in host.codec.encode_all(texts)]
    else:
        read = [_targets(host, document) for document in documents]
    for targets in read:
        counts += np.bincount(targets, minlength=host.spec.vocabulary)
    losses = -np.log(counts / counts.sum())[tokens]
    return losses, tokens == counts.argmax()


def _resampled(judged: list[Judged], losses: np.ndarray, simple: np.ndarray) -> Resampled:
    """Bits per byte of the model and of unigram frequencies; documents are resampled, for the
    tokens of one hang together."""
    if len(judged) < LEAST_DOCUMENTS:
        return unsampled(2)
    sizes = np.array([document.bytes for document in judged], dtype=np.float64)
    # Where each document begins among the tokens; each has one at least, its end.
    counts = [len(document.losses) for document in judged]
    begins = np.cumsum([0, *counts[:-1]])
    of_model, of_simple = np.add.reduceat(losses, begins), np.add.reduceat(simple, begins)
    return resample(_bits_per_byte, sizes, of_model, of_simple, varied=False)


def _bits_per_byte(sizes: np.ndarray, losses: np.ndarray) -> float:
    return float(losses.sum() / math.log(2) / sizes.sum())


def _by_position(judged: list[Judged]) -> Plot:
    losses = np.concatenate([document.losses for document in judged])
    seen = np.concatenate([document.seen for document in judged])
    # Bins that double and double again: the first tokens differ most.
    edges = np.unique(np.geomspace(1, seen.max() + 1, BINS + 1).astype(int))
    bins = np.searchsorted(edges, seen, side="right") - 1
    x: list[str | float] = []
    y: list[float] = []
    for bin_ in np.unique(bins).tolist():
        x.append(float(edges[bin_]))
        y.append(float(np.exp(losses[bins == bin_].mean())))
    return Plot(
        kind="line",
        title="Perplexity by position",
        x_label="tokens seen before",
        y_label="perplexity",
        series=[Series(name="model", x=x, y=y)],
        caption="Falls as far as the model makes use of what stands before.",
    )


def _by_document(judged: list[Judged]) -> Plot:
    bits = []
    for document in judged:
        bits.append((float(document.losses.sum() / math.log(2) / document.bytes), document.source))
    bits.sort(reverse=True)
    shown, caption = bits, ""
    if len(bits) > BARS:
        half = BARS // 2
        shown = bits[:half] + bits[-half:]
        caption = f"The {half} hardest and the {half} easiest of {len(bits)}."
    sources: list[str | float] = [source for _, source in shown]
    return Plot(
        kind="bar",
        title="Bits per byte by document",
        x_label="document",
        y_label="bits per byte",
        series=[Series(name="model", x=sources, y=[value for value, _ in shown])],
        caption=caption,
    )
