"""Training that starts from an earlier model: its weights, grown where there are new classes,
users or items, and its exemplars among the new examples (experience replay: Chaudhry et al. 2019; Rebuffi
et al. 2017)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from modelyard.compress.narrow import load_widths
from modelyard.errors import BrokenArtifact, UsageError
from modelyard.family import Split, Trainable
from modelyard.settings.continual import ContinualSettings
from modelyard.store.base import MEMORY, WEIGHTS, base_of
from modelyard.training.batches import Batches
from modelyard.training.memory import Batch, Memory, herding, reservoir
from modelyard.training.wrapped import Wrapped

CHUNK = 256
"""Examples that are looked at together when exemplars are chosen."""


class Continued(Wrapped):
    """A family's training that begins with an earlier model's weights and replays its exemplars."""

    def __init__(
        self, family: Trainable, base: Path, settings: ContinualSettings, seed: int
    ) -> None:
        super().__init__(family)
        self.base, self.settings, self.seed = base, settings, seed
        self.memory = load_memory(base)

    def model(self, assets: Path) -> nn.Module:
        """The family's network with the earlier weights in their places."""
        from safetensors.torch import load_file

        path = self.base / WEIGHTS
        if not path.is_file():
            raise BrokenArtifact(f"{self.base} holds no {WEIGHTS}. Run the stage 'features' again")
        if load_widths(self.base):
            raise UsageError(
                "continual.start: channels of that model were removed (compress.prune), and a pruned network is not "
                "trained on. Start from one that was not pruned, or from scratch: --set continual.start=null"
            )
        model = self.family.model(assets)
        grow(load_file(path), model)
        return model

    def batches(self, features: Path, split: Split, epoch: int) -> Batches:
        """The family's batches; those of training with `replay` of each from the memory."""
        found = self.family.batches(features, split, epoch)
        share = self.settings.replay
        if split != "train" or self.memory is None or not share:
            return found
        if not len(found.order):
            return found
        rows = self.family.replayed(dict(self.memory.rows), features, epoch)
        return mixed(found, rows, share, np.random.default_rng([self.seed, epoch]))


def continued(
    family: Trainable, features: Path, settings: ContinualSettings, seed: int
) -> Trainable:
    """`family` as it starts from the base in the features folder; itself, where there is none."""
    base = base_of(features)
    if base is not None and family.continues:
        return Continued(family, base, settings, seed)
    return family


def load_memory(base: Path | None) -> Memory | None:
    """The exemplars of a base folder; None where it has none."""
    if base is None or not (base / MEMORY).is_file():
        return None
    return Memory.load(base / MEMORY)


def grow(state: Batch, model: nn.Module) -> None:
    """Copies earlier weights into `model`, in place. Where a tensor has more rows (axis 0) now, for
    classes, users or items that were appended, the old values fill its first ones, and the others
    stay as they were initialized. The last row of tensors whose name holds the model's `last_stays`
    stands for no class, and stays the last.

    More along another axis would be another network, whose old values mean something else among the
    new ones.

    Raises:
        UsageError: a tensor that the other side lacks, or of a shape that is not the old one grown.
    """
    mine = model.state_dict()
    last_stays: str | None = getattr(model, "last_stays", None)
    if strange := sorted(mine.keys() ^ state.keys()):
        if strange[0] in mine:
            where = "is not in the base model"
        else:
            where = "has no place in this one"
        raise UsageError(f"continual.start: tensor {strange[0]!r} {where}. {_ADVICE}")
    with torch.no_grad():
        for name, value in mine.items():
            old = state[name]
            grown = (
                old.ndim == value.ndim
                and old.shape[1:] == value.shape[1:]
                and old.shape[:1] <= value.shape[:1]
            )
            if not grown:
                raise UsageError(
                    f"continual.start: tensor {name!r} is {tuple(old.shape)} in the base model, and "
                    f"{tuple(value.shape)} in this one. {_ADVICE}"
                )
            if not old.ndim:
                value.copy_(old)
            elif len(old) < len(value) and last_stays and last_stays in name:
                value[: len(old) - 1].copy_(old[:-1])
                value[-1].copy_(old[-1])
            else:
                value[: len(old)].copy_(old)


_ADVICE = "Give the section model the values that it had there, or start from scratch: --set continual.start=null"


