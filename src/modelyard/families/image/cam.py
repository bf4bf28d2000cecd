"""Where in a picture the evidence for an answer lies: Grad-CAM before its ReLU, with numpy only.

All networks here end in a mean over places and a linear layer, so that a logit is a sum over
places: the class activation map (Zhou et al. 2016, "Learning Deep Features for Discriminative
Localization", section 2). For such networks it is what Grad-CAM weighs up from gradients, before
its ReLU cuts the negative parts (Selvaraju et al. 2017, section 3.1). The places of a ViT are its
last layer's patch tokens.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modelyard.kit.pictures.drawing import LEAST_SIDE, picture

if TYPE_CHECKING:
    from PIL.Image import Image

FILE, NETWORK = "head.npy", "network.json"
OVER_MAPS = "class activation map: Grad-CAM of the last convolution, before its ReLU"
OVER_TOKENS = "class activation map over patch tokens: Grad-CAM of the last layer, before its ReLU"
MOST_CELLS = 8
"""Rows and columns of the grid that is given; finer maps are summed up."""
SUPPORTS, OPPOSES = (214, 48, 39), (49, 92, 196)
"""Colours of evidence for and against."""


def load_head(assets: Path) -> np.ndarray | None:
    """The last layer: weights and, in the last column, bias: float64 (classes, features + 1).
    None: there is none."""
    path = Path(assets) / FILE
    if not path.is_file():
        return None
    head: np.ndarray = np.load(path, allow_pickle=False).astype(np.float64)
    return head


def method(assets: Path) -> str:
    """What the map of the network in `assets` is, for `Explanation.method`."""
    kind = json.loads((Path(assets) / NETWORK).read_text())["kind"]
    if kind == "vit":
        return OVER_TOKENS
    return OVER_MAPS


def save_head(assets: Path, weight: np.ndarray, bias: np.ndarray) -> None:
    """Writes the last layer's weight (classes, features) and bias (classes,)."""
    head = np.column_stack([weight, bias]).astype(np.float32)
    np.save(Path(assets) / FILE, head, allow_pickle=False)


def evidence(
    features: np.ndarray, head: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, float]:
    """Splits `weights @ logits` over places.

    Args:
        features: the last stage's maps, (features, rows, columns).
        head: (classes, features + 1); weights: (classes,).

    Returns:
        A map (rows, columns) and the bias; the map's sum and the bias add up to `weights @ logits`.
    """
    layer = weights @ head
    # The network takes the mean over places: each gives its share of it.
    places = features.shape[1] * features.shape[2]
    found = np.tensordot(layer[:-1], features.astype(np.float64), axes=1) / places
    return found, float(layer[-1])


def coarse(places: np.ndarray) -> np.ndarray:
    """Sums blocks of a map (rows, columns) to at most MOST_CELLS x MOST_CELLS cells."""
    for axis in (0, 1):
        count = places.shape[axis]
        starts = np.linspace(0, count, min(count, MOST_CELLS), endpoint=False).astype(np.int64)
        places = np.add.reduceat(places, starts, axis=axis)
    return places


def overlay(pixels: np.ndarray, places: np.ndarray, side: int = LEAST_SIDE) -> Image:
    """The picture, red where the evidence is for the explained output and blue where it is against.

    Args:
        pixels: uint8 (channels, size, size); places: evidence (rows, columns).
    """
    from PIL import Image

    base = picture(pixels, side)
    # A map of nothing but zeros has no strongest place.
    strongest = float(np.abs(places).max()) or 1.0
    scaled = Image.fromarray((places / strongest).astype(np.float32), "F")
    large = np.asarray(scaled.resize(base.size, Image.Resampling.BICUBIC), np.float64)
    # Cubic interpolation overshoots next to the strongest place.
    strength = large.clip(-1, 1)
    tint = np.where(strength[..., None] > 0, np.array(SUPPORTS), np.array(OPPOSES))
    alpha = 0.65 * np.abs(strength)[..., None]
    mixed = (1 - alpha) * np.asarray(base, np.float64) + alpha * tint
    return Image.fromarray(mixed.round().astype(np.uint8), "RGB")
