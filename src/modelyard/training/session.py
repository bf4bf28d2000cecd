"""One training from its first step, or from its last checkpoint, to its end."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from modelyard.errors import BadData, Interrupted, ModelyardError, UsageError, choices
from modelyard.family import Split, Trainable
from modelyard.training.allocator import keep_freed_memory
from modelyard.training.checkpoint import Checkpoints
from modelyard.training.engine import Batch, Engine
from modelyard.training.schedules import LearningRate, lowered
from modelyard.training.throughput import Throughput
from modelyard.training.world import Preemption, World

if TYPE_CHECKING:
    from modelyard.training.batches import Batches
    from modelyard.training.loop import Trainer

SAVE_SECONDS, TELL_SECONDS = 600.0, 2.0
BEAT = 10
"""Steps between two looks, by several processes, at whether to save or to stop: each look waits
for all of them."""
AHEAD = 4
"""Batches that are made ready while a GPU computes."""


class Session:
    """The state of a training: what a checkpoint holds, and how training proceeds."""

    def __init__(
        self,
        trainer: Trainer,
        family: Trainable,
        features: Path,
        world: World,
        saved: Checkpoints | None,
        preemption: Preemption,
    ) -> None:
        self.trainer, self.settings, self.family = trainer, trainer.settings, family
        self.features, self.world, self.saved, self.preemption = features, world, saved, preemption
        self._set_up()
        model = family.model(features / "assets")
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        self.parameters = sum(weight.numel() for weight in trained)
        # The same initial weights in every process, and other draws from here on, as of dropout.
        if world.rank:
            torch.manual_seed(trainer.seed + world.rank)
        self.engine = Engine(family, model, self.settings, world)
        self.steps_per_epoch = self._length(self._batches("train", 1))
        self.rate = LearningRate(self.settings, self.steps_per_epoch)
        self.engine.start(round(self.settings.warmup * self.steps_per_epoch * self.settings.epochs))
        self.throughput = Throughput(world.device, self.settings.precision, world.size)
        self.epoch, self.at = 1, 0
        self.curves: dict[str, dict[str, list[float]]] = {"loss": {"train": [], "validation": []}}
        self.best: dict[str, torch.Tensor] = {}
        self.best_epoch, self.best_value = 0, math.inf
        self._saved_at = self._told_at = time.monotonic()
        self._saved_step = 0

    def run(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Trains to the end; the best epoch's weights (the leader's) and the report."""
        self._resume()
        while self._goes_on():
            self._train_epoch()
            self._judge_epoch()
        ended = self.epoch - 1
        if not self.best_epoch:
            metric = self.settings.metric
            raise ModelyardError(
                f"training.metric: {metric!r} was a number in none of {ended} epochs, so none is the best. "
                "Type: --set training.metric=loss"
            )
        report = {
            "headline": f"{self.parameters:,} weights, best epoch {self.best_epoch} of {ended}",
            "curves": self.curves,
            "epochs": ended,
            "best_epoch": self.best_epoch,
            "parameters": self.parameters,
        }
        return self.best, report

    def _goes_on(self) -> bool:
        """Whether epochs are left, and the last ones were of use."""
        ended = self.epoch - 1
        useless = ended - self.best_epoch
        if self.settings.schedule != "constant":
            rates = self.curves.get("learning_rate", {"train": []})["train"]
            useless = sum(lowered(rates, self.settings)[self.best_epoch :])
        return ended < self.settings.epochs and useless < self.settings.patience

    def _train_epoch(self) -> None:
        batches = self._batches("train", self.epoch)
        if self._length(batches) != self.steps_per_epoch:
            raise ModelyardError(
                f"epoch {self.epoch} has another number of batches than the first: the data changed"
            )
        self.throughput.begin()
        sizes = np.diff(batches.cuts(self.world.size))
        for batch in self._loaded(batches, self.at):
            if self.throughput.operations is None:
                self._count_operations(batch)
            # As many parts in every process, each with enough examples for batch statistics.
            fewest = int(sizes[self.at]) // self.world.size
            parts = max(1, fewest // batches.least)
            self.engine.step(batch, self.rate(self.engine.steps), parts)
            self.at += 1
            self.throughput.examples += len(next(iter(batch.values())))
            self._beat()

    def _judge_epoch(self) -> None:
        engine, epoch = self.engine, self.epoch
        figures = {"loss": self._checked(engine.mean(), "train")} | self.throughput.figures()
        with engine.judged():
            batches = self._batches("validation", epoch)
            self._length(batches)
            found = engine.validate(self._loaded(batches, 0))
            self._checked(found["loss"], "validation")
            value = self._value(found)
            better = value < self.best_value
            if better:
                self.best, self.best_epoch, self.best_value = engine.weights(), epoch, value
        self._draw(figures["loss"], found)
        self.rate.judged(better)
        self.epoch, self.at = epoch + 1, 0
        engine.reset()
        for name, value in found.items():
            if name == "loss":
                name = "validation_loss"
            figures[name] = value
        if self.world.leads:
            self.trainer.progress(epoch, self.settings.epochs, **figures)
            self.trainer.on_epoch(epoch, figures)

    def _draw(self, loss: float, found: dict[str, float]) -> None:
        self.curves["loss"]["train"].append(loss)
        for name, value in found.items():
            self.curves.setdefault(name, {"validation": []})["validation"].append(value)
        if self.settings.schedule != "constant" or self.settings.warmup:
            # That of the epoch's last step.
            rate = self.rate(self.engine.steps - 1) * self.settings.learning_rate
            self.curves.setdefault("learning_rate", {"train": []})["train"].append(rate)

    def _value(self, found: dict[str, float]) -> float:
        """What the settings compare epochs by, so that lower is better."""
        if self.settings.metric not in found:
            raise UsageError(choices("training.metric", self.settings.metric, found))
        value = found[self.settings.metric]
        if self.settings.metric == "loss":
            return value
        return -value

    def _beat(self) -> None:
        """Saves, stops or reports, when it is time."""
        now, every = time.monotonic(), self.settings.checkpoint_every
        if now - self._told_at > TELL_SECONDS and self.world.leads:
            self._tell(now)
        if every and self.engine.steps % every == 0:
            self._save()
        # Asking the other processes takes a round over the network, so not at every step.
        if self.world.size > 1 and self.engine.steps % BEAT:
            return
        # Only the leader's clock counts: all save at the same step, or none.
        by_time = not every and now - self._saved_at > SAVE_SECONDS
        due = self.world.leads and by_time
        stop, due = self.world.anyone(self.preemption.requested, due)
        if stop or due:
            self._save()
        if stop:
            kept = "nothing is"
            if self.saved:
                kept = "is"
            raise Interrupted(
                f"training was stopped in epoch {self.epoch} after {self.engine.steps:,} steps and {kept} saved. "
                "To continue: modelyard resume"
            )

    def _tell(self, now: float) -> None:
        figures = self.throughput.figures()
        loss, weight = self.engine.sums.tolist()
        # So far perhaps no example of this process had a target.
        if weight:
            figures = {"loss": self._checked(loss / weight, "train")} | figures
        done = self.epoch - 1 + self.at / self.steps_per_epoch
        self.trainer.progress(done, self.settings.epochs, **figures)
        self._told_at = now

    def _save(self) -> None:
        # A whole checkpoint is not written into: it would be a broken one, were that interrupted.
        if self.saved is None or self._saved_step == self.engine.steps:
            return
        # The sum over all processes too, for a training that resumes with another number of them.
        total = self.world.total(self.engine.sums.clone()).tolist()
        state = {
            "seed": self.trainer.seed,
            "epoch": self.epoch,
            "at": self.at,
            "sums": total,
            "curves": self.curves,
            "best_epoch": self.best_epoch,
            "best_value": self.best_value if self.best_epoch else None,
            "rate": self.rate.state(),
            "engine": self.engine.state(),
        }
        mine = {"sums": self.engine.sums.tolist()}
        self.saved.save(self.engine.steps, self.engine.tensors(), state, mine, self.best)
        self._saved_at, self._saved_step = time.monotonic(), self.engine.steps

    def _resume(self) -> None:
        if self.saved is None:
            return
        name = self.saved.last()
        if name is None:
            return
        state = self.saved.state(name)
        self.saved.fill(name, self.engine.allocate(self.saved.shapes(name)))
        self.engine.load(state["engine"])
        sums = self.saved.mine(name).get("sums")
        if state["processes"] != self.world.size:
            # Of processes that are no more: the leader has them all.
            sums = [0.0, 0.0]
            if self.world.leads:
                sums = state["sums"]
        self.engine.sums.copy_(torch.tensor(sums, dtype=torch.float64))
        self.rate.load(state["rate"])
        self.epoch, self.at, self.curves = state["epoch"], state["at"], state["curves"]
        if state["best_epoch"]:
            self.best_epoch, self.best_value = state["best_epoch"], state["best_value"]
        if self.world.leads:
            self.best = self.saved.best(name)

    def _batches(self, split: Split, epoch: int) -> Batches:
        return self.family.batches(self.features, split, epoch)

    def _length(self, batches: Batches) -> int:
        """How many there are.

        Raises:
            BadData, UsageError: none, or some process would get no example.
        """
        if not len(batches.order):
            raise BadData("a split has no batches: both train and validation need examples")
        sizes = np.diff(batches.cuts(self.world.size))
        fewest, needed = int(sizes.min()), batches.least * self.world.size
        if fewest < needed and self.world.size > 1:
            raise UsageError(
                f"{self.world.size} processes need {needed} examples or more in each batch, "
                f"seen {fewest}. Raise training.batch_size (now {self.settings.batch_size}), or take fewer processes"
            )
        return len(sizes)

    def _loaded(self, batches: Batches, start: int) -> Iterator[Batch]:
        """This process's parts of the batches from number `start` on, on its device."""
        rows = batches.rows(self.world.rank, self.world.size, start)
        device = self.world.device
        if device.type == "cpu":
            # A thread that loads ahead would take its time from the computation.
            yield from map(batches.take, rows)
            return

        def ready(numbers: np.ndarray) -> Batch:
            # Pinned memory is copied to the GPU while it computes.
            return {name: tensor.pin_memory() for name, tensor in batches.take(numbers).items()}

        with ThreadPoolExecutor(AHEAD) as pool:
            waiting: list[Future[Batch]] = []
            for numbers in rows:
                waiting.append(pool.submit(ready, numbers))
                # As many batches wait as threads work: memory has a bound.
                if len(waiting) > AHEAD:
                    yield _to(device, waiting.pop(0).result())
            while waiting:
                yield _to(device, waiting.pop(0).result())

    def _count_operations(self, batch: Batch) -> None:
        self.throughput.operations = self.engine.operations(batch) / len(next(iter(batch.values())))
        # The counted step is slower than others.
        self.throughput.begin()

    def _checked(self, loss: float, split: str) -> float:
        if math.isfinite(loss):
            return loss
        rate = self.settings.learning_rate
        raise ModelyardError(
            f"the {split} loss is not finite in epoch {self.epoch}. Lower training.learning_rate (now {rate:g}): "
            f"--set training.learning_rate={rate / 10:g}"
        )

    def _set_up(self) -> None:
        if self.world.device.type == "cpu":
            keep_freed_memory()
        random.seed(self.trainer.seed)
        np.random.seed(self.trainer.seed)
        torch.manual_seed(self.trainer.seed)
        # TF32 in the products of float32, unless a person asks for fp32.
        precision = "high"
        if self.settings.precision == "fp32":
            precision = "highest"
        torch.set_float32_matmul_precision(precision)
        if self.settings.deterministic:
            # cuBLAS reads it when it is first used, and refuses to be deterministic without.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(self.settings.deterministic)


def _to(device: torch.device, batch: Batch) -> Batch:
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
