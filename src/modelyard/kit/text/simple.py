"""The simple answer that a sceptic would try first: weighed word counts and logistic regression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline

from modelyard.kit.arrays import find_beside, save_beside

NAME = "TF-IDF and logistic regression"
WORDS = r"(?u)\w+|[^\w\s]"
MOST_WORDS = 200_000


def save_simple(
    features: Path, texts: Mapping[str, Sequence[str]], labels: np.ndarray, classes: int
) -> None:
    """Fits it on the training split; writes `<split>.simple.npy`, probabilities (texts, classes).

    Args:
        texts: by split; labels: class indices of the training texts, (n,), or with many labels
            (n, classes), 1 where a text has one: then each label has a regression of its own.
    """
    words = TfidfVectorizer(
        sublinear_tf=True, ngram_range=(1, 2), token_pattern=WORDS, max_features=MOST_WORDS
    )
    many = labels.ndim == 2
    columns = np.arange(classes)
    if many:
        # Two classes at a time, so the solver for these: a tenth of the time of the other.
        two = LogisticRegression(C=10, max_iter=500, solver="liblinear")
        model = make_pipeline(words, OneVsRestClassifier(two))
    else:
        model = make_pipeline(words, LogisticRegression(C=10, max_iter=500))
    model.fit(texts["train"], labels)
    if not many:
        # A class of an earlier model may be missing in this training split.
        columns = model.classes_
    for split in ("validation", "test"):
        p = np.zeros((len(texts[split]), classes))
        p[:, columns] = model.predict_proba(texts[split])
        save_beside(features, split, "simple", p.astype(np.float32))


def load_simple(features: Path, split: str) -> np.ndarray | None:
    """Its probabilities for a split, float64 (texts, classes); None for the training split."""
    p = find_beside(features, split, "simple")
    if p is None:
        return None
    return p.astype(np.float64)
