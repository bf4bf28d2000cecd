"""The reading half for the labels of the settings."""

from __future__ import annotations

from typing import Any

from modelyard.families.image.config import ImageConfig


def data(config: ImageConfig) -> Any:
    """The class that reads pictures with one label or many, with its config."""
    if config.features.labels == "many":
        from modelyard.families.image.data import LabelsImageData

        return LabelsImageData(config)
    from modelyard.families.image.data import ImageData

    return ImageData(config)
