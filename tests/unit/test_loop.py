"""The shared training loop, on a family of one linear layer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from modelyard.config import TrainingSettings
from modelyard.errors import BadData, BrokenArtifact, ModelyardError
from modelyard.training.loop import Trainer, load_weights

TRUTH = torch.tensor([[1.0, -2.0, 0.5]])


@dataclass
class Line:
    """Learns y = TRUTH x + 3 from 64 rows; the validation rows may follow another truth."""

    shift: float = 0.0
    rows: int = 64
    seen: torch.nn.Module | None = None

    def model(self, assets: Path) -> torch.nn.Module:
        assert assets.name == "assets"
        return torch.nn.Linear(3, 1)

    def batches(self, features: Path, split: str, epoch: int) -> Iterator[dict[str, torch.Tensor]]:
        generator = torch.Generator().manual_seed(epoch if split == "train" else 10_000)
        x = torch.randn(self.rows, 3, generator=generator)
        y = x @ TRUTH.T + 3 + (self.shift if split == "validation" else 0.0)
        yield from ({"x": a, "y": b} for a, b in zip(x.split(16), y.split(16), strict=True))

    def loss(self, model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        self.seen = model
        return torch.nn.functional.mse_loss(model(batch["x"]), batch["y"])


def settings(**values: float) -> TrainingSettings:
    return TrainingSettings.model_validate({"epochs": 60, "learning_rate": 0.05, "weight_decay": 0, **values})


def test_it_learns_and_keeps_the_weights(tmp_path: Path) -> None:
    card = Trainer(0, settings()).fit(Line(), tmp_path, tmp_path)
    model = load_weights(torch.nn.Linear(3, 1), tmp_path)
    torch.testing.assert_close(model.state_dict()["weight"], TRUTH, atol=0.05, rtol=0)
    assert not model.training
    assert card["parameters"] == 4
    assert len(card["curves"]["loss"]["train"]) == len(card["curves"]["loss"]["validation"]) == card["epochs"]
    assert f"epoch {card['best_epoch']}" in card["headline"]


def test_the_best_epochs_weights_are_kept_and_patience_ends_it(tmp_path: Path) -> None:
    family = Line(shift=-2.0)
    card = Trainer(0, settings(patience=3)).fit(family, tmp_path, tmp_path)
    losses = card["curves"]["loss"]["validation"]
    assert card["best_epoch"] == int(np.argmin(losses)) + 1
    assert card["epochs"] == card["best_epoch"] + 3 < 60
    model = load_weights(torch.nn.Linear(3, 1), tmp_path)
    with torch.no_grad():
        kept = [family.loss(model, batch).item() for batch in family.batches(tmp_path, "validation", 0)]
    assert np.mean(kept) == pytest.approx(min(losses), rel=1e-5)
    assert min(losses) < losses[-1]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    weights = []
    for seed in (1, 1, 2):
        Trainer(seed, settings(epochs=2)).fit(Line(), tmp_path, tmp_path)
        weights.append((tmp_path / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_a_loss_that_is_not_finite_names_the_epoch_and_the_way_out(tmp_path: Path) -> None:
    class Diverging(Line):
        def loss(self, model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
            return super().loss(model, batch) * 1e38 * 1e38

    with pytest.raises(ModelyardError, match=r"epoch 1.*training\.learning_rate=0\.005"):
        Trainer(0, settings()).fit(Diverging(), tmp_path, tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


def test_gradients_are_clipped_to_norm_one(tmp_path: Path) -> None:
    class Steep(Line):
        def loss(self, model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
            return super().loss(model, batch) * 1e4

    family = Steep()
    Trainer(0, settings(epochs=1)).fit(family, tmp_path, tmp_path)
    assert family.seen is not None
    norms = [parameter.grad.norm() for parameter in family.seen.parameters() if parameter.grad is not None]
    assert torch.stack(norms).norm() <= 1.0 + 1e-5


def test_validation_neither_learns_nor_drops_out(tmp_path: Path) -> None:
    modes: dict[str, set[tuple[bool, bool]]] = {"train": set(), "validation": set()}

    class Watched(Line):
        def batches(self, features: Path, split: str, epoch: int) -> Iterator[dict[str, torch.Tensor]]:
            for batch in super().batches(features, split, epoch):
                self.split = split
                yield batch

        def loss(self, model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
            modes[self.split].add((model.training, torch.is_grad_enabled()))
            return super().loss(model, batch)

    Trainer(0, settings(epochs=2)).fit(Watched(), tmp_path, tmp_path)
    assert modes == {"train": {(True, True)}, "validation": {(False, False)}}


def test_the_mean_loss_weighs_a_short_last_batch_by_its_rows(tmp_path: Path) -> None:
    class Uneven(Line):
        def batches(self, features: Path, split: str, epoch: int) -> Iterator[dict[str, torch.Tensor]]:
            yield {"x": torch.zeros(9, 1)}
            yield {"x": torch.ones(1, 1)}

        def loss(self, model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
            return batch["x"].mean() + 0 * sum(p.sum() for p in model.parameters())

    card = Trainer(0, settings(epochs=1)).fit(Uneven(), tmp_path, tmp_path)
    assert card["curves"]["loss"] == {"train": [pytest.approx(0.1)], "validation": [pytest.approx(0.1)]}


def test_progress_tells_each_epoch_and_both_losses(tmp_path: Path) -> None:
    told: list[tuple[int, int, list[str]]] = []
    trainer = Trainer(0, settings(epochs=3), lambda done, total, **losses: told.append((done, total, [*losses])))
    trainer.fit(Line(), tmp_path, tmp_path)
    assert told == [(epoch, 3, ["loss", "validation_loss"]) for epoch in (1, 2, 3)]


def test_a_split_without_batches_is_bad_data(tmp_path: Path) -> None:
    class Empty(Line):
        def batches(self, features: Path, split: str, epoch: int) -> Iterator[dict[str, torch.Tensor]]:
            return super().batches(features, split, epoch) if split == "train" else iter(())

    with pytest.raises(BadData, match="no batches"):
        Trainer(0, settings()).fit(Empty(), tmp_path, tmp_path)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BrokenArtifact, match=r"model\.safetensors"):
        load_weights(torch.nn.Linear(3, 1), tmp_path)
    Trainer(0, settings(epochs=1)).fit(Line(), tmp_path, tmp_path)
    with pytest.raises(BrokenArtifact, match="another network"):
        load_weights(torch.nn.Linear(4, 1), tmp_path)


def test_making_a_trainer_imports_no_torch() -> None:
    code = "import sys; from modelyard.training.loop import Trainer; Trainer(0); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
