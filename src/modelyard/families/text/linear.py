"""The part of pieces and pairs, as a logistic regression: what a network of a few thousand texts does not
beat, and what it adds to.

Fitted by itself, not together with the network: a part that already explains the training texts
would leave a network nothing to learn from them. The answer's logits are the mean of both.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from modelyard.families.text.network import SPEED, Wide, WideRecurrent

STRENGTH = 20.0
"""Of rows of length one, how little the weights are held back (scikit-learn's C)."""
STEPS, CLOSE = 100, 1e-3
"""Of the solver: closer changes no answer."""


def add_linear(
    net: WideRecurrent, tokens: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> None:
    """Fits the part of pieces and pairs of a trained network, and gives each half of the say.

    Args:
        tokens: of the training texts, (n, length).
        labels: their classes (n,), or 1 where a text has a label, (n, classes).
        weights: what an example of each class counts, (classes,).
    """
    counts = _counts(net.wide, torch.from_numpy(tokens.astype(np.int64)))
    # Rare pieces say more of a text (inverse document frequency, as in TF-IDF).
    texts_with = np.asarray((counts > 0).sum(axis=0)).ravel()
    rarity = np.log((1 + len(tokens)) / (1 + texts_with)) + 1
    rows = counts @ sparse.diags(rarity)
    length = np.sqrt(rows.multiply(rows).sum() / len(tokens))
    by_class, bias = _regression(rows / length, labels, weights)
    by_class = by_class * rarity / length / SPEED / 2
    pieces = net.wide.pieces.shape[1]
    with torch.no_grad():
        net.head.weight.div_(2)
        net.head.bias.add_(torch.from_numpy(bias)).div_(2)
        net.wide.pieces.copy_(torch.from_numpy(by_class[:, :pieces]))
        net.wide.pairs.copy_(torch.from_numpy(by_class[:, pieces:]))


def _counts(wide: Wide, tokens: torch.Tensor) -> sparse.csr_matrix:
    """How often each piece and each place of pairs stands in a text, by the root of its length: (texts,
    pieces + pairs), what the network multiplies with its weights."""
    seen = tokens != wide.pad
    places, paired = wide.places(tokens)
    scale = seen.sum(1).clamp(min=1).double().rsqrt()
    rows, columns = [], []
    for held, found, first in ((seen, tokens, 0), (paired, places, wide.pieces.shape[1])):
        row, _ = torch.nonzero(held, as_tuple=True)
        rows.append(row)
        columns.append(found[held] + first)
    row, column = torch.cat(rows), torch.cat(columns)
    shape = (len(tokens), wide.pieces.shape[1] + wide.pairs.shape[1])
    return sparse.csr_matrix((scale[row].numpy(), (row.numpy(), column.numpy())), shape=shape)


def _regression(
    rows: sparse.csr_matrix, labels: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (classes, columns) and bias (classes,) of logits."""
    options = {"C": STRENGTH, "max_iter": STEPS, "tol": CLOSE}
    with warnings.catch_warnings():
        # So close is close enough.
        warnings.simplefilter("ignore", ConvergenceWarning)
        if labels.ndim == 2:
            # Two classes at a time, so the solver for these.
            two = LogisticRegression(solver="liblinear", **options)
            each = OneVsRestClassifier(two).fit(rows, labels).estimators_
            by_label = np.concatenate([one.coef_ for one in each])
            return by_label, np.concatenate([one.intercept_ for one in each])
        by_class = dict(enumerate(weights.tolist()))
        found = LogisticRegression(class_weight=by_class, **options).fit(rows, labels)
    if len(weights) > 2:
        return found.coef_, found.intercept_
    # Of two classes scikit-learn gives the difference of their logits.
    sides = np.array([[-0.5], [0.5]])
    return sides * found.coef_, (sides * found.intercept_).ravel()
