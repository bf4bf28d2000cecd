"""The shared training loop of every torch family: one process or many, one device each, best
weights kept.

Importing it imports no torch: families that train without torch are handed a `Trainer` too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.errors import UsageError
from modelyard.family import Progress, Trainable
from modelyard.settings.compress import CompressSettings
from modelyard.settings.continual import ContinualSettings
from modelyard.settings.training import TrainingSettings
from modelyard.store.base import MEMORY, teacher_of
from modelyard.store.base import WEIGHTS as WEIGHTS
from modelyard.training.weights import load_weights as load_weights

if TYPE_CHECKING:
    from modelyard.training.world import World


def _silent(done: float, total: float, **figures: float) -> None:
    """Shows nothing."""


def _unheard(epoch: int, figures: Mapping[str, float]) -> None:
    """Listens to nothing."""


@dataclass(frozen=True)
class Trainer:
    """Trains a torch family as `settings` say."""

    seed: int = 0
    settings: TrainingSettings = field(default_factory=TrainingSettings)
    progress: Progress = _silent
    on_epoch: Callable[[int, Mapping[str, float]], None] = _unheard
    """Called after each epoch of the main training with its figures: `loss`, `validation_loss`, the
    family's scores. Raising ends it."""
    on_start: Callable[[], object] = bool
    """Called when the family comes to the shared loop, which computes on GPUs where there are
    some."""
    checkpoints: str | None = None
    """Folder or fsspec URI to save to and to resume from; None: nothing is saved."""
    continual: ContinualSettings = field(default_factory=ContinualSettings)
    """How it replays exemplars of the base that the features hold, and which it keeps itself."""
    compress: CompressSettings = field(default_factory=CompressSettings)
    """Whether a teacher helps, and what follows the training to make the network small."""
    _folders: list[str] = field(default_factory=list, repr=False, compare=False)
    """Where each training so far had its checkpoints."""

    def add_device(self, summary: dict[str, Any], gpus: int) -> None:
        """Says in a training's headline where `gpus` that were asked for had nothing to do: some
        families train by a library of their own, on the CPU."""
        if gpus and not self._folders:
            said = "computed on the CPU, since this model does not use GPUs: leave out --gpus"
            summary["headline"] = f"{summary.get('headline', '')}, {said}".lstrip(", ")

    def check_used(self) -> None:
        """Raises UsageError where `compress` wants what only the shared loop does, and the family
        never came to it."""
        if self.compress.wanted and not self._folders:
            raise UsageError(
                "section 'compress': this model is not trained by the shared loop, which teaches, prunes and "
                "rounds networks. Leave the section out"
            )

    def fit(self, family: Trainable, features: Path, out: Path) -> dict[str, Any]:
        """Trains `family` and writes the best epoch's weights to `out/model.safetensors`, and where
        the settings want exemplars `out/memory.safetensors`. Where the features hold a base,
        training starts from it.

        Every process that torchrun started calls it with an `out` of its own, and each gets the
        weights. Returns JSON for the card: `headline`, `curves` by name ("loss": {"train",
        "validation"}, …) with one value an epoch, `epochs` run, `best_epoch` (from 1) and
        `parameters` (trained numbers).

        Raises:
            ModelyardError: the loss is not finite; it says the epoch and what to lower.
            UsageError: the network is not the base's, grown.
            BadData: a split has no batches, or fewer examples in a batch than processes.
            Interrupted: SIGTERM came; all is saved.
        """
        from modelyard.compress.narrow import narrowed
        from modelyard.training.continual import check, continued, remember
        from modelyard.training.shrinking import Result, Shrinking
        from modelyard.training.world import Preemption, World

        keeps = self.continual.memory > 0 and family.continues
        if keeps:
            check(family, Path(features), self.continual)
        started = continued(family, Path(features), self.continual, self.seed)
        with World.joined() as world, Preemption().heard() as preemption:
            run = partial(self._run, features=features, world=world, preemption=preemption)
            if not family.continues:  # a helper next to the model: it is small already
                result = Result(*run(started))
            else:
                learning = self._taught(started, Path(features))
                result = Result(*run(learning))
                Shrinking(run, self.settings, self.compress, Path(features)).apply(learning, result)
        result.save(Path(out))
        if keeps and world.leads:
            model = narrowed(family.model(Path(features) / "assets"), result.shapes)
            model.load_state_dict(result.weights)
            kept = remember(
                family, model.to(world.device), Path(features), self.continual, self.seed
            )
            kept.save(Path(out) / MEMORY)
        return result.report

    def _taught(self, family: Trainable, features: Path) -> Trainable:
        """The family's training with the teacher that the features stage brought, if any."""
        from modelyard.training.wrapped import Taught

        folder = teacher_of(features)
        if folder is None:
            return family
        teacher = family.teacher(folder, features, self.compress)
        return Taught(family, teacher, self.compress)

    def _run(
        self,
        family: Trainable,
        settings: TrainingSettings | None = None,
        *,
        features: Path,
        world: World,
        preemption: Any,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """One training; with other settings than the trainer's where it follows the main one."""
        from modelyard.training.checkpoint import Checkpoints
        from modelyard.training.session import Session

        folder = f"{self.checkpoints}/{len(self._folders)}"
        self._folders.append(folder)
        self.on_start()
        trainer = self
        if settings:
            trainer = replace(self, settings=settings)
        if settings or not family.continues:
            # Who listens to epochs compares them with those of other main trainings.
            trainer = replace(trainer, on_epoch=_unheard)
        saved, done = None, None
        if self.checkpoints:
            saved = Checkpoints(folder, world, self.settings.keep)
            done = saved.finished()
        if done is None:
            session = Session(trainer, family, Path(features), world, saved, preemption)
            done = session.run()
            if saved:
                saved.finish(*done)
        weights, report = done
        return world.spread(weights), report
