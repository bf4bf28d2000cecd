"""Files of numbers: nothing pickled is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def load_named(file: Path) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` file."""
    with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def save_named(file: Path, arrays: Mapping[str, Any]) -> None:
    """Writes an `.npz` file."""
    np.savez(file, **arrays)


def save_beside(features: Path, split: str, what: str, values: np.ndarray) -> None:
    """Writes something of each example of a split, (examples, …), next to them."""
    np.save(Path(features) / f"{split}.{what}.npy", values, allow_pickle=False)


def load_beside(features: Path, split: str, what: str) -> np.ndarray:
    """What was written of each example of a split, (examples, …)."""
    values: np.ndarray = np.load(Path(features) / f"{split}.{what}.npy", allow_pickle=False)
    return values


def find_beside(features: Path, split: str, what: str) -> np.ndarray | None:
    """The same; None where nothing was written."""
    if (Path(features) / f"{split}.{what}.npy").is_file():
        return load_beside(features, split, what)
    return None
