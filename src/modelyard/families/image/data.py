"""From a folder of pictures to splits and assets."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from modelyard.families.image.config import ImageConfig
from modelyard.families.image.samples import write_sample
from modelyard.families.image.spec import ImageSpec
from modelyard.kit.classifier.data import ClassifierData, Look
from modelyard.kit.labels.data import ManyLabelsData
from modelyard.kit.pictures.pixels import (
    PAGES,
    Limits,
    has_colour,
    has_pages,
    moments,
    open_picture,
)

SMALLEST, LARGEST, STEP = 32, 96, 16
"""Sides that `features.size` of None chooses from."""


@dataclass(frozen=True)
class PictureFacts:
    """What size and channels are chosen by."""

    width: int
    height: int
    colour: bool


class ImageData(ClassifierData[ImageConfig, ImageSpec]):
    """From a folder of pictures to arrays of pixels."""

    Spec = ImageSpec

    def sample(self, raw: Path) -> None:
        """Writes the built-in pictures of `features.sample`."""
        settings = self.config.features
        usual = "parts" if settings.labels == "many" else "digits"
        name = settings.sample or usual
        write_sample(raw, name, settings.sample_images, settings.sample_drift, self.config.seed)

    def limits(self) -> Limits:
        settings = self.config.features
        return Limits(bytes=super().limits().bytes, pixels=round(settings.most_megapixels * 1e6))

    def look(self, data: bytes) -> Look:
        """Pictures are the same by their pixels, whatever their format."""
        picture = open_picture(data, self.limits())
        content = hashlib.sha256(f"{picture.size}".encode() + picture.convert("RGB").tobytes())
        facts = PictureFacts(picture.width, picture.height, has_colour(picture))
        remark = PAGES if has_pages(data) else ""
        return Look(content.hexdigest(), facts, remark)

    def fitted(
        self, classes: list[str], counts: list[int], facts: Sequence[PictureFacts]
    ) -> ImageSpec:
        """Size and channels of the training pictures, where the settings leave them open."""
        settings = self.config.features
        colour = settings.channels == "colour"
        if settings.channels == "auto":
            colour = any(seen.colour for seen in facts)
        channels: Literal[1, 3] = 3 if colour else 1
        return ImageSpec(
            size=settings.size or _side(facts),
            channels=channels,
            fit=settings.fit,
            labels=settings.labels,
            limits=self.limits(),
            classes=classes,
            counts=counts,
            mean=[0.0] * channels,
            std=[1.0] * channels,
        )

    def scaled(self, spec: ImageSpec, train: np.ndarray) -> ImageSpec:
        """With the mean and deviation of the training pixels."""
        mean, std = moments(train)
        return spec.model_copy(update={"mean": mean, "std": std})

    def unchangeable(self, spec: ImageSpec, plan: dict[str, Any]) -> list[tuple[str, Any, Any]]:
        """How pictures are seen, and the kind of network."""
        settings = self.config.features
        channels = None if settings.channels == "auto" else settings.channels
        return [
            ("features.size", settings.size, spec.size),
            ("features.channels", channels, spec.colour),
            ("features.fit", settings.fit, spec.fit),
            ("features.labels", settings.labels, spec.labels),
            ("model.kind", self.config.model.kind, plan["kind"]),
        ]

    def summary(self, spec: ImageSpec) -> tuple[str, dict[str, Any]]:
        """Size and channels."""
        entries = {"side": spec.size, "colour": spec.colour, "fit": spec.fit}
        return f"{spec.size} px {spec.colour}", entries


class LabelsImageData(ManyLabelsData[ImageConfig, ImageSpec], ImageData):
    """Pictures with any number of labels each."""


def _side(facts: Sequence[PictureFacts]) -> int:
    median = float(np.median([min(seen.width, seen.height) for seen in facts]))
    return int(min(max(np.ceil(median / STEP) * STEP, SMALLEST), LARGEST))
