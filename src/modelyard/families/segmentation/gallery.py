"""Pictures for the card, each next to its true mask and the one that was found, the worst first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modelyard.families.segmentation.host import SegmentationHost
from modelyard.families.segmentation.judging import Judged
from modelyard.families.segmentation.spec import IGNORED, SegmentationSpec, palette, resized
from modelyard.family import Split
from modelyard.judging.evaluation import Plot
from modelyard.kit.classifier import store
from modelyard.kit.pictures.drawing import captioned
from modelyard.kit.pictures.pixels import checked, open_picture
from modelyard.runtimes.types import Runtime

if TYPE_CHECKING:
    from PIL.Image import Image

SHOWN = 12
SIDE = 180
"""Pixels of the longer side of each of a row's three pictures."""
STRENGTH = 0.55
"""Of a class's colour over the picture."""
GAP = 4
UNKNOWN = (255, 255, 255)
"""Colour of what is ignored, and of a class that the data does not know."""


def gallery(
    judged: Judged,
    host: SegmentationHost,
    run: Runtime,
    features: Path,
    split: Split,
    spec: SegmentationSpec,
) -> list[Plot]:
    """The pictures with the least overlap."""
    scores = judged.of_each()
    worst = np.argsort(scores, kind="stable")[:SHOWN]
    worst = worst[~np.isnan(scores[worst])]
    chosen = set(worst.tolist())
    files = store.chosen_files(features, split, chosen)
    truths = store.chosen_files(features, f"{split}.truth", chosen)
    pixels, sizes = host.spec.seen(features, split)
    colours = np.full((IGNORED + 1, 3), UNKNOWN, np.uint8)
    colours[: len(spec.classes)] = palette(len(spec.classes))
    numbers = host.spec.numbered_in(spec.classes, IGNORED).astype(np.uint8)
    pictures = []
    answers = host.outputs(run, np.stack([pixels[place] for place in worst]))
    for place, answer in zip(worst.tolist(), answers, strict=True):
        name, data = files[place]
        truth = checked(truths[place][1], host.spec.limits, np.asarray, ("PNG",))
        found = numbers[host.labelled(answer, sizes[place])[0]]
        tile = row(open_picture(data, host.spec.limits), truth, found, colours)
        pictures.append(captioned(name, f"IoU {scores[place]:.2f}", tile))
    shown = spec.classes[: len(numbers)]
    caption = "From left to right: the picture, the truth, the answer. White: ignored. "
    caption += f"Classes: {', '.join(shown)}."
    return [Plot(kind="pictures", title="Worst pictures first", pictures=pictures, caption=caption)]


def row(picture: Image, truth: np.ndarray, found: np.ndarray, colours: np.ndarray) -> Image:
    """A picture, and over it the true mask and the found one, uint8 (height, width) each, in the
    `colours` of the classes, uint8 (256, 3)."""
    from PIL import Image

    ratio = SIDE / max(picture.size)
    width, height = (max(1, round(side * ratio)) for side in picture.size)
    plain = picture.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    tile = Image.new("RGB", (3 * width + 2 * GAP, height), "white")
    tile.paste(plain, (0, 0))
    for place, labels in enumerate((truth, found), start=1):
        mask = Image.fromarray(colours[resized(labels, (width, height))])
        tile.paste(Image.blend(plain, mask, STRENGTH), (place * (width + GAP), 0))
    return tile
