"""Folders of pictures with masks as people and tools write them, by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from tests.unit.detection.folders import picture

WIDTH, HEIGHT = 40, 30
NAMES = ("background", "cat", "dog")


def truth(number: int) -> np.ndarray:
    """Classes of a picture's pixels, uint8 (HEIGHT, WIDTH): one or two rectangles on background."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    left = 2 + number % 5
    labels[3:13, left : left + 12] = 1 + number % 2
    if number % 3 == 0:
        labels[16:25, 20:35] = 1 + (number + 1) % 2
    return labels


def as_palette(labels: np.ndarray) -> Image.Image:
    """As most tools write class numbers."""
    mask = Image.fromarray(labels)
    mask.putpalette(np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8).tobytes())
    return mask


def masks(folder: Path, count: int = 20, names: str = "classes.txt") -> Path:
    """images/, masks/ with ignored pixels in the first rows, and a file that names the classes."""
    for number in range(count):
        picture(folder / "images" / f"{number:02}.png", number, (WIDTH, HEIGHT))
        labels = truth(number)
        labels[:2] = 255
        file = folder / "masks" / f"{number:02}.png"
        file.parent.mkdir(exist_ok=True)
        as_palette(labels).save(file)
    text = {"classes.txt": "\n".join(NAMES), "labels.json": json.dumps(dict(enumerate(NAMES)))}
    if names:
        (folder / names).write_text(text[names])
    return folder


def polygon(labels: np.ndarray, value: int) -> list[list[float]]:
    """The rectangle of a class, as an outline."""
    rows, columns = np.nonzero(labels == value)
    left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return [[float(one) for one in (left, top, right, top, right, bottom, left, bottom)]]


def compressed(mask: np.ndarray) -> dict[str, Any]:
    """Run lengths as pycocotools writes them."""
    found = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": found["size"], "counts": found["counts"].decode()}


def plain(mask: np.ndarray) -> dict[str, Any]:
    """Run lengths as numbers."""
    flat = mask.ravel(order="F").astype(int)
    counts, value, run = [], 0, 0
    for pixel in flat.tolist():
        if pixel != value:
            counts.append(run)
            value, run = pixel, 0
        run += 1
    return {"size": list(mask.shape), "counts": [*counts, run]}


def outlines(folder: Path, count: int = 20) -> dict[str, Any]:
    """Pictures and instances.json, in all three forms in turn; what it holds."""
    images, annotations = [], []
    for number in range(count):
        name = f"{number:02}.png"
        picture(folder / "images" / name, number, (WIDTH, HEIGHT))
        images.append({"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT})
        labels = truth(number)
        for value in sorted(set(labels.ravel().tolist()) - {0}):
            form = len(annotations) % 3
            mask = labels == value
            segmentation: Any = polygon(labels, value)
            if form:
                segmentation = compressed(mask) if form == 1 else plain(mask)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 10 * value,
                    "segmentation": segmentation,
                    "bbox": [0, 0, 1, 1],
                }
            )
    categories = [{"id": 10 * value, "name": NAMES[value]} for value in (1, 2)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(content))
    return content
