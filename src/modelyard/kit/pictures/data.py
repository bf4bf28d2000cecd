"""Reading annotated pictures into arrays: what detection and segmentation share.

train.npy …             what the model sees: uint8 (pictures, 3, size, size)
train.sizes.npy …       width and height of each picture
train.files …           the files' own bytes
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from modelyard.family import Data, Split
from modelyard.kit.classifier import store
from modelyard.kit.classifier.kind import read_bytes
from modelyard.kit.pictures.pixels import PICTURES, Limits, moments
from modelyard.kit.pictures.settings import SquareConfig
from modelyard.kit.pictures.square import Size, SquareSpec, limits_of, save_sizes, side_of
from modelyard.kit.warm_start import check_same
from modelyard.store.base import base_of
from modelyard.store.files import File

C = TypeVar("C", bound=SquareConfig)
S = TypeVar("S", bound=SquareSpec)
NAMED = 5
"""Classes that a reason names."""


class SquareData(Data[C], Generic[C, S]):
    """From a folder of annotated pictures to arrays. A family gives `Spec`, `sample` and
    `features`."""

    Spec: type[S]
    """The asset that decodes a picture's bytes."""

    def requests(
        self, features: Path, split: Split, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Pictures of a split as JSON bodies."""
        found = store.load_files(features, split, limit)
        return [PICTURES.request(data) for _, data in found]

    @property
    def limits(self) -> Limits:
        """What the settings allow a picture to be at most."""
        return limits_of(self.config.features)

    def earlier(self, out: Path) -> S | None:
        """The spec of the model that the run starts from, where there is one.

        Raises:
            UsageError: a setting asks for something else.
        """
        base = base_of(out)
        if base is None:
            return None
        spec = self.Spec.load(base / "assets")
        check_same("features.size", self.config.features.size, spec.size)
        check_same("model.kind", self.config.model.kind, store.load_plan(base / "assets")["kind"])
        return spec

    def spec_of(
        self, counts: Mapping[str, int], sizes: Sequence[Size], earlier: S | None, **more: Any
    ) -> S:
        """What the training pictures ask for; the earlier model's, with `counts` and `more`.

        Args:
            counts: how much of each class training has, as `grown` orders them.
            sizes: of the training pictures.
        """
        changed = {
            "classes": list(counts),
            "counts": list(counts.values()),
            "limits": self.limits,
            **more,
        }
        if earlier is not None:
            return earlier.model_copy(update=changed)
        return self.Spec(size=self.config.features.size or side_of(sizes), **changed)

    def save_spec(self, out: Path, spec: S, earlier: S | None) -> None:
        """Adds the spec to the assets; of a new one the mean and deviation of what was written."""
        if earlier is None:
            mean, std = moments(store.load_arrays(out, "train"))
            spec = spec.model_copy(update={"mean": mean, "std": std})
        spec.save(Path(out) / "assets")


def grown(earlier: SquareSpec | None, counts: Mapping[str, int]) -> dict[str, int]:
    """How much of each class there is: those of the earlier model first, then those that `counts`
    add, in their order."""
    found: dict[str, int] = {}
    if earlier is not None:
        found.update(zip(earlier.classes, earlier.counts, strict=True))
    for name, count in counts.items():
        found[name] = found.get(name, 0) + count
    return found


def write_pictures(
    out: Path, split: str, files: Sequence[File], sizes: Sequence[Size], spec: SquareSpec
) -> None:
    """Writes the pictures of a split: what the model sees, their sizes, and their files."""
    shape = (len(files), 3, spec.size, spec.size)
    arrays = store.new_arrays(out, split, shape, np.dtype(np.uint8))

    def decode(place: int) -> None:
        arrays[place] = spec.decode(read_bytes(files[place], spec.limits))[0]

    with ThreadPoolExecutor() as pool:
        list(pool.map(decode, range(len(files))))
    arrays.flush()
    save_sizes(out, split, sizes)
    store.save_files(out, split, [file.name for file in files], files)
