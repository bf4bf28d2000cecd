"""Folders of pictures with boxes as tools write them, by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 40, 30
NAMES = ("cat", "dog")


def picture(file: Path, number: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    """A picture of noise, another one for each number."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(file)
    return file


def boxes_of(number: int) -> list[tuple[str, tuple[int, int, int, int]]]:
    """One or two objects: class, left, top, width and height; each seventh picture has none."""
    if number % 7 == 6:
        return []
    found = [(NAMES[number % 2], (2 + number % 5, 3, 10, 8))]
    if number % 3 == 0:
        found.append((NAMES[(number + 1) % 2], (20, 12 + number % 4, 15, 9)))
    return found


def coco(folder: Path, count: int = 20, **changed: Any) -> dict[str, Any]:
    """Pictures and instances.json; what it holds. `changed` replaces sections."""
    images, annotations = [], []
    for number in range(count):
        name = f"{number:02}.png"
        picture(folder / "images" / name, number)
        images.append({"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT})
        for label, box in boxes_of(number):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 10 * (1 + NAMES.index(label)),
                    "bbox": list(box),
                }
            )
    categories = [{"id": 10 * (1 + place), "name": name} for place, name in enumerate(NAMES)]
    content = {"images": images, "annotations": annotations, "categories": categories} | changed
    (folder / "instances.json").write_text(json.dumps(content))
    return content


def yolo(folder: Path, count: int = 20) -> None:
    """data.yaml, images/ and labels/."""
    for number in range(count):
        picture(folder / "images" / f"{number:02}.png", number)
        lines = []
        for label, (left, top, width, height) in boxes_of(number):
            x, y = (left + width / 2) / WIDTH, (top + height / 2) / HEIGHT
            numbers = f"{x:.6f} {y:.6f} {width / WIDTH:.6f} {height / HEIGHT:.6f}"
            lines.append(f"{NAMES.index(label)} {numbers}")
        file = folder / "labels" / f"{number:02}.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text("\n".join(lines) + "\n")
    (folder / "data.yaml").write_text("names: [cat, dog]\ntrain: images\nval: images\n")


def voc(folder: Path, count: int = 20) -> None:
    """Annotations/ and JPEGImages/."""
    for number in range(count):
        picture(folder / "JPEGImages" / f"{number:02}.png", number)
        objects = ""
        for label, (left, top, width, height) in boxes_of(number):
            edges = (left + 1, top + 1, left + width, top + height)  # the first pixel is 1
            objects += thing(label, edges)
        annotation(folder / "Annotations" / f"{number:02}.xml", objects)


def thing(label: str, edges: tuple[int, int, int, int], more: str = "") -> str:
    """An object of an annotation file."""
    names = ("xmin", "ymin", "xmax", "ymax")
    inside = "".join(f"<{name}>{edge}</{name}>" for name, edge in zip(names, edges, strict=True))
    return f"<object><name>{label}</name>{more}<bndbox>{inside}</bndbox></object>"


def annotation(file: Path, objects: str) -> None:
    """An annotation file of the picture that is called as it is."""
    file.parent.mkdir(parents=True, exist_ok=True)
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
    name = f"<filename>{file.stem}.png</filename>"
    file.write_text(f"<annotation>{name}{size}{objects}</annotation>")
