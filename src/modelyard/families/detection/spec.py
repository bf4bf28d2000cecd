"""What a picture must become, and what the classes are: `assets/detection.json`."""

from __future__ import annotations

from typing import ClassVar

from modelyard.kit.pictures.square import SquareSpec


class DetectionSpec(SquareSpec):
    """Fitted on the training split."""

    FILE: ClassVar[str] = "detection.json"

    pictures: int
    """Training pictures, those of earlier models included."""
