"""A small network that learns from a large one's answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from modelyard.compress.teaching import attention_gap, soft_targets
from modelyard.errors import BrokenArtifact, UsageError
from modelyard.families.image.host import ImageHost
from modelyard.kit.classifier import store
from modelyard.packages.variant import BASE
from modelyard.stages.features import features
from modelyard.stages.ingest import ingest
from modelyard.stages.run import Run
from modelyard.stages.train import train
from modelyard.training.continual import Continued
from modelyard.training.wrapped import Taught
from tests.toy.build import LINE, Built, build

COMMON: dict[str, Any] = {
    "features": {"sample_images": 300, "size": 8},
    "export": {"variants": "onnx-fp32", "latency_repeats": 5},
}


def config(width: int, epochs: int, **compress: Any) -> dict[str, Any]:
    training = {"epochs": epochs, "batch_size": 16, "learning_rate": 5e-3}
    return COMMON | {"model": {"width": width}, "training": training, "compress": compress}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELYARD_HOME", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield folder


@pytest.fixture(scope="module")
def large(home: Path) -> Built:
    return build(home / "large", "large", config(16, 8), "image")


def logits(run: Run, model: Path, found: Path) -> torch.Tensor:
    """Of the validation split."""
    host = ImageHost(model / "assets")
    answers = host.logits(run.family.native(model), store.load_arrays(found, "validation"))
    return torch.from_numpy(answers)


def features_with(large: Built, out: Path, **changes: Any) -> Path:
    """The features stage of a run that a package teaches."""
    run = Run.of("image", config(4, 1, **changes), id="student")
    features(run, dataset=large.folder / "dataset", features=out)
    return out


def test_a_student_with_its_teachers_answers_has_nothing_to_learn() -> None:
    answers = torch.tensor([[1.0, 2.0, -1.0], [0.0, 0.0, 3.0]])
    assert soft_targets(answers, answers, 4.0).item() == pytest.approx(0, abs=1e-6)
    assert soft_targets(-answers, answers, 4.0).item() > 1
    # Equal for the softmax: a constant more.
    assert soft_targets(answers + 5, answers, 2.0).item() == pytest.approx(0, abs=1e-6)


def test_the_gradient_of_soft_targets_is_as_large_at_any_temperature() -> None:
    sizes = []
    for temperature in (4.0, 16.0):
        answers = torch.zeros(1, 3, requires_grad=True)
        soft_targets(answers, torch.tensor([[0.3, 0.0, -0.3]]), temperature).backward()
        assert answers.grad is not None
        sizes.append(answers.grad.norm().item())
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)


def test_attention_maps_are_compared_whatever_the_number_of_channels() -> None:
    maps = torch.rand(2, 3, 4, 4)
    doubled = torch.cat([maps, maps], dim=1)
    assert attention_gap(maps, doubled).item() == pytest.approx(0, abs=1e-6)
    assert attention_gap(maps, maps.flip(3)).item() > 0.01
    with pytest.raises(
        UsageError, match=r"maps have \(2, 2\) rows and columns, this network's \(4, 4\)"
    ):
        attention_gap(maps, maps[:, :, ::2, ::2])


def test_a_taught_student_answers_more_like_its_teacher_and_its_notes_say_who_taught(
    large: Built, tmp_path: Path
) -> None:
    found = features_with(large, tmp_path / "features", teacher=str(large.package))
    target = logits(large.run, large.folder / "model", found)
    gaps = []
    for name, share in (("taught", 1.0), ("half taught", 0.5), ("alone", 0.0)):
        changes = {"teacher": str(large.package), "teacher_share": share, "feature_weight": share}
        run = Run.of("image", config(8, 12, **changes), id=name)
        train(run, features=found, model=tmp_path / name)
        answers = logits(run, tmp_path / name, found)
        gaps.append(soft_targets(answers, target, 4.0).item())
    assert gaps[0] < gaps[1] < gaps[2]
    assert gaps[0] < 0.7 * gaps[2]
    version = json.loads((large.package / "package.json").read_text())["version"]
    notes = json.loads((found / "summary.json").read_text())["notes"]
    assert notes[0].startswith(f"Taught by {version} (run large), which had accuracy 0.")


def test_a_teacher_of_another_family_is_refused(large: Built, home: Path, tmp_path: Path) -> None:
    other = build(home / "line", "line", {}, LINE)
    with pytest.raises(
        UsageError, match=r"is of family 'tests.toy.family:Line', and this run of 'image'"
    ):
        features_with(large, tmp_path / "features", teacher=str(other.package))


def test_a_model_folder_and_a_missing_champion_are_no_teachers(
    large: Built, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="is a model. Give a package"):
        features_with(large, tmp_path / "one", teacher=str(large.folder / "model"))
    with pytest.raises(UsageError, match="nothing serves under this name yet"):
        features_with(large, tmp_path / "two", teacher="champion")


def test_a_changed_package_teaches_nobody(large: Built, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(large.package, changed)
    graph = changed / "graphs" / BASE / "model.onnx"
    content = bytearray(graph.read_bytes())
    content[-1] ^= 1
    graph.write_bytes(content)
    with pytest.raises(BrokenArtifact, match=r"model\.onnx"):
        features_with(large, tmp_path / "features", teacher=str(changed))


def test_a_teacher_that_sees_other_pictures_or_lacks_a_class_is_refused(
    large: Built, tmp_path: Path
) -> None:
    run = Run.of("image", config(4, 1, teacher=str(large.package)), id="student")
    found = features_with(large, tmp_path / "features", teacher=str(large.package))
    spec = found / "assets" / "image.json"
    values = json.loads(spec.read_text())

    def teacher() -> None:
        run.family.teacher(found / "teacher", found, run.config.compress)

    teacher()
    spec.write_text(json.dumps(values | {"size": 16}))
    with pytest.raises(UsageError, match=r"sees pictures of shape \(1, 8, 8\).*\(1, 16, 16\)"):
        teacher()
    spec.write_text(json.dumps(values | {"classes": [*values["classes"][:9], "ten"]}))
    with pytest.raises(UsageError, match="does not know the class 'ten' of this data"):
        teacher()


def test_classes_are_matched_by_name_whatever_their_order(large: Built, tmp_path: Path) -> None:
    run = Run.of("image", config(4, 1, teacher=str(large.package)), id="student")
    found = features_with(large, tmp_path / "features", teacher=str(large.package))
    batches = run.family.batches(found, "train", 0)
    batch = batches.take(batches.order[:4])
    straight = run.family.teacher(found / "teacher", found, run.config.compress)(batch)["logits"]
    spec = found / "assets" / "image.json"
    values = json.loads(spec.read_text())
    spec.write_text(json.dumps(values | {"classes": values["classes"][::-1]}))
    turned = run.family.teacher(found / "teacher", found, run.config.compress)(batch)["logits"]
    assert torch.equal(turned, straight.flip(1))


def test_training_that_goes_on_from_an_earlier_model_is_taught_too(
    large: Built, tmp_path: Path
) -> None:
    found = features_with(large, tmp_path / "features", teacher=str(large.package))
    run = Run.of("image", config(4, 1, teacher=str(large.package)), id="student")
    first, going_on = run.family.model(found / "assets"), tmp_path / "base"
    going_on.mkdir()
    save_file(first.state_dict(), going_on / "model.safetensors")
    continued = Continued(run.family, going_on, run.config.continual, 0)
    teacher = continued.teacher(found / "teacher", found, run.config.compress)
    taught = Taught(continued, teacher, run.config.compress)
    batches = taught.batches(found, "train", 1)
    batch = batches.take(batches.order[:4])
    model = taught.model(found / "assets").eval()
    expected = run.family.taught_loss(first.eval(), batch, run.config.compress)
    assert torch.equal(taught.loss(model, batch), expected)


def test_models_that_are_not_networks_take_no_section_compress(tmp_path: Path) -> None:
    run = Run.of("tabular", {"model": {"kind": "lightgbm"}, "compress": {"prune": 0.3}}, id="r")
    ingest(run, dataset=tmp_path / "dataset")
    with pytest.raises(UsageError, match=r"section 'compress' shapes .* --set model.kind=mlp"):
        features(run, dataset=tmp_path / "dataset", features=tmp_path / "features")


def test_a_family_that_never_comes_to_the_shared_loop_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="'compress': this model is not trained by the shared loop"
    ):
        build(tmp_path, "r", {"compress": {"sparsity": 0.5}}, "tests.toy.network:Network")
