"""The layout of a features folder, and rows as windows. Numpy only.

train.npz calibration.npz validation.npz test.npz    a `Part` each
assets/schema.json                                   columns with figures of the training rows
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from modelyard.kit.arrays import load_named

PARTS = ("train", "calibration", "validation", "test")


@dataclass(frozen=True)
class Part:
    """Rows of all series in a stretch of time, series after series."""

    x: np.ndarray
    """Measurements less their columns' offsets, float32 (rows, columns)."""
    segment: np.ndarray
    """Number of the unbroken stretch a row lies in, int64 (rows,), ascending."""
    series: np.ndarray
    """Number of the row's file, int64 (rows,)."""
    time: np.ndarray
    """Seconds, or the time column's unit, or the row number, float64 (rows,)."""
    label: np.ndarray
    """1 anomaly, 0 normal, -1 unknown, int8 (rows,)."""
    kind: np.ndarray
    """Number of the anomaly's kind, -1 for none, int64 (rows,)."""

    def ends(self, window: int) -> np.ndarray:
        """Last rows of all windows that lie in one segment, int64, ascending."""
        rows = np.arange(window - 1, len(self.segment))
        # Segments ascend: where first and last row are of one, so are those between.
        return np.asarray(rows[self.segment[rows] == self.segment[rows - window + 1]])

    def windows(self, ends: np.ndarray, window: int) -> np.ndarray:
        """Measurements of the windows with these last rows, float32 (windows, window, columns)."""
        return np.asarray(self.x[ends[:, None] + np.arange(1 - window, 1)])

    def disturbed(self, ends: np.ndarray, window: int) -> np.ndarray:
        """Whether a labelled anomaly lies in the windows with these last rows, bool (windows,)."""
        # Of so many first rows how many are labelled: two of these tell it of any window.
        before = np.concatenate([[0], np.cumsum(self.label == 1)])
        return np.asarray(before[ends + 1] > before[ends + 1 - window])

    def unmarked(self, ends: np.ndarray, window: int) -> np.ndarray:
        """Those of the windows with these last rows in which no labelled anomaly lies; all of them where
        each has one, (windows,)."""
        kept = np.asarray(ends[~self.disturbed(ends, window)])
        return kept if len(kept) else ends

    def save(self, features: Path, name: str) -> None:
        """Writes `<name>.npz`."""
        np.savez(Path(features) / f"{name}.npz", **vars(self))

    @classmethod
    def load(cls, features: Path, name: str) -> Part:
        """Reads `<name>.npz`."""
        return cls(**load_named(Path(features) / f"{name}.npz"))


def join(parts: list[Part]) -> Part:
    """One part after the other."""
    joined = {}
    for field in fields(Part):
        joined[field.name] = np.concatenate([getattr(part, field.name) for part in parts])
    return Part(**joined)
