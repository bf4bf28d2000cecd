"""A small network of repeated blocks, and a training of it in a process of its own, alone or
started by torchrun.

    python -m tests.training.many OUT '{"settings": {...}, "checkpoints": "...", "pause": 0.01}'

The leader writes OUT/report.json and OUT/model.safetensors; OUT/steps.txt has a line for every step
that was begun.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from modelyard.errors import ModelyardError
from modelyard.family import Trainable
from modelyard.settings.training import TrainingSettings
from modelyard.training.batches import Batches
from modelyard.training.loop import Trainer
from modelyard.training.world import World

ROWS, WIDTH, CLASSES = 203, 12, 3
Batch = dict[str, torch.Tensor]


class Blocks(nn.Module):
    """`x` (rows, WIDTH) to logits (rows, CLASSES) through residual blocks."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.enter = nn.Linear(WIDTH, 16)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(16),
                nn.Linear(16, 32),
                nn.GELU(),
                nn.Dropout(dropout),
                nn.Linear(32, 16),
            )
            for _ in range(3)
        )
        self.leave = nn.Linear(16, CLASSES)
        self.class_weights = nn.Buffer(torch.tensor([1.0, 2.0, 0.5]), persistent=False)

    def forward(self, x: torch.Tensor) -> Batch:
        state = self.enter(x)
        for block in self.blocks:
            state = state + block(state)
        return {"logits": self.leave(state)}


@dataclass
class Classes(Trainable):
    """Three classes from random numbers, weighed unequally: means of parts must be weighed to
    add up."""

    batch_size: int = 32
    dropout: float = 0.0
    pause: float = 0.0
    steps: Path | None = None

    def model(self, assets: Path) -> nn.Module:
        return Blocks(self.dropout)

    def batches(self, features: Path, split: str, epoch: int) -> Batches:
        rng = np.random.default_rng(0 if split == "train" else 1)
        x = rng.normal(size=(ROWS, WIDTH)).astype(np.float32)
        y = (x[:, :4].sum(1) > 0).astype(np.int64) + (x[:, 5] > 1)
        order = np.arange(ROWS)
        if split == "train":
            order = np.random.default_rng([7, epoch]).permutation(order)
        return Batches(
            order,
            self.batch_size,
            lambda rows: {"x": torch.from_numpy(x[rows]), "y": torch.from_numpy(y[rows])},
        )

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        if model.training and self.pause:
            time.sleep(self.pause)
        if model.training and self.steps:
            with self.steps.open("a") as stream:
                stream.write("step\n")
        logits = model(batch["x"])["logits"]
        return functional.cross_entropy(
            logits.float(), batch["y"], weight=model.get_buffer("class_weights")
        )

    def weight(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        return model.get_buffer("class_weights")[batch["y"]].sum()

    def scores(self, model: nn.Module, batch: Batch) -> Batch:
        weights = model.get_buffer("class_weights")[batch["y"]]
        right = (model(batch["x"])["logits"].argmax(1) == batch["y"]).float()
        return {"accuracy": (right * weights).sum() / weights.sum()}


def main(out: Path, told: dict) -> int:
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    settings = TrainingSettings.model_validate(
        {"epochs": 4, "batch_size": 32, "learning_rate": 5e-3} | told["settings"]
    )
    family = Classes(settings.batch_size, told.get("dropout", 0.0), told.get("pause", 0.0))
    with World.joined() as world:
        if world.leads:
            family.steps = out / "steps.txt"
        mine = out / f"rank-{world.rank}"
        mine.mkdir(exist_ok=True)
        (out / f"pid-{world.rank}").write_text(str(os.getpid()))
        trainer = Trainer(3, settings, checkpoints=told.get("checkpoints"))
        try:
            report = trainer.fit(family, out, mine)
        except ModelyardError as error:
            print(error, file=sys.stderr)
            return error.exit_code
        if world.leads:
            (out / "report.json").write_text(json.dumps(report))
            (mine / "model.safetensors").rename(out / "model.safetensors")
    return 0


def started(out: Path, told: dict, processes: int = 1) -> list[multiprocessing.Process]:
    """Processes that train together; torch is imported once for all of them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.many"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = []
    for rank in range(processes):
        place = {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": processes,
            "LOCAL_WORLD_SIZE": processes,
        }
        environment = {name: str(value) for name, value in place.items()}
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        found.append(context.Process(target=_live, args=(out, told, environment)))
        found[-1].start()
    return found


def _live(out: Path, told: dict, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    sys.exit(main(out, told))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), json.loads(sys.argv[2])))
