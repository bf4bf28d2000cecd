"""Exemplars: a few training examples that stand for all that were seen, saved next to the
weights.

`memory.safetensors` holds a tensor for each of a batch's, axis 0 the exemplars, each in the
smallest type that holds its values exactly; its header says the types they had and how many
examples were seen of each group.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from modelyard.errors import BrokenArtifact

Batch = dict[str, torch.Tensor]
_WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32)
_OTHERS = (torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool)
_TYPES = {str(kind).removeprefix("torch."): kind for kind in (*_WHOLE, *_OTHERS)}


@dataclass(frozen=True)
class Memory:
    """Exemplars and what they stand for."""

    rows: Batch
    """By name as in a training batch, axis 0 the exemplars."""
    seen: dict[int, int]
    """How many examples were ever seen of each group: a label, or 0 where the family has none."""

    def __len__(self) -> int:
        return len(next(iter(self.rows.values())))

    @property
    def total(self) -> int:
        """How many examples were ever seen."""
        return sum(self.seen.values())

    def save(self, file: Path) -> None:
        """Writes the exemplars and what they stand for."""
        types, small = {}, {}
        for name, tensor in self.rows.items():
            types[name] = str(tensor.dtype).removeprefix("torch.")
            small[name] = _smallest(tensor)
        # One entry: several would be written in a random order, and equal memories have equal
        # bytes.
        header = {"memory": json.dumps({"seen": self.seen, "types": types})}
        save_file(small, file, metadata=header)

    @classmethod
    def load(cls, file: Path) -> Memory:
        """Reads what `save` wrote.

        Raises:
            BrokenArtifact: it is no such file.
        """
        try:
            with safe_open(file, framework="pt") as content:
                header = json.loads((content.metadata() or {})["memory"])
                types = {name: _TYPES[kind] for name, kind in header["types"].items()}
                rows = {name: content.get_tensor(name).to(kind) for name, kind in types.items()}
                seen = {int(group): int(count) for group, count in header["seen"].items()}
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise BrokenArtifact(f"{file} is no memory of exemplars: {error}") from None
        return cls(rows, seen)


def reservoir(
    capacity: int, kept: int, seen: int, new: int, rng: np.random.Generator
) -> np.ndarray:
    """A uniform sample of all examples ever seen, from the one of those seen before (Vitter 1985,
    algorithm R).

    Where the sample could be larger than it was, old examples keep their places and new ones fill
    the room: those that were let go cannot come back.

    Args:
        capacity: size of the sample; kept: size of the old one; seen: examples that it was drawn
        from; new: examples.

    Returns:
        int64 (at most capacity,): below `kept` a place in the old sample, else `kept` + the number
        of a new example.
    """
    places = rng.permutation(kept)[:capacity]
    room = min(capacity - len(places), new)
    places = np.concatenate([places, kept + np.arange(room)])
    later = np.arange(room, new)
    # Example number n of all takes a place with probability capacity / n, whichever came before.
    drawn = rng.integers(0, max(seen, kept) + later + 1)
    entering = drawn < capacity
    # Of several that drew one place the last one has it: numpy assigns in order.
    places[drawn[entering]] = kept + later[entering]
    return places


def herding(features: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """The examples whose running mean stays nearest to that of all (Welling 2009; Rebuffi et al.
    2017, algorithm 4).

    Args:
        features: float (examples, width), scaled to length 1 here; weights: how many examples each
        stands for.

    Returns:
        int64 (at most count,): the best first, so that any beginning of it is the choice for a
        smaller count.
    """
    length = np.linalg.norm(features, axis=1, keepdims=True)
    # An example of zeros has no direction: it stays where it is.
    unit = features / np.maximum(length, 1e-12)
    mean = weights @ unit / weights.sum()
    total, chosen = np.zeros(unit.shape[1]), []
    free = np.ones(len(unit), bool)
    for number in range(1, min(count, len(unit)) + 1):
        gap = np.square(mean - (total + unit) / number).sum(axis=1)
        best = int(np.where(free, gap, np.inf).argmin())
        chosen.append(best)
        free[best] = False
        total += unit[best]
    return np.array(chosen, np.int64)


def _smallest(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in the smallest type of whole numbers that holds its values exactly; as it is,
    where there is none."""
    if tensor.dtype == torch.bool or not tensor.numel():
        return tensor.contiguous()
    low, high = tensor.min(), tensor.max()
    for kind in _WHOLE:
        bounds = torch.iinfo(kind)
        if low < bounds.min or high > bounds.max:
            continue
        small = tensor.to(kind)
        # Back again it is equal, unless it holds fractions or NaN.
        if torch.equal(small.to(tensor.dtype), tensor):
            return small.contiguous()
    return tensor.contiguous()
