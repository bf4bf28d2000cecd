"""The built-in pictures, simulated: land seen from above, with fields, forest, water, roads and
buildings, and hidden under some clouds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.families.segmentation.rle import run_lengths
from modelyard.families.segmentation.spec import IGNORED, palette
from modelyard.kit.pictures.simulated import cloud, shifted

SIDE = 96
"""Pixels of a picture."""
COARSE = 40
CLASSES = ("field", "forest", "water", "road", "building")
FIELD, FOREST, WATER, ROAD, BUILDING = range(5)
COUNTABLE = {WATER: 96, BUILDING: 24}
"""Classes whose objects are outlined one by one, and how many pixels of one are visible at least."""
CLOUDY = 0.3
"""Share of the pictures that a cloud covers in part."""
Scene = tuple[np.ndarray, np.ndarray, np.ndarray]


def write_sample(raw: Path, count: int, drift: float, seed: int) -> None:
    """Writes `images/<number>.png`, `masks/<number>.png` and `classes.txt`, and `instances.json` with
    the outlines of lakes and houses."""
    from PIL import Image

    r = np.random.default_rng([seed, 37])
    scenes = [_scene(r) for _ in range(count)]
    pictures = shifted(np.stack([pixels for pixels, *_ in scenes]), drift, seed)
    colours = palette(IGNORED + 1).tobytes()
    for folder in ("images", "masks"):
        (Path(raw) / folder).mkdir(parents=True, exist_ok=True)
    for number, (pixels, (_, labels, _)) in enumerate(zip(pictures, scenes, strict=True)):
        Image.fromarray(pixels).save(Path(raw) / "images" / f"{number:04}.png")
        mask = Image.fromarray(labels)
        mask.putpalette(colours)
        mask.save(Path(raw) / "masks" / f"{number:04}.png")
    (Path(raw) / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    (Path(raw) / "instances.json").write_text(json.dumps(_instances(scenes)) + "\n")


def _instances(scenes: list[Scene]) -> dict[str, Any]:
    """The countable objects as COCO has them; what a cloud hides, and what is too small to count, is
    a crowd."""
    annotations: list[dict[str, Any]] = []
    for number, (_, labels, houses) in enumerate(scenes):
        for category, mask, crowd in _countable(labels, houses):
            runs = {"size": [SIDE, SIDE], "counts": run_lengths(mask)}
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": category,
                    "segmentation": runs,
                    "iscrowd": int(crowd),
                }
            )
    images = []
    for number in range(len(scenes)):
        name = f"images/{number:04}.png"
        images.append({"id": number, "file_name": name, "width": SIDE, "height": SIDE})
    categories = [{"id": label, "name": CLASSES[label]} for label in COUNTABLE]
    return {"images": images, "annotations": annotations, "categories": categories}


def _countable(labels: np.ndarray, houses: np.ndarray) -> Iterator[tuple[int, np.ndarray, bool]]:
    """Class, mask and whether it is a crowd of each object of a scene."""
    from scipy import ndimage

    for label, numbers in ((WATER, ndimage.label(labels == WATER)[0]), (BUILDING, houses)):
        crowd = labels == IGNORED
        for number in range(1, int(numbers.max()) + 1):
            mask = (numbers == number) & (labels == label)
            if mask.sum() >= COUNTABLE[label]:
                yield label, mask, False
            else:
                crowd |= mask
        if crowd.any():
            yield label, crowd, True


def _scene(r: np.random.Generator) -> Scene:
    """A picture, uint8 (SIDE, SIDE, 3), the class of each pixel, uint8 (SIDE, SIDE), and the number
    of the house that it is part of, from 1 on."""
    down, right = np.mgrid[:SIDE, :SIDE].astype(float)
    labels = np.full((SIDE, SIDE), FIELD, np.uint8)
    houses = np.zeros((SIDE, SIDE), np.uint8)
    angle, width = r.uniform(0, np.pi), r.uniform(4, 9)
    furrows = np.sin((np.cos(angle) * right + np.sin(angle) * down) * 2 * np.pi / width)
    land = np.array([112.0, 118, 74]) + 16 * r.normal(size=3)
    picture = land + 11 * furrows[..., None]

    # Forest and water have nearly the same colour: one is rough, the other smooth.
    forest, water = _hills(r) > r.uniform(0.3, 1.0), _hills(r) > r.uniform(0.5, 1.3)
    crowns = r.normal(0, 20, (SIDE, SIDE)) + 8 * cloud(r, SIDE)
    picture[forest] = np.array([52.0, 84, 56]) + crowns[forest, None]
    labels[forest] = FOREST
    picture[water] = np.array([48.0, 82, 72]) + 5 * cloud(r, SIDE)[water, None]
    labels[water] = WATER

    for _ in range(int(r.integers(0, 3))):
        across, along = r.uniform(0, np.pi), r.uniform(0.2, 0.8) * SIDE
        away = np.cos(across) * (right - along) + np.sin(across) * (down - along)
        road = np.abs(away + 4 * np.sin(down / r.uniform(9, 20))) < r.uniform(1.5, 3)
        picture[road] = np.array([142.0, 138, 132])
        labels[road] = ROAD
    for number in range(int(r.integers(0, 6))):
        house = _build(r, picture, labels, down, right)
        houses[house] = number + 1

    # Light and haze differ from picture to picture, so that a colour does not tell a class.
    picture = picture * r.uniform(0.75, 1.25) + 14 * r.normal(size=3)
    picture += r.normal(0, 6, picture.shape)
    if r.random() < CLOUDY:
        veil = np.clip(_hills(r) - r.uniform(0.8, 1.6), 0, 1)[..., None] * 3
        picture = picture + (240 - picture) * np.minimum(veil, 0.95)
        labels[veil[..., 0] > 0.5] = IGNORED
    return np.clip(picture, 0, 255).astype(np.uint8), labels, houses


def _hills(r: np.random.Generator) -> np.ndarray:
    """Smooth noise of about unit deviation in larger patches than `cloud` has, (SIDE, SIDE)."""
    from PIL import Image

    small = Image.fromarray(cloud(r, COARSE).astype(np.float32))
    return np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _build(
    r: np.random.Generator,
    picture: np.ndarray,
    labels: np.ndarray,
    down: np.ndarray,
    right: np.ndarray,
) -> np.ndarray:
    """Draws a house on land: its roof's two sides are lit differently. Its pixels, bool (SIDE,
    SIDE)."""
    x, y = r.uniform(8, SIDE - 8, 2)
    if labels[int(y), int(x)] == WATER:
        return np.zeros_like(labels, bool)
    angle, (long, wide) = r.uniform(0, np.pi), r.uniform((5, 3.5), (10, 6))
    along = np.cos(angle) * (right - x) + np.sin(angle) * (down - y)
    across = np.cos(angle) * (down - y) - np.sin(angle) * (right - x)
    house: np.ndarray = (np.abs(along) < long) & (np.abs(across) < wide)
    roof = np.array([(150.0, 96, 84), (140, 136, 134), (104, 98, 100)][int(r.integers(3))])
    picture[house] = roof + np.where(across[house] > 0, 16, -16)[:, None]
    labels[house] = BUILDING
    return house
