"""Where a network of pictures starts from: nothing, or a checkpoint, which learns more slowly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.kit.checkpoints import checkpoint_folder
from modelyard.kit.pictures.settings import CheckpointModel
from modelyard.store.base import base_of

if TYPE_CHECKING:
    from modelyard.training.loop import Trainer


def starting_folder(settings: CheckpointModel) -> Path | None:
    """The folder of the weights to start from, if there are any.

    Raises:
        UsageError: `model.checkpoint` is neither a folder nor a name on the hub.
        Unavailable: it is not on this machine and may not, or cannot, be fetched.
    """
    if settings.checkpoint is None:
        return None
    return checkpoint_folder(settings.checkpoint, hub=settings.hub)


def paced(trainer: Trainer, settings: CheckpointModel, features: Path) -> tuple[Trainer, list[str]]:
    """The trainer with the rate that suits a checkpoint, where training starts from one, and
    sentences for the card."""
    if settings.checkpoint is None or base_of(features) is not None:
        return trainer, []
    rate = trainer.settings.learning_rate * settings.checkpoint_rate
    slower = trainer.settings.model_copy(update={"learning_rate": rate})
    said = f"The checkpoint learns with a rate of {rate:.2g} (model.checkpoint_rate)."
    return replace(trainer, settings=slower), [said]
