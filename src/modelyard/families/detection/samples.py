"""The built-in pictures, simulated: shapes of four classes on clouds, with specks that are none."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.kit.pictures.simulated import cloud, shifted

SIDE = 96
"""Pixels of a picture."""
SHAPES = ("disc", "ring", "square", "triangle")
LEAST, MOST = 10, 36
"""Pixels across a shape."""


def write_sample(raw: Path, count: int, drift: float, seed: int) -> None:
    """Writes `images/<number>.png` and `instances.json` as COCO has it."""
    from PIL import Image

    r = np.random.default_rng([seed, 31])
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    pictures = []
    for number in range(count):
        picture, boxes = _scene(r)
        pictures.append(picture)
        name = f"images/{number:04}.png"
        images.append({"id": number, "file_name": name, "width": SIDE, "height": SIDE})
        for shape, (left, top, right, bottom) in boxes:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": SHAPES.index(shape),
                    "bbox": [left, top, right - left, bottom - top],
                    "area": (right - left) * (bottom - top),
                    "iscrowd": 0,
                }
            )
    (Path(raw) / "images").mkdir(parents=True, exist_ok=True)
    for image, pixels in zip(images, shifted(np.stack(pictures), drift, seed), strict=True):
        Image.fromarray(pixels).save(Path(raw) / image["file_name"])
    categories = [{"id": number, "name": name} for number, name in enumerate(SHAPES)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (Path(raw) / "instances.json").write_text(json.dumps(content) + "\n")


def _scene(r: np.random.Generator) -> tuple[np.ndarray, list[tuple[str, tuple[int, ...]]]]:
    """A picture, uint8 (SIDE, SIDE, 3), and its shapes with their boxes: none to five."""
    from PIL import Image, ImageDraw

    base = 90 + 40 * r.random(3) + 22 * cloud(r, SIDE)[..., None] * (0.5 + r.random(3))
    noisy = base + r.normal(0, 6, (SIDE, SIDE, 3))
    picture = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(r.integers(0, 6))):  # specks and strokes
        start = r.uniform(0, SIDE, 2)
        way = r.normal(0, 6, 2)
        draw.line([*start, *(start + way)], fill=_colour(r), width=int(r.integers(1, 3)))
    boxes: list[tuple[str, tuple[int, ...]]] = []
    for _ in range(int(r.integers(0, 6))):
        across = round(math.exp(r.uniform(math.log(LEAST), math.log(MOST))))
        left, top = (int(place) for place in r.integers(0, SIDE - across, 2))
        box = (left, top, left + across, top + across)
        if any(_touch(box, other) for _, other in boxes):
            continue
        shape = SHAPES[int(r.integers(len(SHAPES)))]
        _draw(draw, shape, box, _colour(r))
        boxes.append((shape, box))
    return np.asarray(picture), boxes


def _colour(r: np.random.Generator) -> tuple[int, ...]:
    """Dark or light: not that of the clouds."""
    dark = r.random() < 0.5
    if dark:
        channels = r.integers(0, 80, 3)
    else:
        channels = r.integers(170, 256, 3)
    return tuple(int(channel) for channel in channels)


def _touch(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether they cover each other by more than a third of a side: some may overlap."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    least = min(one[2] - one[0], other[2] - other[0])
    return min(across, down) > least / 3


def _draw(draw: Any, shape: str, box: tuple[int, ...], colour: tuple[int, ...]) -> None:
    left, top, right, bottom = box[0], box[1], box[2] - 1, box[3] - 1
    if shape == "disc":
        draw.ellipse([left, top, right, bottom], fill=colour)
    elif shape == "ring":
        draw.ellipse([left, top, right, bottom], outline=colour, width=max(2, (right - left) // 6))
    elif shape == "square":
        draw.rectangle([left, top, right, bottom], fill=colour)
    else:
        draw.polygon([(left, bottom), ((left + right) // 2, top), (right, bottom)], fill=colour)
