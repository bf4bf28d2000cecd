"""The half that answers: WAV files to labels."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, Field

from modelyard.kit.classifier.host import ClassifierHost
from tests.sounds.spec import SoundsSpec, read_wav


class Clip(BaseModel, extra="forbid"):
    """One example in."""

    sound: str = Field(min_length=1, description="A WAV file of 16 bits a sample, in base64")


class SoundsHost(ClassifierHost[SoundsSpec]):
    """Answers for one trained network."""

    Spec = SoundsSpec
    Request = Clip
    sensitive = frozenset({"sound"})

    def figures(self, data: bytes) -> dict[str, float | str | None]:
        """`seconds`; `loudness` in decibels, 0 at most; `crossings`, sign changes a sample."""
        sound, rate = read_wav(data, self.spec.limits)
        power = float(np.square(sound).mean())
        return {
            "seconds": len(sound) / rate,
            "loudness": 10 * float(np.log10(max(power, 1e-12))),
            "crossings": float((np.diff(np.sign(sound)) != 0).mean()) if len(sound) > 1 else None,
        }
