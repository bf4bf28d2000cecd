"""Batches: interactions with drawn negatives, or what was shown with what came of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from modelyard.errors import BadData
from modelyard.families.recommender.catalog import Catalog
from modelyard.families.recommender.config import RecommenderConfig
from modelyard.families.recommender.data import load_impressions, load_split
from modelyard.families.recommender.earlier import load_fresh
from modelyard.family import Split
from modelyard.training.batches import Batches

Batch = dict[str, torch.Tensor]


def batches(config: RecommenderConfig, features: Path, split: Split, epoch: int) -> Batches:
    """The split's batches for `model.kind`, training in an order that follows from seed and
    epoch."""
    if config.model.kind == "multitask":
        return _impressions(config, features, split, epoch)
    return (
        _interactions(config, features, epoch)
        if split == "train"
        else _judged(config, features, split)
    )


def _interactions(config: RecommenderConfig, features: Path, epoch: int) -> Batches:
    """`user`, `item` int64 (batch,) and `negative` int64 (batch, negatives)."""
    catalog = Catalog.load(features / "assets")
    rng = np.random.default_rng([config.seed, epoch])
    rows = load_fresh(features, catalog)
    user, item = catalog.history_users[rows], catalog.history_items[rows]
    negative = draw_negatives(rng, catalog, user, config.model.drawn)
    order = rng.permutation(len(user))
    return Batches.of(
        {"user": user, "item": item, "negative": negative}, config.training.batch_size, order
    )


def replayed(config: RecommenderConfig, memory: Batch, features: Path, epoch: int) -> Batch:
    """Kept interactions with new negatives: the user may have had the old ones since."""
    catalog = Catalog.load(features / "assets")
    rng = np.random.default_rng([config.seed, epoch, len(memory["user"])])
    negative = draw_negatives(rng, catalog, memory["user"].numpy(), config.model.drawn)
    return memory | {"negative": torch.from_numpy(negative)}


def draw_negatives(
    rng: np.random.Generator, catalog: Catalog, user: np.ndarray, count: int
) -> np.ndarray:
    """Items drawn evenly, none that the user had in training, int64 (len(user), count).

    A user who had nearly everything may get one of their own after ten tries.
    """
    items = len(catalog.items)
    had = np.sort(catalog.history_users * items + catalog.history_items)
    drawn = rng.integers(0, items, (len(user), count))
    for _ in range(10):
        keys = user[:, None] * items + drawn
        wrong = had[np.searchsorted(had, keys).clip(max=len(had) - 1)] == keys
        if not wrong.any():
            break
        drawn[wrong] = rng.integers(0, items, int(wrong.sum()))
    return drawn


def _judged(config: RecommenderConfig, features: Path, split: Split) -> Batches:
    """`user`, `item` int64 (batch,) and `unseen` float32 (batch, items): all items but those
    had, and the one."""
    catalog = Catalog.load(features / "assets")
    users, items = load_split(features, split)

    def take(rows: np.ndarray) -> Batch:
        unseen = np.ones((len(rows), len(catalog.items)), np.float32)
        for place, row in enumerate(rows):
            unseen[place, catalog.history(users[row])] = 0
        unseen[np.arange(len(rows)), items[rows]] = 0
        arrays = {"user": users[rows], "item": items[rows], "unseen": unseen}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    return Batches(
        np.arange(len(users)),
        max(1, min(config.training.batch_size, 2**22 // len(catalog.items))),
        take,
    )


def _impressions(config: RecommenderConfig, features: Path, split: Split, epoch: int) -> Batches:
    """`user`, `item` int64 and `click`, `conversion`, `dwell` (log(1 + seconds)) float32,
    (batch,) each; and `negative` int64 (batch, negatives), drawn at random."""
    shown = load_impressions(features, split)
    missing = [name for name, values in (shown or {}).items() if np.isnan(values).all()]
    if shown is None or missing:
        raise BadData(
            f"model.kind=multitask needs the columns click, conversion and dwell; missing: "
            f"{', '.join(missing) or 'all three'}",
            hint="Type: --set model.kind=lightgcn",
        )
    shown["dwell"] = np.log1p(shown["dwell"])
    arrays = {name: np.nan_to_num(values) for name, values in shown.items()}
    rng = np.random.default_rng([config.seed, epoch if split == "train" else 0])
    catalog = Catalog.load(features / "assets")
    arrays["negative"] = draw_negatives(rng, catalog, arrays["user"], config.model.drawn)
    order = rng.permutation(len(arrays["user"]))
    return Batches.of(arrays, config.training.batch_size, order)
