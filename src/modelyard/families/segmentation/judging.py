"""What was found, held against what is there: counts of pixels and of borders that add up over
pictures. Ignored pixels are in none of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation, generate_binary_structure, iterate_structure

from modelyard.families.segmentation.spec import IGNORED

NEAR = 0.0075
"""Share of a picture's diagonal by which a border may be off (Csurka et al. 2013, section 4)."""


@dataclass(frozen=True)
class Judged:
    """Counts of a split's pictures."""

    confusion: np.ndarray
    """Pixels int64 (classes, classes + 1): true class, found class; the last one is a class that
    the split does not know."""
    pixels: np.ndarray
    """Of each picture, int64 (pictures, 3, classes): in both, true, found."""
    borders: np.ndarray
    """Of each picture, int64 (pictures, 4, classes): found border pixels, those of them near a true
    border, true border pixels, those of them near a found one."""

    @classmethod
    def of(cls, pairs: Iterable[tuple[np.ndarray, np.ndarray]], classes: int) -> Judged:
        """From true and found classes of each picture, uint8 (height, width) each; found ones may be
        `classes`, which is wrong wherever it is."""
        confusion = np.zeros((classes, classes + 1), np.int64)
        pixels, borders = [], []
        for truth, found in pairs:
            counted = truth != IGNORED
            # One number for each pair of classes, so that one pass counts them all.
            codes = truth[counted].astype(np.int64) * (classes + 1) + found[counted]
            own = np.bincount(codes, minlength=classes * (classes + 1))
            own = own.reshape(classes, classes + 1)
            confusion += own
            pixels.append([np.diag(own), own.sum(axis=1), own.sum(axis=0)[:classes]])
            borders.append(border_counts(truth, found, classes))
        return cls(
            confusion,
            np.array(pixels, np.int64).reshape(-1, 3, classes),
            np.array(borders, np.int64).reshape(-1, 4, classes),
        )

    @property
    def pictures(self) -> int:
        """How many were judged."""
        return len(self.pixels)

    def figures(self) -> dict[str, float]:
        """The metrics of the split. Classes that are neither there nor found are in no mean."""
        by_class = self.by_class()
        total = max(1, int(self.confusion.sum()))
        return {
            "miou": _mean(by_class["IoU"]),
            "dice": _mean(by_class["Dice"]),
            "boundary_f1": _mean(by_class["boundary F1"]),
            "pixel_accuracy": float(self.pixels[:, 0].sum() / total),
        }

    def by_class(self) -> dict[str, np.ndarray]:
        """IoU, Dice and others by class, (classes,); NaN where a class is neither there nor
        found."""
        both, true, found = self.pixels.sum(axis=0)
        marked, right, there, met = self.borders.sum(axis=0)
        precision, recall = _ratio(right, marked), _ratio(met, there)
        # Where one of both has no border at all, none of the other's is met.
        lone = (marked > 0) != (there > 0)
        with np.errstate(invalid="ignore"):
            border = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        return {
            "IoU": _ratio(both, true + found - both),
            "Dice": _ratio(2 * both, true + found),
            "boundary F1": np.where(lone, 0.0, border),
            "precision": _ratio(both, found),
            "recall": _ratio(both, true),
        }

    def of_each(self) -> np.ndarray:
        """Mean IoU of each picture, (pictures,), over the classes that it has: one pixel of another
        class does not make it a bad one. NaN where all is ignored."""
        both, true, found = np.moveaxis(self.pixels, 1, 0)
        shares = np.where(true > 0, both / np.maximum(true + found - both, 1), 0)
        return _ratio(shares.sum(axis=1), (true > 0).sum(axis=1))

    def samples(self, draws: Iterable[np.ndarray]) -> np.ndarray:
        """`miou` on bootstrap samples of the pictures, (samples,); the same for every model."""
        found = []
        for rows in draws:
            both, true, seen = self.pixels[rows].sum(axis=0)
            found.append(_mean(_ratio(both, true + seen - both)))
        return np.array(found)


def border_counts(truth: np.ndarray, found: np.ndarray, classes: int) -> np.ndarray:
    """Of one picture, int64 (4, classes), as `Judged.borders` has them.

    A border pixel of a class has a neighbour, of four, of another class; neither the picture's
    edge nor an ignored pixel is one.
    """
    counted = truth != IGNORED
    height, width = truth.shape
    reach = max(1, round(NEAR * float(np.hypot(height, width))))
    disc = iterate_structure(generate_binary_structure(2, 1), reach)
    true_edges, found_edges = _edges(truth, counted), _edges(found, counted)
    counts = np.zeros((4, classes), np.int64)
    for label in range(classes):
        true, seen = true_edges & (truth == label), found_edges & (found == label)
        if not true.any() and not seen.any():
            continue
        # A class is often in one corner only.
        rows, columns = _around(true | seen, reach)
        true, seen = true[rows, columns], seen[rows, columns]
        right = seen & binary_dilation(true, disc)
        met = true & binary_dilation(seen, disc)
        counts[:, label] = [seen.sum(), right.sum(), true.sum(), met.sum()]
    return counts


def _edges(labels: np.ndarray, counted: np.ndarray) -> np.ndarray:
    edges = np.zeros(labels.shape, bool)
    down = (labels[1:] != labels[:-1]) & counted[1:] & counted[:-1]
    right = (labels[:, 1:] != labels[:, :-1]) & counted[:, 1:] & counted[:, :-1]
    edges[1:] |= down
    edges[:-1] |= down
    edges[:, 1:] |= right
    edges[:, :-1] |= right
    return edges


def _around(mask: np.ndarray, reach: int) -> tuple[slice, slice]:
    found = []
    for axis in (1, 0):
        places = np.flatnonzero(mask.any(axis=axis))
        found.append(slice(max(0, int(places[0]) - reach), int(places[-1]) + reach + 1))
    return found[0], found[1]


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """NaN where the whole is 0."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _mean(values: np.ndarray) -> float:
    """Of those that are known; 0 of none."""
    known = values[~np.isnan(values)]
    if len(known):
        return float(known.mean())
    return 0.0
