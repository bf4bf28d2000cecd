"""A small decoder that learns from a large one's answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from modelyard.compress.teaching import LOGITS, soft_targets
from modelyard.errors import UsageError
from modelyard.families.language.config import LanguageConfig
from modelyard.families.language.pack import IGNORED
from modelyard.families.language.train import from_scratch, load
from modelyard.settings.compress import CompressSettings
from modelyard.settings.family import resolve
from modelyard.stages.features import features
from modelyard.stages.run import Run
from modelyard.stages.train import train
from tests.toy.build import Built, build


def config(width: int, **compress: Any) -> dict[str, Any]:
    values = LanguageConfig.debug().model_dump(mode="json")
    values["model"] |= {"width": width, "draft_layers": 0}
    values["training"] |= {"epochs": 2}
    values["compress"] = compress
    values["export"] |= {"variants": "onnx-fp32", "latency_repeats": 5, "latency_seconds": 1}
    return values


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("large"), "large", config(32), "language")


@pytest.fixture(scope="module")
def lessons(large: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features with the teacher."""
    out = tmp_path_factory.mktemp("lessons") / "features"
    run = Run.of("language", config(16, teacher=str(large.package)), id="small")
    features(run, dataset=large.folder / "dataset", features=out)
    return out


def test_the_teacher_answers_packed_rows_as_its_network_does(large: Built, lessons: Path) -> None:
    setup = from_scratch(large.run.config, lessons / "assets")
    batches = setup.batches(lessons, "train", 1)
    batch = batches.take(batches.order[:3])
    said = batch["targets"] != IGNORED
    teacher = setup.teacher(lessons / "teacher", lessons, CompressSettings())
    model = load(large.folder / "model")["decoder"].eval()
    with torch.inference_mode():
        expected = model(batch["input_ids"], batch["positions"], batch["segments"])["logits"]
    answered = teacher(batch)["logits"]
    assert torch.allclose(answered[said], expected[said], atol=1e-3)
    assert len(batch["segments"].unique()) > 2, "several documents share a row"


def test_rows_that_pad_a_vocabulary_are_not_compared(lessons: Path) -> None:
    """Checkpoints of one tokenizer differ in them: Qwen 2.5 of 0.5B has 151,936, that of 7B
    152,064."""
    setup = from_scratch(
        resolve(LanguageConfig, ("config", config(16, teacher_share=1.0))), lessons / "assets"
    )
    batches = setup.batches(lessons, "train", 1)
    batch = batches.take(batches.order[:2])
    model = setup.model(lessons / "assets").eval()
    teacher = torch.randn(*batch["input_ids"].shape, model(**inputs(batch))["logits"].shape[-1])
    padding = torch.full((*teacher.shape[:2], 3), 9.0)
    losses = []
    for answers in (teacher, torch.cat([teacher, padding], dim=2), teacher[..., :-1]):
        found = setup.taught_loss(model, batch | {LOGITS: answers}, setup.config.compress)
        losses.append(found.item())
    assert losses[0] == losses[1]
    assert losses[2] == pytest.approx(losses[0], rel=0.05)


def inputs(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: batch[name] for name in ("input_ids", "positions", "segments")}


def test_a_taught_decoder_answers_more_like_its_teacher(
    large: Built, lessons: Path, tmp_path: Path
) -> None:
    gaps = []
    model = load(large.folder / "model")["decoder"].eval()
    for name, share in (("taught", 1.0), ("alone", 0.0)):
        changes = {"teacher": str(large.package), "teacher_share": share}
        run = Run.of("language", config(16, **changes), id=name)
        train(run, features=lessons, model=tmp_path / name)
        setup = from_scratch(run.config, lessons / "assets")
        batches = setup.batches(lessons, "validation", 1)
        batch = batches.take(batches.order[:4])
        inputs = [batch[one] for one in ("input_ids", "positions", "segments")]
        said = batch["targets"] != IGNORED
        with torch.inference_mode():
            small = load(tmp_path / name)["decoder"].eval()(*inputs)["logits"]
            gaps.append(soft_targets(small[said], model(*inputs)["logits"][said], 4.0).item())
    assert gaps[0] < 0.9 * gaps[1]


def test_another_tokenizer_and_too_few_tokens_are_refused(
    large: Built, lessons: Path, tmp_path: Path
) -> None:
    shutil.copytree(lessons / "teacher", tmp_path / "teacher")
    setup = from_scratch(
        resolve(type(large.run.config), ("config", config(16))), lessons / "assets"
    )
    spec = tmp_path / "teacher" / "assets" / "decoder.json"
    values = json.loads(spec.read_text())
    spec.write_text(json.dumps(values | {"context": 8}))
    with pytest.raises(UsageError, match="reads 8 tokens at most. Type: --set model.context=8"):
        setup.teacher(tmp_path / "teacher", lessons, CompressSettings())
    tokenizer = tmp_path / "teacher" / "assets" / "tokenizer.json"
    tokenizer.write_bytes(tokenizer.read_bytes() + b" ")
    with pytest.raises(UsageError, match="another tokenizer than this run"):
        setup.teacher(tmp_path / "teacher", lessons, CompressSettings())
