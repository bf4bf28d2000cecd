"""What a picture must become, and what the classes are: `assets/detection.json`; and how a trained
network answers: `assets/answers.json`."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from modelyard.kit.assets import Asset
from modelyard.kit.pictures.pixels import Limits, open_picture, to_array


class DetectionSpec(Asset):
    """Fitted on the training split."""

    FILE: ClassVar[str] = "detection.json"

    size: int
    """Side in pixels."""
    limits: Limits
    classes: list[str] = Field(min_length=1)
    """In the order of the network's outputs."""
    counts: list[int]
    """Training boxes by class, those of earlier models that the run went on from included."""
    pictures: int
    """Training pictures, those of earlier models included."""
    mean: list[float]
    """By channel, of pixels 0 to 255."""
    std: list[float]

    def decode(self, data: bytes) -> tuple[np.ndarray, tuple[int, int]]:
        """A file's bytes to what the model sees, uint8 (3, size, size), and the picture's own
        width and height.

        Raises:
            BadData: not a picture within the limits.
        """
        picture = open_picture(data, self.limits)
        return to_array(picture, self.size, 3, "pad"), picture.size


class Answers(Asset):
    """Which boxes of the network are answers."""

    FILE: ClassVar[str] = "answers.json"

    threshold: float = 0.5
    """Least score of an answer, where a request says no other one."""
    most_overlap: float = 0.6
    """Of two boxes of a class that overlap by more, the surer one is the answer."""
