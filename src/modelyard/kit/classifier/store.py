"""The layout of a classifier's features folder, for those who write it and those who read it.

train.npy validation.npy test.npy          what the model sees: (examples, …)
train.labels.npy …                         class indices, int64 (examples,)
train.files train.files.json …             the files' own bytes, joined; their names and ends
train.groups.npy …                         which examples belong together, int64 (examples,), where some do
assets/                                    the spec that decodes bytes to an array, and its classes

And of what it adds to a trained model: examples.npy, and the network's shape in the assets.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.errors import UsageError
from modelyard.kit.arrays import load_beside, save_beside
from modelyard.store.files import File

Plan = dict[str, Any]
"""A network's shape as JSON. `kind`, where it has one, leads the card's headline."""

PLAN = "network.json"
"""In the assets of a trained model: its network's shape."""
EXAMPLES = "examples.npy"
"""In a trained model: training examples that its graph is exported with."""


def save_plan(assets: Path, plan: Plan) -> None:
    """Writes the network's shape."""
    (Path(assets) / PLAN).write_text(json.dumps(plan, indent=1) + "\n")


def load_plan(assets: Path) -> Plan:
    """The shape of a trained model's network."""
    plan: Plan = json.loads((Path(assets) / PLAN).read_text())
    return plan


def find_plan(assets: Path) -> Plan | None:
    """The same; None before training."""
    if (Path(assets) / PLAN).is_file():
        return load_plan(assets)
    return None


def save_examples(features: Path, model: Path, rows: int) -> None:
    """Adds the first training examples to a model."""
    examples = load_arrays(features, "train")[:rows]
    np.save(Path(model) / EXAMPLES, examples, allow_pickle=False)


def load_examples(model: Path) -> np.ndarray:
    """The examples of a model, (rows, …).

    Raises:
        UsageError: it holds none.
    """
    file = Path(model) / EXAMPLES
    if not file.is_file():
        raise UsageError(f"{model} holds no {EXAMPLES}. Train it again: modelyard train")
    examples: np.ndarray = np.load(file, allow_pickle=False)
    return examples


def load_arrays(features: Path, split: str) -> np.ndarray:
    """What the model sees of a split, (examples, …), read from disk where it is touched."""
    arrays: np.ndarray = np.load(Path(features) / f"{split}.npy", mmap_mode="r", allow_pickle=False)
    return arrays


def new_arrays(features: Path, split: str, shape: tuple[int, ...], dtype: np.dtype) -> np.memmap:
    """An array on disk to be filled."""
    return np.lib.format.open_memmap(Path(features) / f"{split}.npy", "w+", dtype, shape)


def save_arrays(features: Path, split: str, arrays: np.ndarray) -> None:
    """Writes what the model sees of a split, (examples, …)."""
    np.save(Path(features) / f"{split}.npy", arrays, allow_pickle=False)


def load_labels(features: Path, split: str) -> np.ndarray:
    """Class indices, int64 (examples,)."""
    return load_beside(features, split, "labels")


def save_labels(features: Path, split: str, labels: np.ndarray) -> None:
    """Writes class indices (examples,)."""
    save_beside(features, split, "labels", labels.astype(np.int64))


def save_files(features: Path, split: str, names: Sequence[str], files: Sequence[File]) -> None:
    """Writes the files' bytes as one file, and an index next to it."""
    save_contents(features, split, names, (file.read() for file in files))


def save_contents(
    features: Path, split: str, names: Sequence[str], contents: Iterable[bytes]
) -> None:
    """Writes what `load_files` gives back: the `contents` as one file, and an index next to it."""
    ends, end = [], 0
    with (Path(features) / f"{split}.files").open("wb") as stream:
        for content in contents:
            end += stream.write(content)
            ends.append(end)
    index = {"names": list(names), "ends": ends}
    (Path(features) / f"{split}.files.json").write_text(json.dumps(index) + "\n")


def load_files(features: Path, split: str, limit: int | None = None) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of the split's files, the first `limit` of them."""
    index = json.loads((Path(features) / f"{split}.files.json").read_text())
    pairs = list(zip(index["names"], index["ends"], strict=True))
    start = 0
    # One after another: the contents of a split may be more than memory holds.
    with (Path(features) / f"{split}.files").open("rb") as stream:
        for name, end in pairs[:limit]:
            yield name, stream.read(end - start)
            start = end


def chosen_files(
    features: Path, split: str, places: Collection[int]
) -> dict[int, tuple[str, bytes]]:
    """Name and bytes of some files of a split, by their places."""
    files = enumerate(load_files(features, split))
    return {place: file for place, file in files if place in places}
