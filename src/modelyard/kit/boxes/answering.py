"""What a host answers of the objects in a picture: numpy and pydantic only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from pydantic import BaseModel, Field

from modelyard.kit.assets import Asset
from modelyard.kit.pictures.answering import SentPicture

MOST = 100
"""Objects of an answer where a request says no other number."""


class ObjectPicture(SentPicture):
    """One example in."""

    threshold: float | None = Field(
        default=None, ge=0, le=1, description="Least score of an answer; else the model's own"
    )
    most: int = Field(default=MOST, ge=1, le=300, description="Objects at most, the surest first")


class ObjectBox(BaseModel):
    """In pixels of the picture as it is shown, EXIF's turn included; (0, 0) is its upper left
    corner."""

    left: float
    top: float
    width: float
    height: float

    @classmethod
    def of(cls, edges: np.ndarray) -> ObjectBox:
        """Of left, top, right and bottom, (4,)."""
        left, top, right, bottom = (float(edge) for edge in edges)
        return cls(left=left, top=top, width=right - left, height=bottom - top)


class FoundObject(BaseModel):
    """One object that was found."""

    label: str
    score: float
    """How sure the model is, 0 to 1."""
    box: ObjectBox


class ObjectAnswers(Asset):
    """Which of the objects that a network sees are answers: `assets/answers.json`."""

    FILE: ClassVar[str] = "answers.json"

    threshold: float = 0.5
    """Least score of an answer, where a request says no other one."""
    most_overlap: float = 0.6
    """Of two boxes or masks of a class that overlap by more, the surer one is the answer."""


def described(
    figures: Mapping[str, float | None],
    objects: Sequence[FoundObject],
    shares: Sequence[float],
    shown: Sequence[str],
) -> dict[str, float | str | None]:
    """A row for drift: figures of the picture, and of what was found in it.

    Args:
        shares: of the picture, that each object takes.
        shown: classes whose share of the objects is told.
    """
    count = len(objects)
    row: dict[str, float | str | None] = {**figures, "objects": float(count)}
    # Of a picture without objects there is no mean, and no share.
    row |= dict.fromkeys(["mean score", "mean area", *(f"share {name}" for name in shown)])
    if not count:
        return row
    row["mean score"] = sum(one.score for one in objects) / count
    row["mean area"] = sum(shares) / count
    for name in shown:
        row[f"share {name}"] = sum(one.label == name for one in objects) / count
    return row
