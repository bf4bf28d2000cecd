"""Parameters of the segmentation family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from modelyard.settings.family import FamilyConfig, Settings, TrainingSettings
from modelyard.settings.search import Range, choice, real
from modelyard.settings.training import Schedule

Kind = Literal["unet", "segformer", "deeplabv3"]

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


class SegmentationFeatures(Settings):
    """From pictures with masks to pixels."""

    format: Literal["auto", "masks", "coco"] = "auto"
    """How the classes of pixels are written: PNG masks in a folder next to the pictures, or outlines
    in COCO's JSON. `auto`: found from the files."""
    ignore_index: int | None = Field(default=255, ge=0, le=65_535)
    """Value of a mask's pixels that are neither learnt nor judged. None: there are none."""
    background: str = Field(default="background", min_length=1)
    """COCO: the class of pixels in no outline."""
    size: int | None = Field(default=None, ge=32, le=2048, multiple_of=32)
    """Side in pixels of the square that the model sees, a multiple of 32; pictures are padded to
    it. None: the median longer side of the training pictures, rounded up, between 96 and 320."""
    group_pattern: str | None = None
    """Regular expression with one group, searched in a picture's name: pictures with equal groups
    (frames of one video, tiles of one scan) stay in one split. None: each picture by itself."""
    validation_share: float = Field(default=0.15, gt=0, lt=0.5)
    """Share of the pictures for early stopping, where the data names none."""
    test_share: float = Field(default=0.2, gt=0, lt=0.5)
    """Share of the pictures for the final figures, where the data names none."""
    most_megabytes: float = Field(default=10.0, gt=0, le=500)
    """Larger files are refused, in the data and in requests."""
    most_megapixels: float = Field(default=25.0, gt=0, le=500)
    """Larger pictures are refused, in the data and in requests: a small file can hold a huge
    picture."""
    sample_pictures: int = Field(default=400, ge=20)
    """Pictures of the built-in data: simulated land seen from above."""
    sample_drift: float = Field(default=0.0, ge=0, le=1)
    """How far the built-in pictures are shifted from their usual state (darker and noisier); 0
    is unshifted."""


class SegmentationModel(Settings):
    """Which network."""

    kind: Kind = "unet"
    """unet (small, our own), segformer, deeplabv3 (DeepLabV3+ on MobileNetV2): the last two are
    transformers', built from a config, or from `checkpoint`."""
    checkpoint: str | None = None
    """Folder of a trained SegFormer or MobileNetV2 with DeepLabV3+ (config.json, *.safetensors), or
    with `hub` its name on the Hugging Face hub: the weights to start from. None: train from
    scratch."""
    hub: bool = False
    """Whether `checkpoint` may be downloaded."""
    checkpoint_rate: float = Field(default=0.05, gt=0, le=1)
    """A checkpoint learns with this share of `training.learning_rate`."""
    width: int = Field(default=16, ge=8, le=512)
    """unet and segformer: channels of the first stage, twice as many in each further one. deeplabv3:
    a 32nd of MobileNetV2's width."""
    depth: int = Field(default=3, ge=1, le=5)
    """unet: how often the picture is halved. segformer: layers a stage."""


class SegmentationTraining(TrainingSettings):
    """How the network is trained."""

    epochs: int = Field(default=20, ge=1)
    """Most passes over the training split."""
    batch_size: int = Field(default=8, ge=2)
    """Pictures an optimizer step."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """Of a network from scratch."""
    schedule: Schedule = "one_cycle"
    """How the learning rate moves, as in every family."""
    dice: float = Field(default=1.0, ge=0)
    """Weight of the Dice loss next to cross entropy: more helps classes of few pixels."""
    flip: Literal["none", "horizontal", "both"] = "horizontal"
    """Mirror training pictures and their masks at random: only where mirrored pictures are
    possible; `both` where there is no up and down, as from above."""
    zoom: float = Field(default=0.2, ge=0, lt=1)
    """Training pictures grow or shrink at random by at most this share."""
    shift: float = Field(default=0.1, ge=0, le=0.5)
    """Training pictures move at random by at most this share of the side."""
    light: float = Field(default=0.2, ge=0, lt=1)
    """Brightness and contrast of training pictures change at random by at most this share."""


class SegmentationConfig(FamilyConfig):
    """A run on pictures with masks."""

    shortcuts: ClassVar[Mapping[str, str]] = {"kind": "model.kind"}
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
        needs = dict.fromkeys(("PIL", "pycocotools", "scipy"), "segmentation") | {"torch": "torch"}
        return needs | ({} if self.model.kind == "unet" else {"transformers": "segmentation"})

    @model_validator(mode="after")
    def _checkpoint_has_a_kind(self) -> SegmentationConfig:
        if self.model.checkpoint is not None and self.model.kind == "unet":
            raise ValueError("model.checkpoint needs model.kind = segformer or deeplabv3")
        return self
