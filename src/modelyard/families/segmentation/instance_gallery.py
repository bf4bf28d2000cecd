"""Pictures for the card, each next to its true objects and those that were found, the worst first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pycocotools import mask as coco

from modelyard.families.segmentation.gallery import SHOWN, UNKNOWN, row
from modelyard.families.segmentation.instance_host import MASK_PIXELS, MOST_NUMBERED, InstanceHost
from modelyard.families.segmentation.instances import load_truth
from modelyard.families.segmentation.spec import IGNORED, answered, palette
from modelyard.family import Split
from modelyard.judging.evaluation import Plot
from modelyard.kit.boxes.precision import Judged, Objects
from modelyard.kit.boxes.report import worst_pictures
from modelyard.kit.classifier import store
from modelyard.kit.pictures.drawing import captioned
from modelyard.kit.pictures.pixels import open_picture
from modelyard.kit.pictures.square import Size
from modelyard.runtimes.types import Runtime


def gallery(
    judged: Judged, host: InstanceHost, run: Runtime, features: Path, split: Split
) -> list[Plot]:
    """The pictures with the most errors at the threshold, each object in a colour of its own."""
    threshold = host.answers.threshold
    worst = worst_pictures(judged, threshold, SHOWN)
    if not worst:
        return []
    files = store.chosen_files(features, split, worst)
    pixels, sizes = host.spec.seen(features, split)
    truth = load_truth(features, split)
    colours = palette(IGNORED + 1)
    colours[IGNORED] = UNKNOWN
    pictures = []
    queries = host.outputs(run, np.stack([pixels[place] for place in worst]))
    for (place, said), one in zip(worst.items(), queries, strict=True):
        name, data = files[place]
        size = sizes[place]
        there = _numbered(truth.rows(truth.picture == place), size)
        found = np.zeros_like(there)
        for number, seen in enumerate(host.objects(one, size, threshold, MOST_NUMBERED), start=1):
            found[seen.mask & (found == 0)] = number
        tile = row(open_picture(data, host.spec.limits), there, found, colours)
        pictures.append(captioned(name, said, tile))
    caption = "From left to right: the picture, its objects, those that were found with a score of "
    caption += f"{threshold:.2f} or more. White: a crowd, neither found nor missed."
    return [Plot(kind="pictures", title="Worst pictures first", pictures=pictures, caption=caption)]


def _numbered(objects: Objects, size: Size) -> np.ndarray:
    """The true object of each pixel, uint8 (height, width); IGNORED where a crowd is."""
    assert objects.masks is not None
    width, height = answered(size, MASK_PIXELS)
    found = np.zeros((height, width), np.uint8)
    rows = zip(objects.masks, objects.ignored, strict=True)
    for number, (mask, ignored) in enumerate(rows, start=1):
        found[coco.decode(mask) > 0] = IGNORED if ignored else min(number, MOST_NUMBERED)
    return found
