"""The small built-in picture sets, as folders of PNG files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from modelyard.kit.pictures.simulated import cloud, shifted

SCANS = 1_200
SIDE = 32
"""Pixels of a simulated scan."""
POSITIVE_SHARE = 0.25
DEFECTS = {"scratch": 0.35, "spot": 0.3, "dent": 0.2, "stain": 0.12, "crack": 0.12}
"""Of simulated surfaces, and how often each is there."""
STAINED = 0.5
"""How often a surface with a dent is stained."""


def write_sample(raw: Path, name: str, count: int | None, drift: float, seed: int) -> None:
    """Writes `<class>/<number>.png`: gray pictures of `digits` (real, 8 x 8) or `lesions`
    (simulated, 32 x 32); of `parts` (simulated, 32 x 32) `<number>.png` and `labels.csv` with a
    column for each defect."""
    if name == "parts":
        surfaces, flags = parts(count or SCANS, seed)
        _write_listed(raw, shifted(surfaces, drift, seed), flags)
        return
    if name == "digits":
        pictures, labels = digits(count, seed)
    else:
        pictures, labels, _ = lesions(count or SCANS, seed)
    _write(raw, shifted(pictures, drift, seed), labels)


def digits(count: int | None, seed: int) -> tuple[np.ndarray, list[str]]:
    """Handwritten digits, uint8 (n, 8, 8), from scikit-learn: the test part of UCI's optical
    digits (Alpaydin and Kaynak 1998). `count` draws as many at random."""
    from sklearn.datasets import load_digits

    images, target = load_digits(return_X_y=True)
    pictures = np.round(images.reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)
    rows = np.arange(len(pictures))
    if count is not None:
        rows = np.sort(np.random.default_rng([seed, 11]).permutation(rows)[:count])
    return pictures[rows], [str(target[row]) for row in rows]


def lesions(count: int, seed: int) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Simulated scans, uint8 (count, SIDE, SIDE): cloudy tissue with vessels; a quarter has a soft
    bright spot.

    Returns:
        Pictures, labels (`healthy`, `lesion`), and the spot's row and column (count, 2), NaN
        without one.
    """
    r = np.random.default_rng([seed, 29])
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    pictures, labels, places = [], [], np.full((count, 2), np.nan)
    for number in range(count):
        scan = 0.32 + 0.06 * r.normal() + 0.07 * cloud(r, SIDE) + 0.03 * r.normal(size=(SIDE, SIDE))
        for _ in range(int(r.integers(1, 4))):
            angle, offset = r.uniform(0, np.pi), r.uniform(0.2, 0.8) * SIDE
            away = (rows - offset) * np.cos(angle) + (columns - offset) * np.sin(angle)
            scan += r.uniform(0.05, 0.15) * np.exp(-np.square(away) / 2)
        label = "healthy"
        if r.random() < POSITIVE_SHARE:
            label = "lesion"
            places[number] = r.uniform(4, SIDE - 4, 2)
            square = np.square(rows - places[number, 0]) + np.square(columns - places[number, 1])
            scan += r.uniform(0.3, 0.55) * np.exp(-square / (2 * r.uniform(1.6, 3.0) ** 2))
        pictures.append(scan)
        labels.append(label)
    return (np.clip(np.array(pictures), 0, 1) * 255).round().astype(np.uint8), labels, places


def parts(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Simulated metal surfaces, uint8 (count, SIDE, SIDE), and which of DEFECTS each has, bool
    (count, defects)."""
    r = np.random.default_rng([seed, 53])
    flags = r.random((count, len(DEFECTS))) < np.array(list(DEFECTS.values()))
    dent, stain = list(DEFECTS).index("dent"), list(DEFECTS).index("stain")
    flags[:, stain] |= flags[:, dent] & (r.random(count) < STAINED)
    draw = (_scratch, _spot, _dent, _stain, _crack)
    surfaces = []
    for held in flags:
        streaks = cloud(r, SIDE).mean(axis=1, keepdims=True)
        surface = 0.5 + 0.06 * r.normal() + 0.05 * streaks + 0.04 * r.normal(size=(SIDE, SIDE))
        for place in np.flatnonzero(held):
            surface += draw[place](r)
        surfaces.append(surface)
    return (np.clip(np.array(surfaces), 0, 1) * 255).round().astype(np.uint8), flags


def _from_place(r: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """How far each pixel is from a random place, down and to the right, (SIDE, SIDE) each."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - r.uniform(5, SIDE - 5, (2, 1, 1))
    return rows, columns


def _scratch(r: np.random.Generator) -> np.ndarray:
    """A straight bright line."""
    rows, columns = _from_place(r)
    angle = r.uniform(0, np.pi)
    across = rows * np.cos(angle) - columns * np.sin(angle)
    along = rows * np.sin(angle) + columns * np.cos(angle)
    line: np.ndarray = np.exp(-np.square(across) / 0.6) * (np.abs(along) < r.uniform(5, 12))
    return r.uniform(0.12, 0.28) * line


def _spot(r: np.random.Generator) -> np.ndarray:
    """A small dark disc."""
    dark: np.ndarray = -r.uniform(0.12, 0.28) * (np.hypot(*_from_place(r)) < r.uniform(1.5, 3))
    return dark


def _dent(r: np.random.Generator) -> np.ndarray:
    """Bright on the side of the light, dark on the other."""
    rows, columns = _from_place(r)
    width = r.uniform(2.5, 4)
    bump = np.exp(-(np.square(rows) + np.square(columns)) / (2 * width**2))
    slope: np.ndarray = -r.uniform(0.15, 0.35) * rows / width * bump
    return slope


def _stain(r: np.random.Generator) -> np.ndarray:
    """A wide soft shadow."""
    width = r.uniform(6, 9)
    shadow: np.ndarray = np.exp(-np.square(np.hypot(*_from_place(r))) / (2 * width**2))
    return -r.uniform(0.08, 0.16) * shadow


def _crack(r: np.random.Generator) -> np.ndarray:
    """A thin dark line that turns at every step."""
    found = np.zeros((SIDE, SIDE))
    place, angle = r.uniform(8, SIDE - 8, 2), r.uniform(0, 2 * np.pi)
    for _ in range(int(r.integers(14, 24))):
        row, column = np.clip(place, 0, SIDE - 1).astype(np.int64)
        found[row, column] = -0.2
        angle += r.normal(0, 0.6)
        place = place + np.array([np.sin(angle), np.cos(angle)])
    return found


def _write_listed(raw: Path, pictures: np.ndarray, flags: np.ndarray) -> None:
    from PIL import Image

    lines = [",".join(["file", *DEFECTS])]
    for number, (picture, held) in enumerate(zip(pictures, flags, strict=True)):
        name = f"{number:04}.png"
        Image.fromarray(picture).save(Path(raw) / name)
        lines.append(",".join([name, *(str(int(flag)) for flag in held)]))
    (Path(raw) / "labels.csv").write_text("\n".join(lines) + "\n")


def _write(raw: Path, pictures: np.ndarray, labels: list[str]) -> None:
    from PIL import Image

    for label in set(labels):
        (Path(raw) / label).mkdir(parents=True, exist_ok=True)
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        Image.fromarray(picture).save(Path(raw) / label / f"{number:04}.png")
