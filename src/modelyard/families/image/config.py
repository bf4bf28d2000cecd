"""Parameters of the image family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from modelyard.families.image.search import SEARCH
from modelyard.kit.classifier.config import (
    ClassifierConfig,
    ClassifierModel,
    ClassifierTraining,
    FileFeatures,
)
from modelyard.kit.labels.config import LabelsFeatures

Kind = Literal["cnn", "resnet", "vit", "efficientnet"]
Fit = Literal["pad", "crop", "stretch"]


class ImageFeatures(FileFeatures, LabelsFeatures):
    """From picture files to pixels."""

    size: int | None = Field(default=None, ge=8, le=1024)
    """Side in pixels of the square that the model sees. None: the median shorter side of the
    training pictures, rounded up to a multiple of 16, between 32 and 96."""
    channels: Literal["auto", "gray", "colour"] = "auto"
    """`auto`: gray when no training picture has colour."""
    fit: Fit = "pad"
    """How a picture becomes square: `pad` with black (nothing is lost), `crop` the middle,
    `stretch`."""
    sample: Literal["digits", "lesions", "parts"] | None = None
    """Built-in data used when `data.uri` is not set: `digits`, real and handwritten (10 classes);
    `lesions`, simulated scans with and without a spot (2 classes, a quarter with); `parts`, simulated
    surfaces with any of five defects. None: parts where a picture has many labels, else digits."""
    sample_images: int | None = Field(default=None, ge=60)
    """Pictures of the built-in data. None: all 1,797 digits, or 1,200 simulated ones."""
    sample_drift: float = Field(default=0.0, ge=0, le=1)
    """How far the built-in pictures are shifted from their usual state (darker and noisier); 0
    is unshifted."""
    most_megapixels: float = Field(default=25.0, gt=0, le=500)
    """Larger pictures are refused, in the data and in requests: a small file can hold a huge
    picture."""


class ImageModel(ClassifierModel):
    """Which network."""

    kind: Kind = "cnn"
    """cnn (small, our own), resnet, vit or efficientnet (transformers, built from a config or from
    `checkpoint`)."""
    checkpoint: str | None = None
    """Folder of a ResNet, ViT or EfficientNet in Hugging Face's layout (config.json, model.safetensors), or
    its hub id where it lies in the local cache: the weights to start from. Nothing is
    downloaded. None: train from scratch."""
    width: int = Field(default=32, ge=4, le=1024)
    """cnn and resnet: channels of the first stage, doubled by each further one. efficientnet:
    channels before the first stage, 32 in EfficientNet-B0. vit: a third of a token's size."""
    depth: int = Field(default=0, ge=0, le=64)
    """cnn, resnet and efficientnet: blocks a stage; vit: layers. 0: 1, and 3 layers."""
    patch: int | None = Field(default=None, ge=2)
    """vit: side of a patch in pixels; divides the picture's side. None: the smallest that gives
    at most 8 x 8."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Before the last layer, in training."""


class ImageTraining(ClassifierTraining):
    """How the network is trained."""

    epochs: int = Field(default=25, ge=1)
    """Most passes over the training split."""
    batch_size: int = Field(default=32, ge=2)
    """Pictures an optimizer step."""
    flip: Literal["none", "horizontal", "both"] = "none"
    """Mirror training pictures at random: only where a mirrored picture keeps its label (digits
    don't)."""
    shift: float = Field(default=0.05, ge=0, le=0.5)
    """Training pictures move at random by at most this share of the side."""
    rotate: float = Field(default=5.0, ge=0, le=180)
    """Training pictures turn at random by at most so many degrees."""


class ImageConfig(ClassifierConfig):
    """A run on pictures."""

    shortcuts: ClassVar[Mapping[str, str]] = {"kind": "model.kind"}
    search_space = SEARCH

    features: ImageFeatures = ImageFeatures()
    """From picture files to pixels."""
    model: ImageModel = ImageModel()
    """Which network."""
    training: ImageTraining = ImageTraining()
    """How it is trained."""

    @classmethod
    def debug(cls) -> ImageConfig:
        """A narrow network on 400 real digits of 16 x 16 pixels."""
        return ImageConfig(
            features=ImageFeatures(sample_images=400, size=16),
            model=ImageModel(width=8),
            training=ImageTraining(epochs=6, batch_size=16, learning_rate=3e-3),
        )

    def requires(self) -> Mapping[str, str]:
        """Pillow, torch, and transformers for its kinds."""
        needs = {"PIL": "image", **super().requires()}
        if self.model.kind != "cnn":
            needs["transformers"] = "image"
        return needs

    @model_validator(mode="after")
    def _labels_fit(self) -> ImageConfig:
        sample, many = self.features.sample, self.features.labels == "many"
        if sample is not None and many != (sample == "parts"):
            raise ValueError("features.sample=parts is of features.labels=many, others of one")
        if many and self.model.least_sensitivity is not None:
            raise ValueError("model.least_sensitivity is for one label of two classes")
        return self

    @model_validator(mode="after")
    def _checkpoint_has_a_kind(self) -> ImageConfig:
        if self.model.checkpoint is not None and self.model.kind == "cnn":
            raise ValueError("model.checkpoint needs model.kind = resnet, vit or efficientnet")
        return self
