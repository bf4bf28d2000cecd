"""What a run keeps of the model it goes on from: how it sees pictures, and its classes before new ones."""

from __future__ import annotations

import json
from pathlib import Path

from modelyard.errors import UsageError
from modelyard.families.image.config import ImageConfig
from modelyard.families.image.pixels import Limits
from modelyard.families.image.spec import ImageSpec

PLAN = "network.json"
"""In the assets of a model: its network's shape."""


def earlier_spec(base: Path, config: ImageConfig) -> ImageSpec:
    """How the earlier model sees pictures.

    Raises:
        UsageError: a setting asks for something else.
    """
    spec, settings = ImageSpec.load(base / "assets"), config.features
    colour = "gray" if spec.channels == 1 else "colour"
    was = [
        ("features.size", settings.size, spec.size),
        ("features.channels", None if settings.channels == "auto" else settings.channels, colour),
        ("features.fit", settings.fit, spec.fit),
        ("features.positive", settings.positive, spec.classes[1]),
        ("model.kind", config.model.kind, json.loads((base / "assets" / PLAN).read_text())["kind"]),
    ]
    for name, seen, there in was:
        if seen is not None and seen != there:
            raise UsageError(
                f"setting {name!r} = {seen!r}, and the model to go on from has {there!r}. Type: --set {name}={there}"
            )
    return spec


def grown(earlier: ImageSpec, labels: list[str], limits: Limits) -> ImageSpec:
    """The earlier classes, then those that `labels` of training pictures add; counts are of all pictures so far."""
    classes = [*earlier.classes, *sorted(set(labels) - set(earlier.classes))]
    before = dict(zip(earlier.classes, earlier.counts, strict=True))
    counts = [before.get(name, 0) + labels.count(name) for name in classes]
    return earlier.model_copy(update={"classes": classes, "counts": counts, "limits": limits})
