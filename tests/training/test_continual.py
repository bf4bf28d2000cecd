"""Training that goes on from an earlier model: weights that grow, exemplars that are kept and
shown again."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from modelyard.errors import BrokenArtifact, UsageError
from modelyard.family import Trainable
from modelyard.settings.continual import ContinualSettings
from modelyard.settings.training import TrainingSettings
from modelyard.training.batches import Batches
from modelyard.training.continual import grow, mixed, remember
from modelyard.training.loop import Trainer
from modelyard.training.memory import Memory, herding, reservoir

Batch = dict[str, torch.Tensor]
CENTRES = torch.tensor([[3.0, 0.0], [0.0, 3.0], [-3.0, 0.0], [0.0, -3.0]])


@dataclass
class Clouds(Trainable):
    """Points around four centres; only those of `classes` are in the data, though all so far are
    told apart."""

    classes: tuple[int, ...] = (0, 1)
    known: int = 2
    rows: int = 60

    def model(self, assets: Path) -> nn.Module:
        return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, self.known))

    def batches(self, features: Path, split: str, epoch: int) -> Batches:
        rng = np.random.default_rng(0 if split == "train" else 1)
        label = torch.from_numpy(rng.choice(self.classes, self.rows))
        x = CENTRES[label] + torch.from_numpy(rng.normal(0, 0.5, (self.rows, 2)).astype(np.float32))
        order = (
            np.random.default_rng([3, epoch]).permutation(self.rows)
            if split == "train"
            else np.arange(self.rows)
        )
        return Batches(order, 10, lambda some: {"x": x[some], "label": label[some]})

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        return functional.cross_entropy(model(batch["x"]), batch["label"])

    def scores(self, model: nn.Module, batch: Batch) -> Batch:
        return {"accuracy": (model(batch["x"]).argmax(1) == batch["label"]).float().mean()}

    def groups(self, batch: Batch) -> torch.Tensor:
        return batch["label"]


SETTINGS = TrainingSettings(epochs=8, learning_rate=0.03, weight_decay=0, patience=8)


def trained(family: Trainable, out: Path, base: Path | None = None, **continual: object) -> Path:
    """A model folder; `base` is one that it goes on from."""
    out.mkdir()
    if base is not None:
        (out / "base").symlink_to(base)
    trainer = Trainer(0, SETTINGS, continual=ContinualSettings.model_validate(continual))
    trainer.fit(family, out, out)
    return out


def accuracy(family: Clouds, folder: Path) -> float:
    model = family.model(folder)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    found = family.batches(folder, "validation", 0)
    return float(family.scores(model.eval(), found.take(found.order))["accuracy"])


# --- what is kept


def test_every_example_ever_seen_is_equally_likely_to_be_in_the_reservoir() -> None:
    """Three parts arrive one after the other; the chance to be kept is capacity / all, wherever
    an example stood."""
    capacity, parts, rounds = 8, (13, 5, 22), 4_000
    counts = np.zeros(sum(parts))
    for number in range(rounds):
        rng, kept, seen = np.random.default_rng(number), np.empty(0, np.int64), 0
        for new in parts:
            places = reservoir(capacity, len(kept), seen, new, rng)
            kept = np.concatenate([kept, seen + np.arange(new)])[places]
            seen += new
        assert len(kept) == len(set(kept.tolist())) == capacity
        counts[kept] += 1
    expected = rounds * capacity / sum(parts)
    spread = np.sqrt(expected * (1 - capacity / sum(parts)))
    assert np.abs(counts - expected).max() < 4.5 * spread


def test_a_reservoir_with_room_keeps_all_and_a_smaller_one_lets_go_evenly() -> None:
    rng = np.random.default_rng(0)
    assert sorted(reservoir(10, 3, 3, 4, rng).tolist()) == list(range(7))
    left = Counter(place for _ in range(2_000) for place in reservoir(2, 4, 40, 0, rng).tolist())
    assert sorted(left) == [0, 1, 2, 3]
    assert max(left.values()) - min(left.values()) < 200


def test_herding_follows_the_mean_better_than_chance() -> None:
    rng = np.random.default_rng(0)
    features = rng.gamma(2.0, size=(200, 6))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    chosen = herding(features, np.ones(200), 10)
    gap = np.linalg.norm(unit[chosen].mean(0) - unit.mean(0))
    random = [
        np.linalg.norm(unit[rng.permutation(200)[:10]].mean(0) - unit.mean(0)) for _ in range(200)
    ]
    assert len(set(chosen.tolist())) == 10
    assert gap < np.quantile(random, 0.02)


def test_each_beginning_of_a_herd_is_the_herd_of_that_size_and_weights_move_its_mean() -> None:
    features = np.random.default_rng(1).normal(1, 1, (50, 4))
    assert (
        herding(features, np.ones(50), 20)[:7].tolist()
        == herding(features, np.ones(50), 7).tolist()
    )
    heavy = np.ones(50)
    heavy[13] = 1e6
    assert herding(features, heavy, 1).tolist() == [13]


def test_exemplars_come_back_from_their_file_as_they_were_in_fewer_bytes(tmp_path: Path) -> None:
    pixels = torch.arange(0, 240, dtype=torch.float32).reshape(10, 24)
    rows = {
        "pixels": pixels,
        "cells": pixels / 7,
        "label": torch.arange(10) * 100,
        "known": torch.ones(10).bool(),
    }
    Memory(rows, {0: 7, 5: 3}).save(tmp_path / "memory.safetensors")
    back = Memory.load(tmp_path / "memory.safetensors")
    assert (back.seen, back.total, len(back)) == ({0: 7, 5: 3}, 10, 10)
    for name, tensor in rows.items():
        assert back.rows[name].dtype == tensor.dtype
        assert torch.equal(back.rows[name], tensor)
    assert {
        name: str(one.dtype) for name, one in load_file(tmp_path / "memory.safetensors").items()
    } == {
        "pixels": "torch.uint8",
        "cells": "torch.float32",
        "label": "torch.int16",
        "known": "torch.bool",
    }


def test_a_damaged_memory_is_named(tmp_path: Path) -> None:
    save_file({"x": torch.ones(3)}, tmp_path / "memory.safetensors")
    with pytest.raises(BrokenArtifact, match=r"memory\.safetensors is no memory"):
        Memory.load(tmp_path / "memory.safetensors")


def test_herding_keeps_as_many_of_each_class_and_a_reservoir_as_many_as_the_data_has(
    tmp_path: Path,
) -> None:
    class Uneven(Clouds):
        def batches(self, features: Path, split: str, epoch: int) -> Batches:
            found = super().batches(features, split, epoch)
            label = found.take(np.arange(self.rows))["label"].numpy()
            rare = np.flatnonzero(label == 1)[4:]
            return replace(found, order=np.setdiff1d(found.order, rare))

    counts = {}
    for choose in ("herding", "reservoir"):
        out = trained(Uneven(), tmp_path / choose, memory=8, choose=choose)
        memory = Memory.load(out / "memory.safetensors")
        counts[choose] = np.bincount(memory.rows["label"].numpy(), minlength=2).tolist()
        assert memory.seen[1] == 4
        assert len(memory) == 8
    assert counts["herding"] == [4, 4]
    assert counts["reservoir"][1] < 4


def test_herding_without_a_linear_layer_or_with_less_than_one_a_class_says_what_to_type(
    tmp_path: Path,
) -> None:
    class Bare(Clouds):
        def model(self, assets: Path) -> nn.Module:
            return nn.Bilinear(2, 2, 2)

        def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
            return functional.cross_entropy(model(batch["x"], batch["x"]), batch["label"])

    herd = ContinualSettings(memory=8, choose="herding")
    with pytest.raises(UsageError, match=r"continual\.choose=reservoir"):
        remember(Bare(), Bare().model(tmp_path), tmp_path, herd, 0)
    few = ContinualSettings(memory=1, choose="herding")
    with pytest.raises(UsageError, match=r"1 is fewer than the 2 classes.*memory=20"):
        remember(Clouds(), Clouds().model(tmp_path), tmp_path, few, 0)


# --- weights that grow


def test_appended_classes_leave_the_old_ones_answers_as_they_were(tmp_path: Path) -> None:
    old, new = Clouds().model(tmp_path), Clouds(known=4).model(tmp_path)
    fresh = {name: value.clone() for name, value in new.state_dict().items()}
    grow(old.state_dict(), new)
    x = torch.randn(9, 2)
    torch.testing.assert_close(new(x)[:, :2], old(x), atol=1e-6, rtol=0)
    assert torch.equal(new.state_dict()["2.weight"][2:], fresh["2.weight"][2:])


@pytest.mark.parametrize(
    ("old", "said"),
    [
        (
            nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2)),
            r"'2\.weight' is \(2, 8\).*and \(4, 16\)",
        ),
        (
            nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 5)),
            r"'2\.weight' is \(5, 16\).*and \(4, 16\)",
        ),
        (nn.Sequential(nn.Linear(2, 16)), r"'2\.bias' is not in the base model"),
        (nn.Sequential(*Clouds().model(Path()), nn.Linear(2, 2)), r"'3\.bias' has no place"),
    ],
)
def test_another_network_is_refused_by_the_name_of_its_tensor(
    old: nn.Module, said: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        grow(old.state_dict(), Clouds(known=4).model(tmp_path))


def test_training_begins_with_the_earlier_weights(tmp_path: Path) -> None:
    first = trained(Clouds(), tmp_path / "first")
    losses = {}
    for name, base in (("anew", None), ("on", first)):
        out = tmp_path / name
        out.mkdir()
        if base:
            (out / "base").symlink_to(base)
        card = Trainer(0, SETTINGS).fit(Clouds(), out, out)
        losses[name] = card["curves"]["loss"]["validation"][0]
    assert losses["on"] < 0.5 * losses["anew"]


def test_a_helper_beside_the_model_neither_goes_on_nor_keeps_exemplars(tmp_path: Path) -> None:
    first = trained(Clouds(), tmp_path / "first")
    helper = Clouds(known=3)
    helper.continues = False
    (first / "model.safetensors").unlink()
    out = trained(helper, tmp_path / "second", first, memory=5)
    assert not (out / "memory.safetensors").exists()


# --- exemplars that are shown again


def plain(count: int, size: int) -> Batches:
    return Batches(np.arange(count), size, lambda rows: {"x": torch.from_numpy(rows * 1.0)})


@pytest.mark.parametrize(
    ("count", "size", "kept", "share"), [(40, 8, 5, 0.5), (33, 10, 100, 0.25), (7, 1, 3, 0.9)]
)
def test_every_batch_has_its_share_of_exemplars_and_all_are_shown_alike(
    count: int, size: int, kept: int, share: float
) -> None:
    memory = {"x": -1.0 - torch.arange(kept, dtype=torch.float64)}
    found = mixed(plain(count, size), memory, share, np.random.default_rng(0))
    shown = [batch["x"].numpy() for batch in found]
    every = np.concatenate(shown)
    assert sorted(every[every >= 0].tolist()) == list(range(count))
    times = Counter(every[every < 0].tolist())
    assert sum(times.values()) == int(count * share / (1 - share))
    assert max(times.values()) - min([*times.values(), *([0] if len(times) < kept else [])]) <= 1
    assert all(abs((batch < 0).sum() - share * size) <= 1 for batch in shown[:-1])


def test_a_row_is_the_same_whoever_takes_it_and_with_whom() -> None:
    memory = {"x": -1.0 - torch.arange(6, dtype=torch.float64)}
    found = mixed(plain(20, 8), memory, 0.5, np.random.default_rng(0))
    alone = torch.cat(
        [found.take(found.order[place : place + 1])["x"] for place in range(len(found.order))]
    )
    assert torch.equal(alone, found.take(found.order)["x"])
    parts = [found.take(rows)["x"] for process in (0, 1) for rows in found.rows(process, 2)]
    assert sorted(torch.cat(parts).tolist()) == sorted(alone.tolist())


def test_exemplars_of_another_shape_are_refused_by_name() -> None:
    with pytest.raises(
        UsageError, match=r"'x' of an exemplar is torch\.float32 \(3,\), of this run's examples"
    ):
        mixed(plain(20, 8), {"x": torch.ones(4, 3)}, 0.5, np.random.default_rng(0))
    with pytest.raises(UsageError, match="differ in 'y'"):
        mixed(
            plain(20, 8),
            {"x": torch.ones(4).double(), "y": torch.ones(4)},
            0.5,
            np.random.default_rng(0),
        )


@pytest.mark.parametrize("choose", ["reservoir", "herding"])
def test_with_exemplars_the_old_classes_are_not_forgotten(choose: str, tmp_path: Path) -> None:
    old, new = Clouds((0, 1), 2), Clouds((2, 3), 4)
    both = Clouds((0, 1, 2, 3), 4, 200)
    first = trained(old, tmp_path / "first", memory=12, choose=choose)
    assert accuracy(old, first) > 0.95
    forgot = trained(new, tmp_path / "forgot", first, replay=0)
    held = trained(new, tmp_path / "held", first, memory=12, choose=choose)
    assert accuracy(new, forgot) > 0.95
    assert accuracy(Clouds((0, 1), 4), forgot) < 0.6
    assert accuracy(both, held) > 0.95
    memory = Memory.load(held / "memory.safetensors")
    assert set(memory.rows["label"].tolist()) == {0, 1, 2, 3}
    assert memory.total == 120


def test_the_same_seed_gives_the_same_weights_and_the_same_memory(tmp_path: Path) -> None:
    first = trained(Clouds(), tmp_path / "first", memory=9)
    again = [trained(Clouds((2, 3), 4), tmp_path / name, first, memory=9) for name in "ab"]
    for file in ("model.safetensors", "memory.safetensors"):
        assert (again[0] / file).read_bytes() == (again[1] / file).read_bytes()


def test_two_processes_learn_with_exemplars_what_one_learns(tmp_path: Path) -> None:
    """Both take their parts of the very batches that one process takes."""
    from modelyard.training.continual import Continued

    first = trained(Clouds(), tmp_path / "first", memory=9)
    family = Continued(Clouds((2, 3), 4), first, ContinualSettings(), 0)
    whole = family.batches(tmp_path, "train", 1)
    other = Continued(Clouds((2, 3), 4), first, ContinualSettings(), 0).batches(
        tmp_path, "train", 1
    )
    for batch, mine, theirs in zip(whole, other.rows(0, 2), other.rows(1, 2), strict=True):
        joined = torch.cat([other.take(mine)["x"], other.take(theirs)["x"]])
        assert torch.equal(joined.sort(0).values, batch["x"].sort(0).values)


# --- settings


def test_the_section_survives_a_pipelines_parameters_and_refuses_a_secret() -> None:
    from modelyard.settings.family import FamilyConfig, portable

    for continual in (
        ContinualSettings(),
        ContinualSettings(start="champion", memory=5, choose="herding"),
    ):
        config = FamilyConfig(continual=continual)
        assert FamilyConfig.model_validate(json.loads(json.dumps(portable(config)))) == config
    with pytest.raises(UsageError, match="password"):
        ContinualSettings(start="https://me:secret@host/package")
    assert not ContinualSettings(start="").wanted


def kept_by_base(folder: Path, memory: Memory) -> Path:
    (folder / "base").mkdir(parents=True)
    memory.save(folder / "base" / "memory.safetensors")
    return folder


@pytest.mark.parametrize("choose", ["reservoir", "herding"])
def test_examples_of_a_class_that_comes_again_count_with_those_seen_before(
    choose: str, tmp_path: Path
) -> None:
    rows = {"x": CENTRES[[0, 1]], "label": torch.tensor([0, 1])}
    folder = kept_by_base(tmp_path, Memory(rows, {0: 70, 1: 30, 9: 4}))
    settings = ContinualSettings.model_validate({"memory": 6, "choose": choose})
    family = Clouds()
    label = family.batches(tmp_path, "train", 0).take(np.arange(60))["label"]
    found = remember(family, family.model(tmp_path), folder, settings, 0)
    assert found.seen == {0: 70 + int((label == 0).sum()), 1: 30 + int((label == 1).sum()), 9: 4}


def test_an_old_exemplar_weighs_as_many_examples_as_it_stands_for(tmp_path: Path) -> None:
    """Class 0 lay elsewhere before: after 5,000 examples there, herding keeps to the old place,
    after 6 to the new."""
    family, settings = Clouds(), ContinualSettings(memory=12, choose="herding")
    model = family.model(tmp_path)
    x = CENTRES[2] + 0.3 * torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    old = {}
    for seen in (6, 5_000):
        memory = Memory({"x": x, "label": torch.zeros(6, dtype=torch.int64)}, {0: seen})
        found = remember(family, model, kept_by_base(tmp_path / f"{seen}", memory), settings, 0)
        old[seen] = int(((found.rows["label"] == 0) & (found.rows["x"][:, 0] < 0)).sum())
    assert old[5_000] > old[6] + 2
