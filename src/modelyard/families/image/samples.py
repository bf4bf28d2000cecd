"""The small built-in picture sets, as folders of PNG files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from modelyard.kit.pictures.simulated import cloud, shifted

SCANS = 1_200
SIDE = 32
"""Pixels of a simulated scan."""
POSITIVE_SHARE = 0.25


def write_sample(raw: Path, name: str, count: int | None, drift: float, seed: int) -> None:
    """Writes `<class>/<number>.png`: gray pictures of `digits` (real, 8 x 8) or `lesions`
    (simulated, 32 x 32)."""
    pictures, labels = (
        digits(count, seed) if name == "digits" else lesions(count or SCANS, seed)[:2]
    )
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
        ill = r.random() < POSITIVE_SHARE
        if ill:
            places[number] = r.uniform(4, SIDE - 4, 2)
            square = np.square(rows - places[number, 0]) + np.square(columns - places[number, 1])
            scan += r.uniform(0.3, 0.55) * np.exp(-square / (2 * r.uniform(1.6, 3.0) ** 2))
        pictures.append(scan)
        labels.append("lesion" if ill else "healthy")
    return (np.clip(np.array(pictures), 0, 1) * 255).round().astype(np.uint8), labels, places


def _write(raw: Path, pictures: np.ndarray, labels: list[str]) -> None:
    from PIL import Image

    for label in set(labels):
        (Path(raw) / label).mkdir(parents=True, exist_ok=True)
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        Image.fromarray(picture).save(Path(raw) / label / f"{number:04}.png")
