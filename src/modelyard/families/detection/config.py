"""Parameters of the detection family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from modelyard.kit.pictures.settings import (
    ChangesTraining,
    CheckpointModel,
    SquareConfig,
    SquareFeatures,
)
from modelyard.settings.search import Range, choice, real

Kind = Literal["cnn", "yolos", "detr"]

SEARCH: Mapping[str, Range] = {
    "model.width": choice(16, 24, 32, 48, when={"model.kind": ("cnn",)}),
    "model.depth": choice(1, 2, 3, when={"model.kind": ("cnn",)}),
    "model.most_overlap": real(0.4, 0.8),
    "training.learning_rate": real(1e-4, 1e-2, log=True),
    "training.weight_decay": real(1e-4, 0.3, log=True),
    "training.batch_size": choice(8, 16, 32),
    "training.zoom": real(0.0, 0.5),
    "training.shift": real(0.0, 0.3),
    "training.light": real(0.0, 0.5),
}
"""What `modelyard tune` may change."""


class DetectionFeatures(SquareFeatures):
    """From pictures with boxes to pixels."""

    format: Literal["auto", "coco", "yolo", "voc", "labelme", "cvat", "kitti", "wider", "csv"] = (
        "auto"
    )
    """How the boxes are written: COCO's JSON, YOLO's text files, Pascal VOC's XML, LabelMe's JSON,
    CVAT's XML, KITTI's text files, WIDER FACE's lists, or a table with a row an object. `auto`: found
    from the files."""
    most_boxes: int = Field(default=100, ge=1, le=1_000)
    """Boxes of a picture that training looks at, the largest; judging looks at all."""
    sample_pictures: int = Field(default=900, ge=20)
    """Pictures of the built-in data: simulated shapes on clouds."""


class DetectionModel(CheckpointModel):
    """Which network, and which of its boxes are answers."""

    kind: Kind = "cnn"
    """cnn (small, our own: one stage, without anchors), yolos, detr (transformers, built from a
    config, or from `checkpoint`: from scratch they need hundreds of epochs)."""
    width: int = Field(default=16, ge=8, le=512)
    """cnn: channels of the first stage, up to four times as many in later ones. Others: a quarter
    of a token's size."""
    depth: int = Field(default=1, ge=1, le=24)
    """cnn: blocks a stage. Others: layers of encoder and decoder, less one."""
    queries: int = Field(default=30, ge=1, le=1_000)
    """yolos and detr from scratch: objects that can be found in a picture, at most."""
    threshold: float | None = Field(default=None, gt=0, lt=1)
    """Answers are objects with this score or more, where a request does not say another one. None:
    the score with the best F1 on the validation split."""
    most_overlap: float = Field(default=0.6, gt=0, le=1)
    """Of two boxes of a class that overlap by more (intersection over union) the surer one is the
    answer."""


class DetectionConfig(SquareConfig):
    """A run on pictures with boxes."""

    search_space = SEARCH

    features: DetectionFeatures = DetectionFeatures()
    """From pictures with boxes to pixels."""
    model: DetectionModel = DetectionModel()
    """Which network, and which of its boxes are answers."""
    training: ChangesTraining = ChangesTraining()
    """How it is trained."""

    @classmethod
    def debug(cls) -> DetectionConfig:
        """A narrow network on few pictures."""
        return DetectionConfig(
            features=DetectionFeatures(sample_pictures=160, size=64),
            model=DetectionModel(width=12),
            training=ChangesTraining(epochs=8, batch_size=8, patience=8),
        )

    def requires(self) -> Mapping[str, str]:
        """Pillow, pycocotools, torch, and transformers for its kinds."""
        needs = {"PIL": "detection", "pycocotools": "detection", "torch": "torch"}
        if self.model.kind != "cnn":
            needs["transformers"] = "detection"
        return needs

    @model_validator(mode="after")
    def _checkpoint_has_a_kind(self) -> DetectionConfig:
        if self.model.checkpoint is not None and self.model.kind == "cnn":
            raise ValueError("model.checkpoint needs model.kind = yolos or detr")
        return self
