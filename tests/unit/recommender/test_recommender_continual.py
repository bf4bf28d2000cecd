"""A shop goes on with other customers and new items: what the model keeps of the first ones."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from modelyard.errors import UsageError
from modelyard.families.recommender.catalog import Catalog
from modelyard.families.recommender.config import RecommenderConfig
from modelyard.families.recommender.data import load_split
from modelyard.families.recommender.family import Recommender
from modelyard.families.recommender.sample import write_sample
from modelyard.training.continual import continued
from modelyard.training.memory import Memory
from tests.training.going_on import features_of, judged, model_of


def family(kind: str = "lightgcn", **changes: object) -> Recommender:
    values = RecommenderConfig.debug().model_dump()
    values["model"] |= {"kind": kind, "regularization": 1e-3}
    values["training"] |= {"epochs": 30, "patience": 30}
    for name, value in changes.items():
        section, _, field = name.partition("__")
        values[section] |= {field: value}
    return Recommender(RecommenderConfig.model_validate(values))


def later(folder: Path, users: int, items: int) -> Path:
    """Another world's log, its people and items numbered from `users` and `items` on."""
    folder.mkdir()
    write_sample(folder, 120, 80, 5)
    for name, shifts in (("interactions.csv", {0: users, 1: items}), ("items.csv", {0: items})):
        with (folder / name).open() as stream:
            header, *rows = csv.reader(stream)
        moved = [
            [
                str(int(cell) + shifts.get(place, 0)) if place in shifts else cell
                for place, cell in enumerate(row)
            ]
            for row in rows
        ]
        (folder / name).write_text("\n".join(",".join(row) for row in (header, *moved)) + "\n")
    return folder


@pytest.fixture(scope="module")
def raws(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """150 people and 80 items; 120 people, of whom 30 are known, and 80 items, of which 60 are."""
    root = tmp_path_factory.mktemp("shop")
    (root / "first").mkdir()
    write_sample(root / "first", 150, 80, 0)
    return root / "first", later(root / "second", 120, 20)


@pytest.fixture(scope="module")
def first(raws: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    out, one = tmp_path_factory.mktemp("first"), family(continual__memory=600)
    features = features_of(one, raws[0], out / "features")
    return features, model_of(one, features, out / "model")


@pytest.fixture(scope="module")
def second(
    raws: tuple[Path, Path], first: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return features_of(family(), raws[1], tmp_path_factory.mktemp("second") / "features", first[1])


def test_new_people_and_items_come_last_and_histories_are_joined(
    first: tuple[Path, Path], second: Path
) -> None:
    before, after = Catalog.load(first[0] / "assets"), Catalog.load(second / "assets")
    assert after.users[: len(before.users)] == before.users
    assert [item.id for item in after.items][: len(before.items)] == [
        item.id for item in before.items
    ]
    assert after.categories[: len(before.categories)] == before.categories
    assert len(after.users) > len(before.users)
    assert len(after.items) > len(before.items)
    for user in range(len(before.users)):
        old = before.history(user).tolist()
        assert after.history(user)[: len(old)].tolist() == old
    assert after.popularity.sum() == len(after.history_items)
    np.testing.assert_array_equal(
        np.bincount(after.history_items, minlength=len(after.items)), after.popularity
    )


def test_only_new_interactions_are_trained_on_and_none_is_drawn_that_somebody_had(
    first: tuple[Path, Path], second: Path
) -> None:
    before, after = Catalog.load(first[0] / "assets"), Catalog.load(second / "assets")
    found = family().batches(second, "train", 1)
    batch = found.take(found.order)
    assert len(found.order) == len(after.history_items) - len(before.history_items)
    had = {
        (user, item) for user in range(len(before.users)) for item in before.history(user).tolist()
    }
    assert not had & set(zip(batch["user"].tolist(), batch["item"].tolist(), strict=True))
    for user, negatives in zip(batch["user"].tolist(), batch["negative"].tolist(), strict=True):
        assert not set(negatives) & set(after.history(user).tolist())


def test_a_log_that_grew_is_trained_on_where_it_is_new(
    raws: tuple[Path, Path], first: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "raw").mkdir()
    for name in ("interactions.csv", "items.csv"):
        lines = [(raw / name).read_text().splitlines() for raw in raws]
        (tmp_path / "raw" / name).write_text("\n".join([*lines[0], *lines[1][1:]]) + "\n")
    features = features_of(family(), tmp_path / "raw", tmp_path / "features", first[1])
    catalog = Catalog.load(features / "assets")
    for user in range(len(catalog.users)):
        assert len(set(catalog.history(user).tolist())) == len(catalog.history(user))
        assert len(set(catalog.had(user).tolist())) == len(catalog.had(user))
    before = Catalog.load(first[0] / "assets")
    for user in range(len(before.users)):
        assert set(before.had(user).tolist()) <= set(catalog.had(user).tolist())
    users, items = load_split(features, "test")
    for user, item in zip(users.tolist(), items.tolist(), strict=True):
        assert item not in catalog.history(user)


@pytest.mark.parametrize("kind", ["lightgcn", "ncf", "multitask", "din", "sequence"])
def test_every_kind_begins_with_the_earlier_vectors(
    kind: str, raws: tuple[Path, Path], tmp_path: Path
) -> None:
    one = family(kind, training__epochs=1, continual__memory=40)
    model = model_of(one, features_of(one, raws[0], tmp_path / "fa"), tmp_path / "ma")
    features = features_of(one, raws[1], tmp_path / "fb", model)
    begun = (
        continued(one, features, one.config.continual, 0).model(features / "assets").state_dict()
    )
    for name, old in load_file(model / "model.safetensors").items():
        assert torch.equal(begun[name][: len(old)], old)
    after = Catalog.load(features / "assets")
    assert len(begun["item"]) == len(after.items)
    if "user" in begun:
        assert len(begun["user"]) == len(after.users)
    again = model_of(one, features, tmp_path / "mb")
    memory = Memory.load(again / "memory.safetensors")
    assert len(memory) == 40
    assert memory.rows["user"].max() >= len(Catalog.load(model / "assets").users)


def test_with_exemplars_the_first_customers_are_still_served(
    first: tuple[Path, Path], second: Path, tmp_path: Path
) -> None:
    found = {"before": judged(family(), first[1], first[0]).metrics["ndcg_at_10"]}
    for replay in (0.0, 0.5):
        one = family(continual__replay=replay)
        model = model_of(one, second, tmp_path / f"{replay}")
        found[f"{replay}"] = judged(one, model, first[0]).metrics["ndcg_at_10"]
        new = judged(one, model, second)
        assert new.metrics["ndcg_at_10"] > new.baseline["ndcg_at_10"]
    assert found["0.5"] > 0.8 * found["before"]
    assert found["0.0"] < 0.8 * found["0.5"]


def test_another_kind_and_herding_without_a_linear_layer_are_refused_before_training(
    raws: tuple[Path, Path], first: tuple[Path, Path], second: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"--set model\.kind=lightgcn"):
        features_of(family("ncf"), raws[1], tmp_path / "f", first[1])
    one = family(continual__memory=10, continual__choose="herding")
    with pytest.raises(UsageError, match=r"continual\.choose=reservoir"):
        model_of(one, second, tmp_path / "m")
    assert not (tmp_path / "m" / "model.safetensors").exists()
