"""A family that learns epoch by epoch: the toy's straight line, by gradient descent."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from modelyard.errors import ModelyardError
from modelyard.family import Entry
from modelyard.settings.family import Settings, TrainingSettings
from modelyard.settings.search import choice, real
from tests.toy.family import LineConfig, LineFamily, LineHost


class DescentModel(Settings):
    kind: Literal["line", "flat"] = "line"
    """A line, or a horizontal one."""
    bias: bool = True
    """Whether the line may miss the origin."""
    pause: float = Field(default=0.0, ge=0)
    """Seconds that each epoch takes longer."""


class DescentConfig(LineConfig):
    search_space: ClassVar = {
        "model.kind": choice("line", "flat", changes_loss=True),
        "model.bias": choice(True, False, when={"model.kind": ("line",)}),
        "training.learning_rate": real(0.001, 0.5, log=True),
        "features.points": choice(60, 120),
    }
    model: DescentModel = DescentModel()
    training: TrainingSettings = TrainingSettings(epochs=8, learning_rate=0.003)


class DescentFamily(LineFamily):
    def fit(self, features: Path, out: Path, trainer):
        assert trainer.settings == self.config.training
        (x, y), (x_held, y_held) = (
            np.load(features / f"{split}.npy").T for split in ("train", "validation")
        )
        slope = offset = 0.0
        settings = self.config
        for epoch in range(1, settings.training.epochs + 1):
            error = slope * x + offset - y
            if not np.isfinite(error).all() or np.abs(error).max() > 1e6:
                raise ModelyardError("the loss is not finite. Lower training.learning_rate")
            if settings.model.kind == "line":
                slope -= settings.training.learning_rate * (error * x).mean()
            if settings.model.bias:
                offset -= settings.training.learning_rate * error.mean()
            losses = [
                float(((slope * a + offset - b) ** 2).mean()) for a, b in ((x, y), (x_held, y_held))
            ]
            trainer.on_epoch(epoch, dict(zip(("loss", "validation_loss"), losses, strict=True)))
            time.sleep(settings.model.pause)
        (out / "line.json").write_text(json.dumps([slope, offset]))
        return {"headline": f"y = {slope:.2f} x + {offset:.2f}"}

    def evaluate(self, host, run, features, split="test"):
        assert split == "validation", "a search may not look at the test split"
        return super().evaluate(host, run, features, split)


class RegisteredFamily(DescentFamily):
    def evaluate(self, host, run, features, split="test"):
        return LineFamily.evaluate(self, host, run, features, split)


Descent = Entry("straight line, learnt", DescentConfig, build=DescentFamily, host=LineHost)
Registered = Entry(
    "the same, trained at last", DescentConfig, build=RegisteredFamily, host=LineHost
)
