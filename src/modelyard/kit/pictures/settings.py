"""Parameters of families that see annotated pictures padded to a square. A family extends the
sections by its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from modelyard.settings.family import FamilyConfig, Settings, TrainingSettings
from modelyard.settings.training import Schedule


class SquareFeatures(Settings):
    """From annotated pictures to pixels."""

    size: int | None = Field(default=None, ge=32, le=2048, multiple_of=32)
    """Side in pixels of the square that the model sees, a multiple of 32; pictures are padded to
    it. None: the median longer side of the training pictures, rounded up, between 96 and 320."""
    group_pattern: str | None = None
    """Regular expression with one group, searched in a picture's name: pictures with equal groups
    (frames of one video, tiles of one scan) stay in one split. None: each picture by itself."""
    validation_share: float = Field(default=0.15, gt=0, lt=0.5)
    """Share of the pictures for early stopping (and a threshold), where the data names none."""
    test_share: float = Field(default=0.2, gt=0, lt=0.5)
    """Share of the pictures for the final figures, where the data names none."""
    most_megabytes: float = Field(default=10.0, gt=0, le=500)
    """Larger files are refused, in the data and in requests."""
    most_megapixels: float = Field(default=25.0, gt=0, le=500)
    """Larger pictures are refused, in the data and in requests: a small file can hold a huge
    picture."""
    sample_drift: float = Field(default=0.0, ge=0, le=1)
    """How far the built-in pictures are shifted from their usual state (darker and noisier); 0
    is unshifted."""


class CheckpointModel(Settings):
    """Which network, and from which weights it starts."""

    checkpoint: str | None = None
    """Folder of a trained network of the kind (config.json, *.safetensors), or with `hub` its name
    on the Hugging Face hub: the weights to start from. None: train from scratch."""
    hub: bool = False
    """Whether `checkpoint` may be downloaded."""
    checkpoint_rate: float = Field(default=0.05, gt=0, le=1)
    """A checkpoint learns with this share of `training.learning_rate`."""
    kind: str = ""
    """Which network: a family names its own."""


class ChangesTraining(TrainingSettings):
    """How the network is trained, on pictures that change at random."""

    epochs: int = Field(default=20, ge=1)
    """Most passes over the training split."""
    batch_size: int = Field(default=16, ge=2)
    """Pictures an optimizer step."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """Of a network from scratch."""
    schedule: Schedule = "one_cycle"
    """How the learning rate moves, as in every family."""
    flip: Literal["none", "horizontal", "both"] = "horizontal"
    """Mirror training pictures and their annotations at random: only where a mirrored picture
    means the same (digits and arrows don't); `both` where there is no up and down, as from above."""
    zoom: float = Field(default=0.25, ge=0, lt=1)
    """Training pictures grow or shrink at random by at most this share."""
    shift: float = Field(default=0.1, ge=0, le=0.5)
    """Training pictures move at random by at most this share of the side."""
    light: float = Field(default=0.2, ge=0, lt=1)
    """Brightness and contrast of training pictures change at random by at most this share."""


class SquareConfig(FamilyConfig):
    """A run on annotated pictures."""

    shortcuts: ClassVar[Mapping[str, str]] = {"kind": "model.kind"}

    features: SquareFeatures = SquareFeatures()
    """From annotated pictures to pixels."""
    model: CheckpointModel = CheckpointModel()
    """Which network."""
    training: ChangesTraining = ChangesTraining()
    """How it is trained."""
