"""The building half for the labels of the settings."""

from __future__ import annotations

from typing import Any

from modelyard.families.image.config import ImageConfig


def build(config: ImageConfig) -> Any:
    """The class that builds and judges, with its config."""
    if config.features.labels == "many":
        from modelyard.families.image.family import LabelsImage

        return LabelsImage(config)
    from modelyard.families.image.family import Image

    return Image(config)
