"""The shared training loop, on a family of one linear layer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from modelyard.errors import BadData, BrokenArtifact, Interrupted, ModelyardError
from modelyard.family import Trainable
from modelyard.settings.continual import ContinualSettings
from modelyard.settings.family import TrainingSettings
from modelyard.training import session
from modelyard.training.batches import Batches
from modelyard.training.checkpoint import Checkpoints
from modelyard.training.loop import Trainer, load_weights

Batch = dict[str, torch.Tensor]
TRUTH = torch.tensor([[1.0, -2.0, 0.5]])


@dataclass
class Line(Trainable):
    """Learns y = TRUTH x + 3 from 64 rows; the validation rows may follow another truth."""

    shift: float = 0.0
    rows: int = 64

    def model(self, assets: Path) -> torch.nn.Module:
        assert assets.name == "assets"
        return torch.nn.Linear(3, 1)

    def batches(self, features: Path, split: str, epoch: int) -> Batches:
        generator = torch.Generator().manual_seed(epoch if split == "train" else 10_000)
        x = torch.randn(self.rows, 3, generator=generator)
        y = x @ TRUTH.T + 3 + (self.shift if split == "validation" else 0.0)
        return Batches(np.arange(self.rows), 16, lambda rows: {"x": x[rows], "y": y[rows]})

    def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        return torch.nn.functional.mse_loss(model(batch["x"]), batch["y"])


def settings(**values: object) -> TrainingSettings:
    return TrainingSettings.model_validate(
        {"epochs": 60, "learning_rate": 0.05, "weight_decay": 0, **values}
    )


def test_it_learns_and_keeps_the_weights(tmp_path: Path) -> None:
    card = Trainer(0, settings()).fit(Line(), tmp_path, tmp_path)
    model = load_weights(torch.nn.Linear(3, 1), tmp_path)
    torch.testing.assert_close(model.state_dict()["weight"], TRUTH, atol=0.05, rtol=0)
    assert not model.training
    assert card["parameters"] == 4
    assert (
        len(card["curves"]["loss"]["train"])
        == len(card["curves"]["loss"]["validation"])
        == card["epochs"]
    )
    assert f"epoch {card['best_epoch']}" in card["headline"]


def test_the_best_epochs_weights_are_kept_and_patience_ends_it(tmp_path: Path) -> None:
    family = Line(shift=-2.0)
    card = Trainer(0, settings(patience=3)).fit(family, tmp_path, tmp_path)
    losses = card["curves"]["loss"]["validation"]
    assert card["best_epoch"] == int(np.argmin(losses)) + 1
    assert card["epochs"] == card["best_epoch"] + 3 < 60
    model = load_weights(torch.nn.Linear(3, 1), tmp_path)
    with torch.no_grad():
        kept = [
            family.loss(model, batch).item() for batch in family.batches(tmp_path, "validation", 0)
        ]
    assert np.mean(kept) == pytest.approx(min(losses), rel=1e-5)
    assert min(losses) < losses[-1]


@dataclass
class Told(Line):
    """Has these validation losses, epoch by epoch."""

    losses: tuple[float, ...] = ()

    def batches(self, features: Path, split: str, epoch: int) -> Batches:
        if split == "train":
            return super().batches(features, split, epoch)
        told = torch.full((self.rows,), self.losses[epoch - 1])
        return Batches(np.arange(self.rows), 16, lambda rows: {"told": told[rows]})

    def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        if "told" in batch:
            return batch["told"].mean()
        return super().loss(model, batch)


@pytest.mark.parametrize(
    ("schedule", "ended"),
    [
        # The first epoch that counts is 14, 11, 11, 7, 9 and 4: halfway down, or the first cut.
        ("one_cycle", 16),
        ("cosine", 13),
        ("linear", 13),
        ("step", 9),
        ("plateau", 11),
        ("warm_restarts", 6),
        ("constant", 5),
    ],
)
def test_patience_counts_from_where_a_schedule_has_lowered_the_rate(
    tmp_path: Path, schedule: str, ended: int
) -> None:
    told = Told(losses=(3.0, 2.0, *[2.5] * 18))
    chosen = settings(epochs=20, patience=3, schedule=schedule, period=6)
    card = Trainer(0, chosen).fit(told, tmp_path, tmp_path)
    assert (card["epochs"], card["best_epoch"]) == (ended, 2)


def test_the_best_epoch_may_come_late_in_a_schedule(tmp_path: Path) -> None:
    told = Told(losses=(3.0, 2.0, *[2.5] * 14, 1.0, 1.5, 1.5, 1.5))
    chosen = settings(epochs=20, patience=5, schedule="one_cycle")
    card = Trainer(0, chosen).fit(told, tmp_path, tmp_path)
    assert (card["epochs"], card["best_epoch"]) == (20, 17)


def test_a_schedule_that_lowers_nothing_is_as_a_constant_one(tmp_path: Path) -> None:
    told = Told(losses=(3.0, 2.0, *[2.5] * 18))
    for values in ({"schedule": "cosine", "floor": 1.0}, {"schedule": "step", "decay": 1.0}):
        card = Trainer(0, settings(epochs=20, patience=3, **values)).fit(told, tmp_path, tmp_path)
        assert card["epochs"] == 5


@pytest.mark.parametrize(("schedule", "stopped"), [("one_cycle", 15), ("constant", 4)])
def test_patience_goes_on_counting_where_training_was_stopped(
    tmp_path: Path, schedule: str, stopped: int
) -> None:
    class Stopped(Told):
        def batches(self, features: Path, split: str, epoch: int) -> Batches:
            if split == "train" and epoch == stopped:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().batches(features, split, epoch)

    losses = (3.0, 2.0, *[2.5] * 18)
    chosen = settings(epochs=20, patience=3, schedule=schedule)
    whole = Trainer(0, chosen).fit(Told(losses=losses), tmp_path, tmp_path)
    saved = str(tmp_path / "saved")
    with pytest.raises(Interrupted):
        Trainer(0, chosen, checkpoints=saved).fit(Stopped(losses=losses), tmp_path, tmp_path)
    card = Trainer(0, chosen, checkpoints=saved).fit(Told(losses=losses), tmp_path, tmp_path)
    assert (card["epochs"], card["best_epoch"]) == (whole["epochs"], whole["best_epoch"])
    assert card["curves"] == whole["curves"]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    weights = []
    for seed in (1, 1, 2):
        Trainer(seed, settings(epochs=2)).fit(Line(), tmp_path, tmp_path)
        weights.append((tmp_path / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_a_loss_that_is_not_finite_names_the_epoch_and_the_way_out(tmp_path: Path) -> None:
    class Diverging(Line):
        def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
            return super().loss(model, batch) * 1e38 * 1e38

    with pytest.raises(ModelyardError, match=r"epoch 1.*training\.learning_rate=0\.005"):
        Trainer(0, settings()).fit(Diverging(), tmp_path, tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


def test_gradients_are_clipped_to_norm_one(tmp_path: Path) -> None:
    """Plain gradient descent with a rate of 1 moves the weights by the gradient itself."""

    class Steep(Line):
        def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
            return super().loss(model, batch) * 1e4

    moved = {}
    for clip in (1.0, 0.0):
        family = Steep(rows=16)
        torch.manual_seed(0)
        before = torch.cat(
            [weight.flatten() for weight in family.model(tmp_path / "assets").parameters()]
        )
        descent = settings(
            epochs=1, optimizer="sgd", momentum=0, learning_rate=1, batch_size=16, clip=clip
        )
        Trainer(0, descent).fit(family, tmp_path, tmp_path)
        after = load_weights(torch.nn.Linear(3, 1), tmp_path)
        moved[clip] = float(
            (torch.cat([weight.flatten() for weight in after.parameters()]) - before).norm()
        )
    assert moved[1.0] == pytest.approx(1.0, rel=1e-4)
    assert moved[0.0] > 100


def test_validation_neither_learns_nor_drops_out(tmp_path: Path) -> None:
    modes: set[tuple[float, bool, bool]] = set()

    class Watched(Line):
        def batches(self, features: Path, split: str, epoch: int) -> Batches:
            found = super().batches(features, split, epoch)
            mark = torch.full((16, 1), float(split == "train"))
            return replace(found, take=lambda rows: found.take(rows) | {"mark": mark})

        def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
            modes.add((batch["mark"][0].item(), model.training, torch.is_grad_enabled()))
            return super().loss(model, batch)

    Trainer(0, settings(epochs=2)).fit(Watched(), tmp_path, tmp_path)
    modes.discard((1.0, False, False))  # where operations are counted
    assert modes == {(1.0, True, True), (0.0, False, False)}


def test_the_mean_loss_weighs_a_short_last_batch_by_its_rows(tmp_path: Path) -> None:
    class Uneven(Line):
        def batches(self, features: Path, split: str, epoch: int) -> Batches:
            x = torch.zeros(10, 1)
            x[9] = 1
            return Batches(np.arange(10), 9, lambda rows: {"x": x[rows]})

        def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
            return batch["x"].mean() + 0 * sum(p.sum() for p in model.parameters())

    card = Trainer(0, settings(epochs=1)).fit(Uneven(), tmp_path, tmp_path)
    assert card["curves"]["loss"] == {
        "train": [pytest.approx(0.1)],
        "validation": [pytest.approx(0.1)],
    }


def test_progress_tells_each_epoch_and_both_losses(tmp_path: Path) -> None:
    told: list[tuple[float, float, set[str]]] = []
    heard: list[int] = []
    trainer = Trainer(
        0,
        settings(epochs=3),
        lambda done, total, **figures: told.append((done, total, {*figures})),
        lambda epoch, figures: heard.append(epoch),
    )
    trainer.fit(Line(), tmp_path, tmp_path)
    assert [(done, total) for done, total, _ in told] == [(1, 3), (2, 3), (3, 3)]
    assert all(
        {"loss", "validation_loss", "examples_per_second"} <= figures for _, _, figures in told
    )
    assert heard == [1, 2, 3]

    class Helper(Line):
        """A search compares losses of models, not of what stands next to them."""

        continues = False

    trainer.fit(Helper(), tmp_path, tmp_path)
    assert heard == [1, 2, 3]


def test_a_split_without_batches_is_bad_data(tmp_path: Path) -> None:
    class Empty(Line):
        def batches(self, features: Path, split: str, epoch: int) -> Batches:
            found = super().batches(features, split, epoch)
            return found if split == "train" else replace(found, order=np.arange(0))

    with pytest.raises(BadData, match="no batches"):
        Trainer(0, settings()).fit(Empty(), tmp_path, tmp_path)
    herding = ContinualSettings(memory=4, choose="herding")
    with pytest.raises(BadData, match="no batches"):
        Trainer(0, settings(), continual=herding).fit(Line(rows=0), tmp_path, tmp_path)


def test_parts_of_a_batch_are_large_enough_for_its_statistics(tmp_path: Path) -> None:
    class Normed(Line):
        seen: ClassVar[list[int]] = []

        def model(self, assets: Path) -> torch.nn.Module:
            return torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 1))

        def batches(self, features: Path, split: str, epoch: int) -> Batches:
            return replace(super().batches(features, split, epoch), least=2)

        def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
            if model.training:
                self.seen.append(len(batch["x"]))
            return super().loss(model, batch)

    for accumulate, parts in ((5, [3, 3, 3, 3, 4]), (16, [2] * 8)):
        Normed.seen.clear()
        chosen = settings(epochs=1, batch_size=16, accumulate=accumulate)
        Trainer(0, chosen).fit(Normed(), tmp_path, tmp_path)
        assert Normed.seen == 4 * parts


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BrokenArtifact, match=r"model\.safetensors"):
        load_weights(torch.nn.Linear(3, 1), tmp_path)
    Trainer(0, settings(epochs=1)).fit(Line(), tmp_path, tmp_path)
    with pytest.raises(BrokenArtifact, match="another network"):
        load_weights(torch.nn.Linear(4, 1), tmp_path)


def test_a_damaged_file_of_weights_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"{")
    with pytest.raises(BrokenArtifact, match=r"model\.safetensors is damaged"):
        load_weights(torch.nn.Linear(3, 1), tmp_path)


def test_operations_are_counted_once_where_there_are_none(tmp_path: Path) -> None:
    """A network without products would be run once more at every step."""

    class Shift(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.by = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :1] + self.by

    class Counted(Line):
        losses = 0

        def model(self, assets: Path) -> torch.nn.Module:
            return Shift()

        def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
            self.losses += 1
            return super().loss(model, batch)

    family = Counted()
    Trainer(0, settings(epochs=2, patience=2)).fit(family, tmp_path, tmp_path)
    training = validation = 2 * family.rows // 16
    assert family.losses == training + validation + 1


class Weightless(Line):
    """Nothing counts in one split, or in the first batch of training."""

    nowhere: str = "validation"

    def weight(self, model: torch.nn.Module, batch: Batch) -> float:
        judged = not model.training
        if judged == (self.nowhere == "validation"):
            return 0.0
        return len(batch["x"])


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_split_in_which_nothing_counts_is_told(split: str, tmp_path: Path) -> None:
    family = Weightless()
    family.nowhere = split
    with pytest.raises(ModelyardError, match=f"the {split} loss is not finite in epoch 1"):
        Trainer(0, settings()).fit(family, tmp_path, tmp_path)


def test_progress_is_told_before_anything_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(Line):
        weighed = 0

        def weight(self, model: torch.nn.Module, batch: Batch) -> float:
            self.weighed += 1
            return 0.0 if self.weighed == 1 else len(batch["x"])

    told: list[set[str]] = []
    monkeypatch.setattr(session, "TELL_SECONDS", -1.0)
    trainer = Trainer(0, settings(epochs=1), lambda done, total, **figures: told.append({*figures}))
    trainer.fit(Late(), tmp_path, tmp_path)
    assert ["loss" in figures for figures in told] == [False, True, True, True, True]


def test_epochs_that_cannot_be_compared_end_training_with_a_line(tmp_path: Path) -> None:
    class Unscored(Line):
        def scores(self, model: torch.nn.Module, batch: Batch) -> Batch:
            return {"accuracy": torch.tensor(float("nan"))}

    trainer = Trainer(0, settings(epochs=2, metric="accuracy"))
    with pytest.raises(ModelyardError, match="'accuracy' was a number in none of 2 epochs"):
        trainer.fit(Unscored(), tmp_path, tmp_path)


def test_a_step_is_saved_once_where_it_is_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing into a whole checkpoint would leave a broken one, were the process killed then."""

    class Stopped(Line):
        losses = 0

        def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
            self.losses += 1
            if self.losses == 3:  # operations are counted first
                os.kill(os.getpid(), signal.SIGTERM)
            return super().loss(model, batch)

    saved: list[int] = []
    keep = Checkpoints.save

    def save(self: Checkpoints, step: int, *content: Any) -> None:
        saved.append(step)
        keep(self, step, *content)

    monkeypatch.setattr(Checkpoints, "save", save)
    trainer = Trainer(0, settings(checkpoint_every=1), checkpoints=str(tmp_path / "saved"))
    with pytest.raises(Interrupted, match=r"after 2 steps and is saved"):
        trainer.fit(Stopped(), tmp_path, tmp_path)
    assert saved == [1, 2]


def test_making_a_trainer_imports_no_torch() -> None:
    code = "import sys; from modelyard.training.loop import Trainer; Trainer(0); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
