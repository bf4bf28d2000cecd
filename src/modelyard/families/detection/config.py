"""Parameters of the detection family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from modelyard.settings.family import FamilyConfig, Settings, TrainingSettings
from modelyard.settings.search import Range, choice, real
from modelyard.settings.training import Schedule

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


class DetectionFeatures(Settings):
    """From pictures with boxes to pixels."""

    format: Literal["auto", "coco", "yolo", "voc"] = "auto"
    """How the boxes are written: COCO's JSON, YOLO's text files, Pascal VOC's XML. `auto`: found
    from the files."""
    size: int | None = Field(default=None, ge=32, le=2048, multiple_of=32)
    """Side in pixels of the square that the model sees, a multiple of 32; pictures are padded to
    it. None: the median longer side of the training pictures, rounded up, between 96 and 320."""
    group_pattern: str | None = None
    """Regular expression with one group, searched in a picture's name: pictures with equal groups
    (frames of one video, of one scene) stay in one split. None: each picture by itself."""
    validation_share: float = Field(default=0.15, gt=0, lt=0.5)
    """Share of the pictures for early stopping and the threshold, where the data names none."""
    test_share: float = Field(default=0.2, gt=0, lt=0.5)
    """Share of the pictures for the final figures, where the data names none."""
    most_boxes: int = Field(default=100, ge=1, le=1_000)
    """Boxes of a picture that training looks at, the largest; judging looks at all."""
    most_megabytes: float = Field(default=10.0, gt=0, le=500)
    """Larger files are refused, in the data and in requests."""
    most_megapixels: float = Field(default=25.0, gt=0, le=500)
    """Larger pictures are refused, in the data and in requests: a small file can hold a huge
    picture."""
    sample_pictures: int = Field(default=900, ge=20)
    """Pictures of the built-in data: simulated shapes on clouds."""
    sample_drift: float = Field(default=0.0, ge=0, le=1)
    """How far the built-in pictures are shifted from their usual state (darker and noisier); 0
    is unshifted."""


class DetectionModel(Settings):
    """Which network, and which of its boxes are answers."""

    kind: Kind = "cnn"
    """cnn (small, our own: one stage, without anchors), yolos, detr (transformers, built from a
    config, or from `checkpoint`: from scratch they need hundreds of epochs)."""
    checkpoint: str | None = None
    """Folder of a trained YOLOS or DETR (config.json, *.safetensors), or with `hub` its
    name on the Hugging Face hub: the weights to start from. None: train from scratch."""
    hub: bool = False
    """Whether `checkpoint` may be downloaded."""
    checkpoint_rate: float = Field(default=0.05, gt=0, le=1)
    """A checkpoint learns with this share of `training.learning_rate`."""
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


class DetectionTraining(TrainingSettings):
    """How the network is trained."""

    epochs: int = Field(default=20, ge=1)
    """Most passes over the training split."""
    batch_size: int = Field(default=16, ge=2)
    """Pictures an optimizer step."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """Of a network from scratch."""
    schedule: Schedule = "one_cycle"
    """How the learning rate moves, as in every family."""
    flip: Literal["none", "horizontal", "both"] = "horizontal"
    """Mirror training pictures and their boxes at random: only where a mirrored object keeps its
    class (digits and arrows don't)."""
    zoom: float = Field(default=0.25, ge=0, lt=1)
    """Training pictures grow or shrink at random by at most this share."""
    shift: float = Field(default=0.1, ge=0, le=0.5)
    """Training pictures move at random by at most this share of the side."""
    light: float = Field(default=0.2, ge=0, lt=1)
    """Brightness and contrast of training pictures change at random by at most this share."""


class DetectionConfig(FamilyConfig):
    """A run on pictures with boxes."""

    shortcuts: ClassVar[Mapping[str, str]] = {"kind": "model.kind"}
    search_space = SEARCH

    features: DetectionFeatures = DetectionFeatures()
    """From pictures with boxes to pixels."""
    model: DetectionModel = DetectionModel()
    """Which network, and which of its boxes are answers."""
    training: DetectionTraining = DetectionTraining()
    """How it is trained."""

    @classmethod
    def debug(cls) -> DetectionConfig:
        """A narrow network on few pictures."""
        return DetectionConfig(
            features=DetectionFeatures(sample_pictures=240, size=64),
            model=DetectionModel(width=12),
            training=DetectionTraining(epochs=12, batch_size=8, patience=12),
        )

    def requires(self) -> Mapping[str, str]:
        """Pillow, pycocotools, torch, and transformers for its kinds."""
        needs = {"PIL": "detection", "pycocotools": "detection", "torch": "torch"}
        return needs | ({} if self.model.kind == "cnn" else {"transformers": "detection"})

    @model_validator(mode="after")
    def _checkpoint_has_a_kind(self) -> DetectionConfig:
        if self.model.checkpoint is not None and self.model.kind == "cnn":
            raise ValueError("model.checkpoint needs model.kind = yolos or detr")
        return self
