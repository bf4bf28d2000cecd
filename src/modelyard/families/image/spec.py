"""What a picture must become, and what the model's outputs are called: `assets/image.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from modelyard.families.image.pixels import Limits, open_picture, to_array

FILE = "image.json"


class ImageSpec(BaseModel):
    """Fitted on the training split."""

    model_config = ConfigDict(frozen=True)

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

    @classmethod
    def load(cls, assets: Path) -> ImageSpec:
        """From `assets/image.json`."""
        return cls.model_validate_json((Path(assets) / FILE).read_text())

    def save(self, assets: Path) -> None:
        """Writes `assets/image.json`."""
        (Path(assets) / FILE).write_text(self.model_dump_json(indent=1) + "\n")

    def decode(self, data: bytes) -> np.ndarray:
        """A file's bytes to what the model sees, uint8 (channels, size, size).

        Raises:
            BadData: not a picture within the limits.
        """
        return to_array(open_picture(data, self.limits), self.size, self.channels, self.fit)

    def sees_like(self, other: ImageSpec) -> bool:
        """Whether both make the same pixels of a file."""
        return (self.size, self.channels, self.fit) == (other.size, other.channels, other.fit)
