"""Masks in JPEG files: black and white only, since compression changes any other number."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from modelyard.errors import BadData
from modelyard.kit.classifier.kind import read_bytes
from modelyard.kit.pictures.pixels import Limits, checked
from modelyard.store.files import File

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".jpg", ".jpeg")
WHITE = 255
NEAR = 64
"""How far from black or white compression leaves a pixel."""
MOST_GRAY = 0.02
"""Share of the pixels that may lie between: along edges."""


def check_bilevel(masks: Sequence[File], limits: Limits) -> None:
    """Refuses masks in JPEG files, unless all masks are, black and white and not all of them black.

    Raises:
        BadData: with the mask.
    """
    found = [mask for mask in masks if mask.suffix in ENDINGS]
    if not found:
        return
    if len(found) < len(masks):
        raise _lossy(found[0], "others are no JPEG files")
    with ThreadPoolExecutor() as pool:
        shares = list(pool.map(partial(_shares, limits=limits), found))
    for mask, (gray, _) in zip(found, shares, strict=True):
        if gray > MOST_GRAY:
            raise _lossy(mask, f"{gray:.0%} of its pixels are neither black nor white")
    if not any(white for _, white in shares):
        raise _lossy(found[0], "no mask has a white pixel")


def bilevel(mask: File, limits: Limits) -> np.ndarray:
    """0 where a mask is black and WHITE where it is white, int32 (height, width).

    Raises:
        BadData: no such file within the limits.
    """
    light = _light(mask, limits)
    return np.where(light > WHITE // 2, WHITE, 0).astype(np.int32)


def _lossy(mask: File, reason: str) -> BadData:
    problem = (
        f"is a {mask.suffix} file: such a mask may hold numbers that nobody wrote, and {reason}"
    )
    return BadData(problem, file=mask.path, hint="Save masks as PNG")


def _light(mask: File, limits: Limits) -> np.ndarray:
    def light(picture: Image) -> np.ndarray:
        return np.asarray(picture.convert("L"))

    try:
        return checked(read_bytes(mask, limits), limits, light, ("JPEG",))
    except BadData as problem:
        raise BadData(problem.problem, file=mask.path, hint=problem.hint) from None


def _shares(mask: File, limits: Limits) -> tuple[float, float]:
    """The shares of gray and of white pixels."""
    light = _light(mask, limits)
    white = light >= WHITE - NEAR
    gray = (light > NEAR) & ~white
    return float(gray.mean()), float(white.mean())
