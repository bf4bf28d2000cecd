"""Pictures for the card, with what is there and what was found, the worst first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modelyard.families.detection.baseline import load_objects
from modelyard.families.detection.host import DetectionHost
from modelyard.families.detection.spec import DetectionSpec
from modelyard.family import Split
from modelyard.judging.evaluation import Plot
from modelyard.kit.boxes.answering import MOST
from modelyard.kit.boxes.geometry import overlaps
from modelyard.kit.boxes.precision import Judged
from modelyard.kit.boxes.report import worst_pictures
from modelyard.kit.classifier import store
from modelyard.kit.pictures.drawing import captioned
from modelyard.kit.pictures.pixels import open_picture
from modelyard.runtimes.types import Runtime

if TYPE_CHECKING:
    from PIL.Image import Image

SHOWN = 15
LEAST_SIDE, MOST_SIDE = 240, 360
"""Pixels of a picture's longer side in the card."""
THERE, FOUND, BEHIND = (30, 136, 229), (255, 152, 0), (20, 20, 20)
"""Colours of true and found boxes, which differ with red-green blindness too, and behind text."""
LETTERS = 11
HALF = 0.5
"""Overlap from which on an object counts as found."""


def gallery(
    judged: Judged,
    host: DetectionHost,
    run: Runtime,
    features: Path,
    split: Split,
    spec: DetectionSpec,
) -> list[Plot]:
    """The pictures with the most errors, then others in which there is something."""
    threshold = host.answers.threshold
    worst = worst_pictures(judged, threshold, SHOWN)
    pixels, sizes = host.spec.seen(features, split)
    truth = load_objects(features, split)
    files = store.chosen_files(features, split, worst)
    answered = list(host.outputs(run, np.stack([pixels[place] for place in worst])))
    pictures = []
    for (place, said_of), outputs in zip(worst.items(), answered, strict=True):
        name, data = files[place]
        own = truth.rows(truth.picture == place)
        labels, scores, boxes = host.chosen(*outputs, sizes[place], threshold, MOST)
        names = [host.spec.classes[label] for label in labels]
        found = []
        for known_as, score, box in zip(names, scores, boxes, strict=True):
            found.append((f"{known_as} {score:.2f}", box))
        there = []
        for label, box, ignored in zip(own.label, own.boxes, own.ignored, strict=True):
            near = np.flatnonzero(overlaps(box[None], boxes)[0] >= HALF)
            said = spec.classes[label]
            if ignored:
                said = "ignored"
            elif said in [names[row] for row in near]:
                # What was found needs no second name.
                said = ""
            there.append((said, box))
        tile = drawn(open_picture(data, host.spec.limits), there, found)
        pictures.append(captioned(name, said_of, tile))
    caption = "Orange is what was found, with its score, blue what is there, with its class where"
    caption += f" it was not found. Answers from {threshold:.2f} on."
    return [Plot(kind="pictures", title="Worst pictures first", pictures=pictures, caption=caption)]


def drawn(
    picture: Image,
    there: list[tuple[str, np.ndarray]],
    found: list[tuple[str, np.ndarray]],
) -> Image:
    """A picture of a size for people, with true boxes and found ones and what they are called."""
    from PIL import Image, ImageDraw, ImageFont

    longest = max(picture.size)
    scale = min(max(longest, LEAST_SIDE), MOST_SIDE) / longest
    width, height = (max(1, round(side * scale)) for side in picture.size)
    shown = picture.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    draw, font = ImageDraw.Draw(shown), ImageFont.load_default(LETTERS)
    for boxes, colour, line, above in ((there, THERE, 3, False), (found, FOUND, 2, True)):
        for text, box in boxes:
            left, top, right, bottom = (float(edge) * scale for edge in box)
            edges = (left, top, max(left + 1, right - 1), max(top + 1, bottom - 1))
            draw.rectangle(edges, outline=colour, width=line)
            if not text:
                continue
            # Within the picture, and found ones above their box, true ones below: both are legible.
            wide = draw.textlength(text, font)
            x = min(max(0.0, left), max(0.0, width - wide - 2))
            y = top - LETTERS - 3 if above else bottom + 1
            y = min(max(0.0, y), height - LETTERS - 3)
            draw.rectangle((x, y, x + wide + 2, y + LETTERS + 2), fill=BEHIND)
            draw.text((x + 1, y), text, fill=colour, font=font)
    return shown
