"""From a folder of WAV files to splits and assets."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.kit.classifier.data import ClassifierData, Look
from tests.sounds.config import SoundsConfig
from tests.sounds.samples import write_sample
from tests.sounds.spec import SoundsSpec, read_wav


class SoundsData(ClassifierData[SoundsConfig, SoundsSpec]):
    """From a folder of WAV files to spectrograms."""

    Spec = SoundsSpec

    def sample(self, raw: Path) -> None:
        """Writes tones, noise and clicks."""
        write_sample(raw, self.config.features.sample_clips, self.config.seed)

    def look(self, data: bytes) -> Look:
        """Clips are the same by their samples, whatever else the file holds."""
        sound, rate = read_wav(data, self.limits())
        return Look(hashlib.sha256(f"{rate}".encode() + sound.tobytes()).hexdigest())

    def fitted(self, classes: list[str], counts: list[int], facts: Sequence[Any]) -> SoundsSpec:
        """Rate and length as they are set."""
        rate = self.config.features.rate
        samples = round(rate * self.config.features.seconds)
        return SoundsSpec(
            rate=rate, samples=samples, limits=self.limits(), classes=classes, counts=counts
        )

    def scaled(self, spec: SoundsSpec, train: np.ndarray) -> SoundsSpec:
        """With the mean and deviation of the training spectrograms."""
        return spec.model_copy(update={"mean": float(train.mean()), "std": float(train.std())})

    def unchangeable(self, spec: SoundsSpec, plan: dict[str, Any]) -> list[tuple[str, Any, Any]]:
        """What the spectrogram is taken of."""
        features = self.config.features
        return [
            ("features.rate", features.rate, spec.rate),
            ("features.seconds", features.seconds, spec.samples / spec.rate),
            ("model.width", self.config.model.width, plan["width"]),
        ]
