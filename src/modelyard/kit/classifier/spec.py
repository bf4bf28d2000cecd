"""What a file must become, and what the outputs are called: reading and answering share it."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from pydantic import Field

from modelyard.kit.assets import Asset
from modelyard.kit.classifier.kind import FileKind, FileLimits

LEARNT = {"limits", "classes", "counts"}
"""Fields that decoding does not need."""


class FileSpec(Asset):
    """Fitted on the training split. A family adds what decoding needs as fields."""

    KIND: ClassVar[FileKind]
    """Which files these are."""
    DTYPE: ClassVar[type[np.generic]] = np.float32
    """Of the decoded arrays, as they are stored."""
    INPUT: ClassVar[type[np.generic]] = np.float32
    """Of the network's input: float32, or int64 for tokens."""
    VARYING: ClassVar[tuple[int, ...]] = ()
    """Axes of the network's input that may vary, besides the batch."""

    limits: FileLimits
    classes: list[str] = Field(min_length=2)
    """In the order of the logits; of two, the second is the positive one."""
    counts: list[int]
    """Training examples by class, those of earlier models that the run went on from included."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of the array that a file becomes."""

    @abstractmethod
    def decode(self, data: bytes) -> np.ndarray:
        """A file's bytes to what the model sees: DTYPE, of `shape`.

        Raises:
            BadData: not such a file within the limits.
        """

    def sees_like(self, other: FileSpec) -> bool:
        """Whether both make the same array of a file: what decoding needs is the same. A family whose
        spec holds more than that says what it is."""
        mine, theirs = self.model_dump(exclude=LEARNT), other.model_dump(exclude=LEARNT)
        return type(self) is type(other) and mine == theirs
