"""The layout of a tabular features folder, for those who write it and those who read it.

train.npz validation.npz test.npz    x: float32 (rows, columns); y: float32 (regression) or int64 class index
train.parquet …                      the same rows as they came: the schema's columns and the target
assets/schema.json                   the table's columns, roles and transforms, and the target
assets/encoders.json, *.npy          what was fitted on the training split
"""

from __future__ import annotations

from pathlib import Path

import numpy as np


def load_split(features: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Model inputs `x`, float32 (rows, columns), and targets `y` of a split."""
    with np.load(Path(features) / f"{split}.npz", allow_pickle=False) as arrays:
        return arrays["x"], arrays["y"]


def save_split(features: Path, split: str, x: np.ndarray, y: np.ndarray) -> None:
    """Writes model inputs and targets of a split."""
    np.savez(Path(features) / f"{split}.npz", x=x.astype(np.float32), y=y)