def mixed(new: Batches, memory: Batch, share: float, rng: np.random.Generator) -> Batches:
    """Batches of which `share` are exemplars, each shown as often as any other (one time more or
    less).

    `memory` holds rows as `new.take` gives them.

    Raises:
        UsageError: they have other names, types or sizes than new examples.
    """
    _check_alike(new.take(new.order[:1]), memory)
    kept, fresh = len(next(iter(memory.values()))), len(new.order)
    # Of fresh + count examples, count are the share.
    count = int(fresh * share / (1 - share))
    turns = [rng.permutation(kept) for _ in range(math.ceil(count / kept))]
    # The empty array: of a small share no exemplar may be due.
    shown = np.concatenate([*turns, np.empty(0, np.int64)])[:count]

    # Evenly spaced, so that every batch has its share; then shuffled within batches, so that every
    # process has.
    total = fresh + count
    old = np.zeros(total, bool)
    old[np.arange(1, count + 1) * total // max(count, 1) - 1] = True
    order = np.empty(total, np.int64)
    order[old] = -1 - shown.astype(np.int64)
    order[~old] = new.order
    batch = np.arange(total) // new.size
    # Sorted by batch, and at random within one.
    order = order[np.lexsort((rng.random(total), batch))]
    return Batches(order, new.size, lambda rows: _take(new, memory, rows), new.least)


def check(family: Trainable, features: Path, settings: ContinualSettings) -> None:
    """Raises before training what `remember` would raise of a network after it."""
    if settings.choose != "herding":
        return
    new = family.batches(features, "train", 0)
    few = Batches(new.order[:2], 2, new.take)
    # A split without examples is the training's to refuse.
    if len(few.order):
        _features(family, family.model(features / "assets"), few, None)


def remember(
    family: Trainable, model: nn.Module, features: Path, settings: ContinualSettings, seed: int
) -> Memory:
    """The exemplars to keep of the training examples and of those that the base kept.

    `model` is trained; herding sees examples through it.

    Raises:
        UsageError: herding of a network without a linear layer, or of fewer exemplars than classes.
    """
    new, old = family.batches(features, "train", 0), load_memory(base_of(features))
    kept, before = 0, 0
    known: Batch = {}
    counts: dict[int, int] = {}
    if old is not None:
        _check_alike(new.take(new.order[:1]), old.rows)
        kept, before = len(old), old.total
        known, counts = old.rows, old.seen
    labels = _labels(family, new, old)
    seen = _counted(labels[kept:], counts)
    if settings.choose == "reservoir":
        rng = np.random.default_rng([seed, before])
        places = reservoir(settings.memory, kept, before, len(new.order), rng)
    else:
        places = _herded(_features(family, model, new, old), labels, seen, kept, settings.memory)
    # Places of exemplars are looked up too, and not used: they must only be valid.
    fresh = new.order[np.maximum(places - kept, 0)]
    rows = _take(new, known, np.where(places < kept, -1 - places, fresh))
    return Memory({name: tensor.detach().cpu() for name, tensor in rows.items()}, seen)


def _take(new: Batches, memory: Batch, rows: np.ndarray) -> Batch:
    """New examples by their numbers, exemplars by -1 - their place, in the order of `rows`."""
    old = rows < 0
    if not old.any():
        return new.take(rows)
    places = torch.from_numpy(-1 - rows[old])
    kept = {name: tensor[places] for name, tensor in memory.items()}
    if old.all():
        return kept
    fresh = new.take(rows[~old])
    # The order in which the two parts stand one after the other; its argsort puts each row back.
    wanted = np.concatenate([np.flatnonzero(old), np.flatnonzero(~old)])
    back = torch.from_numpy(np.argsort(wanted))
    return {name: torch.cat([kept[name], fresh[name]])[back] for name in fresh}


def _check_alike(new: Batch, memory: Batch) -> None:
    """Raises UsageError where exemplars are not what this training's examples are."""
    if strange := sorted(new.keys() ^ memory.keys()):
        raise UsageError(
            f"continual.start: its exemplars and this run's examples differ in {strange[0]!r}. {_ADVICE}"
        )
    for name, value in new.items():
        of = memory[name]
        if value.shape[1:] != of.shape[1:] or value.dtype != of.dtype:
            raise UsageError(
                f"continual.start: {name!r} of an exemplar is {of.dtype} {tuple(of.shape[1:])}, of this run's examples "
                f"{value.dtype} {tuple(value.shape[1:])}. {_ADVICE}"
            )


def _chunks(new: Batches, old: Memory | None) -> Iterator[Batch]:
    """All candidates, exemplars first, a few at a time."""
    if old is not None:
        for start in range(0, len(old), CHUNK):
            yield {name: tensor[start : start + CHUNK] for name, tensor in old.rows.items()}
    for start in range(0, len(new.order), CHUNK):
        yield new.take(new.order[start : start + CHUNK])


def _labels(family: Trainable, new: Batches, old: Memory | None) -> np.ndarray:
    """The group of every candidate, int64 (candidates,); 0 where the family has none."""
    count = len(new.order)
    if old is not None:
        count += len(old)
    found = []
    for batch in _chunks(new, old):
        groups = family.groups(batch)
        if groups is None:
            return np.zeros(count, np.int64)
        found.append(groups.cpu().numpy().astype(np.int64))
    return np.concatenate(found)


def _counted(labels: np.ndarray, before: dict[int, int]) -> dict[int, int]:
    """How many examples of each group were ever seen, `labels` after those of `before`."""
    seen = dict(before)
    groups, counts = np.unique(labels, return_counts=True)
    for group, count in zip(groups.tolist(), counts.tolist(), strict=True):
        seen[group] = seen.get(group, 0) + count
    return dict(sorted(seen.items()))


def _herded(
    features: np.ndarray, labels: np.ndarray, seen: dict[int, int], kept: int, capacity: int
) -> np.ndarray:
    """Places of the exemplars, as many of each group; an old one stands for its share of those
    seen before."""
    groups = np.unique(labels).tolist()
    if capacity < len(groups):
        raise UsageError(
            f"continual.memory = {capacity} is fewer than the {len(groups)} classes, of which herding keeps as many "
            f"each. Type: --set continual.memory={10 * len(groups)}"
        )
    places = []
    each, left = divmod(capacity, len(groups))
    for number, group in enumerate(groups):
        members = np.flatnonzero(labels == group)
        old = members < kept
        # What came before is the group's old exemplars', in equal parts.
        before = seen[group] - int((~old).sum())
        weights = np.where(old, before / max(int(old.sum()), 1), 1.0)
        # What is left over goes to the first groups.
        count = each + (number < left)
        places.append(members[herding(features[members], weights, count)])
    return np.concatenate(places)


@torch.no_grad()
def _features(family: Trainable, model: nn.Module, new: Batches, old: Memory | None) -> np.ndarray:
    """What the last linear layer is given of every candidate, float32 (candidates, width), means
    over further axes.

    Raises:
        UsageError: the network calls no linear layer on its examples.
    """
    device = next(model.parameters()).device
    found = []
    for batch in _chunks(new, old):
        on = {name: tensor.to(device) for name, tensor in batch.items()}
        calls = _linear_calls(family, model, on)
        # The last layer may be called several times: first with the examples themselves.
        given = [seen for layer, seen in calls if layer is calls[-1][0]]
        if not given or len(given[0]) != len(next(iter(batch.values()))):
            raise UsageError(
                "continual.choose = 'herding' compares what the last linear layer is given, and this network has none "
                "that is given its examples. Type: --set continual.choose=reservoir"
            )
        seen = given[0]
        if seen.ndim > 2:
            seen = seen.flatten(1, -2).mean(1)
        found.append(seen)
    return torch.cat(found).float().cpu().numpy()


def _linear_calls(
    family: Trainable, model: nn.Module, batch: Batch
) -> list[tuple[nn.Module, torch.Tensor]]:
    """The linear layers in the order in which the loss calls them, each with its input."""
    calls: list[tuple[nn.Module, torch.Tensor]] = []

    def hear(layer: nn.Module, given: tuple[Any, ...]) -> None:
        calls.append((layer, given[0].detach()))

    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    hooks = [layer.register_forward_pre_hook(hear) for layer in layers]
    try:
        family.loss(model.eval(), batch)
    finally:
        for hook in hooks:
            hook.remove()
    return calls
