"""The logistic regression of pieces and pairs next to a network: each has half of the say."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression

from modelyard.families.text.linear import STRENGTH, add_linear
from modelyard.families.text.network import WideRecurrent
from modelyard.kit.classifier import store
from modelyard.training.loop import Trainer, load_weights
from tests.unit.text.test_text_model import family, trained


def read(net: torch.nn.Module, tokens: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        logits: torch.Tensor = net(tokens)["logits"]
        return logits.double().numpy()


@pytest.mark.parametrize("classes", [2, 3])
def test_the_answer_is_the_mean_of_network_and_regression(tmp_path: Path, classes: int) -> None:
    found = family(tmp_path, "lstm")
    spec = found.Spec.load(tmp_path / "out/assets")
    spec = spec.model_copy(update={"classes": [*"abc"[:classes]], "counts": [1] * classes})
    net = found.network(found.plan(spec), spec).eval()
    assert isinstance(net, WideRecurrent)
    tokens = store.load_arrays(tmp_path / "out", "train").astype(np.int64)
    labels = np.arange(len(tokens)) % classes
    # An untrained head says next to nothing, of which a half would not be missed.
    torch.nn.init.normal_(net.head.weight)
    before = read(net, torch.from_numpy(tokens))
    counting = np.arange(1.0, classes + 1)
    add_linear(net, tokens, labels, counting)
    part = 2 * read(net, torch.from_numpy(tokens)) - before

    # The same counts by another way, and scikit-learn's own weights of rare terms.
    width = net.wide.pieces.shape[1]
    counts = np.zeros((len(tokens), width + net.wide.pairs.shape[1]))
    for row, text in zip(counts, tokens.tolist(), strict=True):
        held = [token for token in text if token != spec.pad]
        for token in held:
            row[token] += 1
        for first, second in pairwise(held):
            row[width + (first * 1_000_003 + second * 7_919) % net.wide.pairs.shape[1]] += 1
        row /= np.sqrt(len(held))
    rows = TfidfTransformer(norm=None).fit_transform(counts).toarray()
    rows /= np.sqrt((rows**2).sum() / len(rows))
    fitted = LogisticRegression(C=STRENGTH, max_iter=1_000, class_weight=dict(enumerate(counting)))
    expected = fitted.fit(rows, labels).predict_proba(rows)
    seen = np.exp(part) / np.exp(part).sum(axis=1, keepdims=True)
    assert np.abs(seen - expected).max() < 0.02


def test_the_regression_is_fitted_after_training_and_kept_in_the_weights(tmp_path: Path) -> None:
    found = family(tmp_path, "lstm", {"epochs": 1})
    model = tmp_path / "model"
    model.mkdir()
    (tmp_path / "out/assets").rename(model / "assets")
    (tmp_path / "out/assets").symlink_to(model / "assets")
    report = found.fit(tmp_path / "out", model, Trainer(0, found.config.training))
    net = load_weights(found.model(model / "assets"), model)
    assert isinstance(net, WideRecurrent)
    linear = net.wide.pieces.numel() + net.wide.pairs.numel()
    plain = sum(weights.numel() for weights in net.parameters()) - linear
    assert report["parameters"] == plain
    # One epoch teaches a network nothing yet: the regression does.
    tokens = torch.from_numpy(store.load_arrays(tmp_path / "out", "test").astype(np.int64))
    answers = read(net, tokens).argmax(axis=1)
    assert (answers == store.load_labels(tmp_path / "out", "test")).mean() > 0.9


@pytest.mark.parametrize("changed", ["nothing", "continued", "compressed"])
def test_what_continues_or_is_compressed_trains_with_the_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    found = family(tmp_path, "lstm", {"epochs": 1})
    if changed == "continued":
        monkeypatch.setattr(
            "modelyard.families.text.family.base_of", lambda features: tmp_path / "earlier"
        )
    elif changed == "compressed":
        compress = found.config.compress.model_copy(update={"sparsity": 0.5})
        found.config = found.config.model_copy(update={"compress": compress})
    fitted = []
    monkeypatch.setattr(
        "modelyard.families.text.family.add_linear", lambda *arguments: fitted.append(arguments)
    )
    trained(found, tmp_path)
    assert bool(fitted) == (changed == "nothing")
    net = load_weights(found.model(tmp_path / "model/assets"), tmp_path / "model")
    assert isinstance(net, WideRecurrent)
    assert bool(net.wide.pairs.count_nonzero()) == (changed != "nothing")


def test_each_of_many_labels_has_a_regression(tmp_path: Path) -> None:
    found = family(tmp_path, "rnn")
    spec = found.Spec.load(tmp_path / "out/assets")
    spec = spec.model_copy(update={"classes": ["a", "b", "c"], "counts": [1, 1, 1]})
    net = found.network(found.plan(spec), spec).eval()
    assert isinstance(net, WideRecurrent)
    tokens = store.load_arrays(tmp_path / "out", "train").astype(np.int64)
    place = np.arange(len(tokens))
    labels = np.stack([place % 2, place % 3 == 0, place % 5 < 2], axis=1).astype(float)
    before = read(net, torch.from_numpy(tokens))
    add_linear(net, tokens, labels, np.ones(3))
    part = 2 * read(net, torch.from_numpy(tokens)) - before
    # Texts that differ are told apart by so many weights.
    assert ((part > 0) == labels).mean() > 0.8
