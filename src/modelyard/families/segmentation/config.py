"""Parameters of the segmentation family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from modelyard.kit.pictures.settings import (
    ChangesTraining,
    CheckpointModel,
    SquareConfig,
    SquareFeatures,
)
from modelyard.settings.search import Range, choice, real

Kind = Literal["unet", "segformer", "deeplabv3", "sam", "mask2former"]

SEARCH: Mapping[str, Range] = {
    "model.width": choice(8, 16, 24, 32, when={"model.kind": ("unet",)}),
    "model.depth": choice(2, 3, 4, when={"model.kind": ("unet",)}),
    "training.learning_rate": real(1e-4, 1e-2, log=True),
    "training.weight_decay": real(1e-4, 0.3, log=True),
    "training.batch_size": choice(8, 16, 32),
    "training.dice": real(0.0, 2.0),
    "training.zoom": real(0.0, 0.5),
    "training.light": real(0.0, 0.5),
}
"""What `modelyard tune` may change."""


class SegmentationFeatures(SquareFeatures):
    """From pictures with masks to pixels."""

    format: Literal["auto", "masks", "coco", "labelme", "cvat", "yolo"] = "auto"
    """How the classes of pixels are written: PNG masks in a folder next to the pictures, or outlines
    in COCO's or LabelMe's JSON, in CVAT's XML, in YOLO's text files. `auto`: found from the files;
    where there are both, mask2former reads outlines, the other kinds masks."""
    ignore_index: int | None = Field(default=255, ge=0, le=65_535)
    """Value of a mask's pixels that are neither learnt nor judged. None: there are none."""
    background: str = Field(default="background", min_length=1)
    """Outlines: the class of pixels in none."""
    sample_pictures: int = Field(default=400, ge=20)
    """Pictures of the built-in data: simulated land seen from above."""


class SegmentationModel(CheckpointModel):
    """Which network."""

    kind: Kind = "unet"
    """unet (small, our own), segformer, deeplabv3 (DeepLabV3+ on MobileNetV2), sam (the mask of one
    object, which points or a box in the request mean), mask2former (each object with its class,
    score, box and mask; needs outlines): all but the first are transformers', built from a
    config, or from `checkpoint`."""
    width: int = Field(default=16, ge=8, le=512)
    """unet and segformer: channels of the first stage, twice as many in each further one. deeplabv3:
    a 32nd of MobileNetV2's width. sam and mask2former: a quarter of a token's size."""
    depth: int = Field(default=3, ge=1, le=5)
    """unet: how often the picture is halved. segformer: layers a stage. sam: layers of the
    encoder, less one. mask2former: layers of the decoder."""
    queries: int = Field(default=20, ge=1, le=1_000)
    """mask2former from scratch: objects that can be found in a picture, at most."""
    threshold: float | None = Field(default=None, gt=0, lt=1)
    """mask2former: answers are objects with this score or more, where a request does not say another
    one. None: the score with the best F1 on the validation split."""
    most_overlap: float = Field(default=0.6, gt=0, le=1)
    """mask2former: of two masks of a class that overlap by more (intersection over union) the surer
    one is the answer."""


class SegmentationTraining(ChangesTraining):
    """How the network is trained."""

    batch_size: int = Field(default=8, ge=2)
    """Pictures an optimizer step."""
    dice: float = Field(default=1.0, ge=0)
    """Weight of the Dice loss next to cross entropy: more helps classes of few pixels. mask2former has
    weights of its own."""


class SegmentationConfig(SquareConfig):
    """A run on pictures with masks."""

    search_space = SEARCH

    features: SegmentationFeatures = SegmentationFeatures()
    """From pictures with masks to pixels."""
    model: SegmentationModel = SegmentationModel()
    """Which network."""
    training: SegmentationTraining = SegmentationTraining()
    """How it is trained."""

    @classmethod
    def debug(cls) -> SegmentationConfig:
        """A narrow network on few pictures."""
        return SegmentationConfig(
            features=SegmentationFeatures(sample_pictures=100, size=64),
            model=SegmentationModel(width=8, depth=2),
            training=SegmentationTraining(epochs=8, batch_size=8, patience=8),
        )

    def requires(self) -> Mapping[str, str]:
        """Pillow, pycocotools, scipy, torch, and transformers for its kinds."""
        needs = dict.fromkeys(("PIL", "pycocotools", "scipy"), "segmentation")
        needs["torch"] = "torch"
        if self.model.kind != "unet":
            needs["transformers"] = "segmentation"
        return needs

    def for_features(self) -> Mapping[str, Mapping[str, Any]]:
        """A kind that tells objects apart reads other annotations."""
        kind = self.model.kind
        if kind == "mask2former":
            return {"model": {"kind": kind}}
        return {}

    @model_validator(mode="after")
    def _checkpoint_has_a_kind(self) -> SegmentationConfig:
        if self.model.checkpoint is not None and self.model.kind == "unet":
            raise ValueError(
                "model.checkpoint needs model.kind = segformer, deeplabv3, mask2former or sam"
            )
        return self
