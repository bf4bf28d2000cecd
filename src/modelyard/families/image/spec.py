"""What a picture must become, and what the model's outputs are called: `assets/image.json`."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from modelyard.kit.classifier.spec import FileSpec
from modelyard.kit.pictures.pixels import PICTURES, Limits, open_picture, to_array


class ImageSpec(FileSpec):
    """Fitted on the training split."""

    FILE: ClassVar[str] = "image.json"
    KIND = PICTURES
    DTYPE = np.uint8

    size: int
    """Side in pixels."""
    channels: Literal[1, 3]
    fit: Literal["pad", "crop", "stretch"]
    labels: Literal["one", "many"] = "one"
    """How many a picture has."""
    limits: Limits
    mean: list[float]
    """By channel, of pixels 0 to 255."""
    std: list[float]

    @property
    def colour(self) -> Literal["gray", "colour"]:
        """What `channels` stands for."""
        if self.channels == 1:
            return "gray"
        return "colour"

    @property
    def shape(self) -> tuple[int, ...]:
        """(channels, size, size)."""
        return self.channels, self.size, self.size

    def decode(self, data: bytes) -> np.ndarray:
        """A file's bytes to what the model sees, uint8 (channels, size, size).

        Raises:
            BadData: not a picture within the limits.
        """
        return to_array(open_picture(data, self.limits), self.size, self.channels, self.fit)

    def sees_like(self, other: FileSpec) -> bool:
        assert isinstance(other, ImageSpec)
        return (self.size, self.channels, self.fit) == (other.size, other.channels, other.fit)
