"""Learning rates as a share of the highest: pure functions of how far training is, so that
resuming needs no state."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelyard.settings.training import TrainingSettings

ONE_CYCLE_RISE, ONE_CYCLE_START = 0.3, 1 / 25
"""one_cycle rises in the first three tenths, from a 25th (fast.ai's and PyTorch's defaults)."""


def lowered(rates: Sequence[float], settings: TrainingSettings) -> list[bool]:
    """Of each epoch, by the learning rate at its end, whether the schedule had lowered it: halfway or
    more from the highest so far to the lowest. Patience counts these epochs.

    Most of what a schedule gains it gains while the rate falls. Before that an early epoch at a low
    rate is often the best for long, and says nothing of how training ends.
    """
    lowest = settings.floor
    if settings.schedule in ("step", "plateau"):
        # One cut: how many more there will be is not known.
        lowest = max(lowest, settings.decay)
    found = []
    highest = 0.0
    for rate in rates:
        highest = max(highest, rate)
        found.append(rate <= highest * (1 + lowest) / 2)
    return found


@dataclass
class LearningRate:
    """The share of `learning_rate` that a step takes."""

    settings: TrainingSettings
    steps_per_epoch: int
    factor: float = 1.0
    """What plateaus have left of it."""
    waited: int = field(default=0, init=False)
    """Epochs since the metric was better, or since the last cut."""

    def __call__(self, step: int) -> float:
        """The share for step number `step`, from 0."""
        total = self.steps_per_epoch * self.settings.epochs
        warm = round(self.settings.warmup * total)
        if step < warm:
            # From 1: a first step of rate 0 would learn nothing.
            return (step + 1) / warm
        left = max(1, total - warm)
        return max(self.settings.floor, SHAPES[self.settings.schedule](self, step - warm, left))

    def judged(self, better: bool) -> None:
        """Told after each epoch whether the metric is better than ever: only plateau listens."""
        self.waited += 1
        if better:
            self.waited = 0
        if self.settings.schedule == "plateau" and self.waited >= self.settings.period:
            self.factor, self.waited = self.factor * self.settings.decay, 0

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"factor": self.factor, "waited": self.waited}

    def load(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint."""
        self.factor, self.waited = float(state["factor"]), int(state["waited"])

    def _epochs(self, step: int) -> float:
        return step / self.steps_per_epoch


def _cosine(done: float, floor: float) -> float:
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _one_cycle(rate: LearningRate, step: int, left: int) -> float:
    rise = max(1, round(ONE_CYCLE_RISE * left))
    if step < rise:
        return 1 - (1 - ONE_CYCLE_START) * _cosine(step / rise, 0.0)
    return _cosine((step - rise) / max(1, left - rise), rate.settings.floor)


def _step(rate: LearningRate, step: int, left: int) -> float:
    return float(rate.settings.decay ** int(rate._epochs(step) / rate.settings.period))


def _restarts(rate: LearningRate, step: int, left: int) -> float:
    return _cosine(rate._epochs(step) / rate.settings.period % 1, rate.settings.floor)


SHAPES: dict[str, Callable[[LearningRate, int, int], float]] = {
    "constant": lambda rate, step, left: 1.0,
    "cosine": lambda rate, step, left: _cosine(step / left, rate.settings.floor),
    "linear": lambda rate, step, left: 1 - (1 - rate.settings.floor) * min(1.0, step / left),
    "one_cycle": _one_cycle,
    "step": _step,
    "plateau": lambda rate, step, left: rate.factor,
    "warm_restarts": _restarts,
}
