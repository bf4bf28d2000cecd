"""What a picture must become, and what the model's outputs are called: `assets/image.json`."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from modelyard.families.image.pixels import Limits, open_picture, to_array
from modelyard.kit.assets import Asset


class ImageSpec(Asset):
    """Fitted on the training split."""

    FILE: ClassVar[str] = "image.json"

    size: int
    """Side in pixels."""
    channels: Literal[1, 3]
    fit: Literal["pad", "crop", "stretch"]
    limits: Limits
    classes: list[str] = Field(min_length=2)
    """In the order of the logits; of two, the second is the positive one."""
    counts: list[int]
    """Training pictures by class, those of earlier models that the run went on from included."""
    mean: list[float]
    """By channel, of pixels 0 to 255."""
    std: list[float]

    def decode(self, data: bytes) -> np.ndarray:
        """A file's bytes to what the model sees, uint8 (channels, size, size).

        Raises:
            BadData: not a picture within the limits.
        """
        return to_array(open_picture(data, self.limits), self.size, self.channels, self.fit)

    def sees_like(self, other: ImageSpec) -> bool:
        """Whether both make the same pixels of a file."""
        return (self.size, self.channels, self.fit) == (other.size, other.channels, other.fit)
