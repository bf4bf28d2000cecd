"""The answering half for the labels that a model was trained for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelyard.families.image.spec import ImageSpec


def host(assets: Path) -> Any:
    """The class that answers, opened on the assets.

    Raises:
        BrokenArtifact: the assets are not those of a model of pictures.
    """
    if ImageSpec.load(Path(assets)).labels == "many":
        from modelyard.families.image.host import LabelsImageHost

        return LabelsImageHost(assets)
    from modelyard.families.image.host import ImageHost

    return ImageHost(assets)
