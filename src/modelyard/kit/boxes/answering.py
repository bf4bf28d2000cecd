"""Answering with the objects in a picture: numpy, pydantic and Pillow only."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import BaseModel, Field

from modelyard.kit.assets import Asset
from modelyard.kit.pictures.answering import SentPicture
from modelyard.kit.pictures.host import Output, S, SquareHost

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


class ObjectHost(SquareHost[S, Output]):
    """Answers for one trained network that finds objects. A family gives `objects_of` too."""

    rows_by = "objects"

    def __init__(self, assets: Path) -> None:
        super().__init__(assets)
        self.answers = ObjectAnswers.load_or(self.assets, ObjectAnswers())

    @abstractmethod
    def objects_of(self, response: BaseModel) -> list[tuple[FoundObject, float]]:
        """The objects of an answer, and the share of the picture that each takes."""

    def least_score(self, asked: ObjectPicture) -> float:
        """Of the objects that a request is answered with."""
        if asked.threshold is None:
            return self.answers.threshold
        return asked.threshold

    def describe(self, request: BaseModel, response: BaseModel) -> dict[str, float | str | None]:
        """Figures of the picture as it was sent, and of what was found in it."""
        found = self.objects_of(response)
        count = len(found)
        row: dict[str, float | str | None] = {**self.figures(request), "objects": float(count)}
        # Of a picture without objects there is no mean, and no share.
        named = {f"share {name}": name for name in self._shown}
        row |= dict.fromkeys(["mean score", "mean area", *named])
        if not count:
            return row
        labels = [one.label for one, _ in found]
        row["mean score"] = sum(one.score for one, _ in found) / count
        row["mean area"] = sum(share for _, share in found) / count
        for field, name in named.items():
            row[field] = labels.count(name) / count
        return row
