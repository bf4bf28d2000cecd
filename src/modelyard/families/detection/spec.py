"""What a picture must become, and what the classes are: `assets/detection.json`; and how a trained
network answers: `assets/answers.json`."""

from __future__ import annotations

from typing import ClassVar

from modelyard.kit.boxes.answering import ObjectAnswers
from modelyard.kit.pictures.square import SquareSpec


class DetectionSpec(SquareSpec):
    """Fitted on the training split."""

    FILE: ClassVar[str] = "detection.json"

    pictures: int
    """Training pictures, those of earlier models included."""


class Answers(ObjectAnswers):
    """Which boxes of the network are answers."""

    most_overlap: float = 0.6
    """Of two boxes of a class that overlap by more, the surer one is the answer."""
