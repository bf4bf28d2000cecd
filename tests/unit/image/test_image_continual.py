"""Pictures whose classes arrive in two parts: zeros and ones first, twos and threes later."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from modelyard.errors import UsageError
from modelyard.families.image.config import ImageConfig
from modelyard.families.image.family import Image
from modelyard.families.image.spec import ImageSpec
from modelyard.kit.classifier import store
from modelyard.settings.continual import ContinualSettings
from modelyard.training.memory import Memory
from tests.training.going_on import features_of, judged, model_of


def family(**changes: object) -> Image:
    values = ImageConfig.debug().model_dump()
    values["model"]["width"] = 4
    values["training"] |= {"epochs": 8, "learning_rate": 1e-2}
    values["data"]["split_seed"] = 3  # of 28 test pictures, one is 4 points
    for name, value in changes.items():
        section, _, field = name.partition("__")
        values[section] = value if not field else values[section] | {field: value}
    return Image(ImageConfig.model_validate(values))


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of real digits: 0 and 1, and 2 and 3."""
    root = tmp_path_factory.mktemp("digits")
    (root / "all").mkdir()
    family(features__sample_images=700).sample(root / "all")
    for number, names in enumerate(("01", "23")):
        for name in names:
            shutil.copytree(root / "all" / name, root / str(number) / name)
    return root / "0", root / "1"


@pytest.fixture(scope="module")
def first(parts: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Features and model of the first part, with exemplars."""
    out, one = tmp_path_factory.mktemp("first"), family(continual=ContinualSettings(memory=24))
    features = features_of(one, parts[0], out / "features")
    return features, model_of(one, features, out / "model")


def test_new_classes_come_after_the_old_ones_and_pictures_are_seen_as_before(
    parts: tuple[Path, Path], first: tuple[Path, Path], tmp_path: Path
) -> None:
    features = features_of(family(features__size=None), parts[1], tmp_path / "features", first[1])
    before, after = ImageSpec.load(first[0] / "assets"), ImageSpec.load(features / "assets")
    assert after.classes == [*before.classes, "2", "3"]
    assert (after.size, after.mean, after.std) == (before.size, before.mean, before.std)
    assert after.counts[:2] == before.counts
    assert set(store.load_labels(features, "train").tolist()) == {2, 3}


def test_exemplars_are_the_pictures_as_they_are_in_a_byte_a_pixel(first: tuple[Path, Path]) -> None:
    memory = Memory.load(first[1] / "memory.safetensors")
    pixels = store.load_arrays(first[0], "train").astype(np.float32).reshape(-1, 256)
    for row in memory.rows["pixels"].reshape(-1, 256).numpy():
        assert (pixels == row).all(1).any()
    assert (first[1] / "memory.safetensors").stat().st_size < 24 * (256 + 8) + 1000
    one = family()
    assert not torch.equal(one.replayed(memory.rows, first[0], 1)["pixels"], memory.rows["pixels"])
    assert torch.equal(*(one.replayed(memory.rows, first[0], 3)["pixels"] for _ in range(2)))


def test_without_exemplars_zeros_and_ones_are_forgotten_and_with_them_they_are_not(
    parts: tuple[Path, Path], first: tuple[Path, Path], tmp_path: Path
) -> None:
    kept = {}
    for replay in (0.0, 0.5):
        one = family(continual=ContinualSettings(replay=replay))
        features = features_of(one, parts[1], tmp_path / f"{replay}", first[1])
        model = model_of(one, features, tmp_path / f"{replay}-model")
        assert judged(one, model, features).metrics["accuracy"] > 0.85
        kept[replay] = judged(one, model, first[0]).metrics["accuracy"]
    assert judged(family(), first[1], first[0]).metrics["accuracy"] > 0.95
    assert kept[0.0] < 0.6
    assert kept[0.5] > 0.9


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"features__size": 24}, r"'features\.size' = 24.*has 16.*--set features\.size=16"),
        ({"features__channels": "colour"}, r"--set features\.channels=gray"),
        ({"features__fit": "crop"}, r"--set features\.fit=pad"),
        ({"model__kind": "vit"}, r"--set model\.kind=cnn"),
    ],
)
def test_another_size_or_kind_does_not_go_on(
    changes: dict[str, object],
    said: str,
    parts: tuple[Path, Path],
    first: tuple[Path, Path],
    tmp_path: Path,
) -> None:
    with pytest.raises(UsageError, match=said):
        features_of(family(**changes), parts[1], tmp_path / "features", first[1])


def test_another_width_is_refused_by_the_name_of_a_tensor(
    parts: tuple[Path, Path], first: tuple[Path, Path], tmp_path: Path
) -> None:
    one = family(model__width=6)
    features = features_of(one, parts[1], tmp_path / "features", first[1])
    with pytest.raises(UsageError, match=r"tensor 'backbone\.0\.second\.weight' is \(4, 4, 3, 3\)"):
        model_of(one, features, tmp_path / "model")


def test_balanced_classes_are_weighed_by_all_pictures_so_far(
    parts: tuple[Path, Path], first: tuple[Path, Path], tmp_path: Path
) -> None:
    one = family(model__class_weight="balanced")
    features = features_of(one, parts[1], tmp_path / "features", first[1])
    weights = one.model(features / "assets").get_buffer("class_weights")
    counts = torch.tensor(ImageSpec.load(features / "assets").counts)
    torch.testing.assert_close(weights * counts, torch.full((4,), counts.sum() / 4))
