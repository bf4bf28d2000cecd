"""Parameters of the sounds family."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from modelyard.kit.classifier.config import (
    ClassifierConfig,
    ClassifierModel,
    ClassifierTraining,
    FileFeatures,
)


class SoundsFeatures(FileFeatures):
    """From WAV files to spectrograms."""

    rate: int = Field(default=8_000, ge=2_000, le=48_000)
    """Samples a second that the model hears; clips of another rate are resampled."""
    seconds: float = Field(default=0.5, gt=0.05, le=10)
    """Of a clip that the model hears: longer ones are cut, shorter ones end in silence."""
    sample_clips: int = Field(default=300, ge=60)
    """Clips of the built-in data."""


class SoundsModel(ClassifierModel):
    """Which network."""

    width: int = Field(default=16, ge=4, le=256)
    """Channels of the first convolution; the second has twice as many."""


class SoundsTraining(ClassifierTraining):
    """How the network is trained."""

    epochs: int = Field(default=12, ge=1)
    """Most passes over the training split."""
    batch_size: int = Field(default=16, ge=2)
    """Clips an optimizer step."""
    gain: float = Field(default=0.5, ge=0)
    """Training clips become louder or softer at random: deviation of the log of their power."""


class SoundsConfig(ClassifierConfig):
    """A run on short sounds."""

    features: SoundsFeatures = SoundsFeatures()
    """From WAV files to spectrograms."""
    model: SoundsModel = SoundsModel()
    """Which network."""
    training: SoundsTraining = SoundsTraining()
    """How it is trained."""

    @classmethod
    def debug(cls) -> SoundsConfig:
        """A narrow network on 120 clips."""
        return cls(
            features=SoundsFeatures(sample_clips=120, seconds=0.25),
            model=SoundsModel(width=8),
            training=SoundsTraining(epochs=6, learning_rate=1e-2),
        )

    def requires(self) -> Mapping[str, str]:
        """torch."""
        return {"torch": "torch"}
