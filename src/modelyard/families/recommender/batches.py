"""Batches: interactions with drawn negatives, or what was shown with what came of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from modelyard.families.recommender.catalog import Catalog
from modelyard.families.recommender.config import USUAL, RecommenderConfig
from modelyard.families.recommender.data import load_impressions, load_split
from modelyard.families.recommender.earlier import load_fresh
from modelyard.families.recommender.naming import LABELS, without_labels
from modelyard.family import Split
from modelyard.training.batches import Batches

Batch = dict[str, torch.Tensor]

Make = Callable[[RecommenderConfig, Path, Split, int], Batches]
"""The batches of a split in an epoch, of training in an order that follows from seed and epoch."""

MOST_JUDGED = 2**22
"""Scores that a batch of left-out items holds at most, of all items for each."""
JUDGED_AGAINST = 32
"""Items drawn for each left-out one when din and sequence are judged while they train: scoring the
whole catalogue for each would cost more than the training."""


def interactions(config: RecommenderConfig, features: Path, split: Split, epoch: int) -> Batches:
    """Interactions with drawn negatives; on the other splits left-out ones with all items."""
    if split == "train":
        return _interactions(config, features, epoch)
    return _judged(config, features, split)


def _interactions(config: RecommenderConfig, features: Path, epoch: int) -> Batches:
    """`user`, `item` int64 (batch,) and `negative` int64 (batch, negatives)."""
    catalog = _catalog(config, features)
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
    catalog = _catalog(config, features)
    rng = np.random.default_rng([config.seed, epoch, len(memory["user"])])
    negative = draw_negatives(rng, catalog, memory["user"].numpy(), config.model.drawn)
    changed = {"negative": torch.from_numpy(negative)}
    if "click" in memory:
        changed["after"] = torch.from_numpy(_after_click(memory["click"].numpy()))
    return memory | changed


def _catalog(config: RecommenderConfig, features: Path) -> Catalog:
    catalog = Catalog.load(features / "assets")
    if USUAL[config.model.kind].columns:
        return catalog
    return catalog.without_columns()


def draw_negatives(
    rng: np.random.Generator, catalog: Catalog, user: np.ndarray, count: int
) -> np.ndarray:
    """Items drawn evenly, none that the user had in training, int64 (len(user), count).

    A user who had nearly everything may get one of their own after ten tries. Where columns say
    whom items suit, those that nobody had in training are not drawn: they are unknown, not unliked.
    """
    items = len(catalog.items)
    pool = np.flatnonzero(catalog.learnable)
    if catalog.item_side is not None:
        pool = np.flatnonzero(catalog.popularity)
    # A pair of a user and an item as one number, so that one sorted search answers for all.
    had = np.sort(catalog.history_users * items + catalog.history_items)
    drawn = pool[rng.integers(0, len(pool), (len(user), count))]
    for _ in range(10):
        keys = user[:, None] * items + drawn
        # A pair behind all that are known is compared with the last of them, and differs from it.
        places = np.searchsorted(had, keys).clip(max=len(had) - 1)
        wrong = had[places] == keys
        if not wrong.any():
            break
        drawn[wrong] = pool[rng.integers(0, len(pool), int(wrong.sum()))]
    return drawn


def _judged(config: RecommenderConfig, features: Path, split: Split) -> Batches:
    """`user`, `item` int64 (batch,) and `unseen` float32 (batch, items): all items but those
    had, and the one."""
    catalog = _catalog(config, features)
    users, items = load_split(features, split)

    def take(rows: np.ndarray) -> Batch:
        unseen = np.ones((len(rows), len(catalog.items)), np.float32)
        for place, row in enumerate(rows):
            unseen[place, catalog.history(users[row])] = 0
        unseen[np.arange(len(rows)), items[rows]] = 0
        arrays = {"user": users[rows], "item": items[rows], "unseen": unseen}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    most = max(1, MOST_JUDGED // len(catalog.items))
    return Batches(np.arange(len(users)), min(config.training.batch_size, most), take)


def impressions(config: RecommenderConfig, features: Path, split: Split, epoch: int) -> Batches:
    """`user`, `item` int64 and `click`, `conversion`, `dwell` (log(1 + seconds), NaN where none is
    known), `after` (how much the row counts for what follows a click) float32, (batch,) each; and
    `negative` int64 (batch, negatives), drawn at random."""
    shown = load_impressions(features, split)
    if shown is None:
        raise without_labels(list(LABELS))
    missing = [name for name in LABELS if np.isnan(shown[name]).all()]
    if missing:
        raise without_labels(missing)
    # An empty cell is no click and no conversion; no time is not a time of 0 seconds.
    shown["click"] = np.nan_to_num(shown["click"])
    shown["conversion"] = np.nan_to_num(shown["conversion"])
    shown["dwell"] = np.log1p(shown["dwell"])
    if split == "train":
        rng = np.random.default_rng([config.seed, epoch])
    else:
        rng = np.random.default_rng([config.seed, 0])
    catalog = _catalog(config, features)
    shown["negative"] = draw_negatives(rng, catalog, shown["user"], config.model.drawn)
    shown["after"] = _after_click(shown["click"])
    order = rng.permutation(len(shown["user"]))
    return Batches.of(shown, config.training.batch_size, order)


def _after_click(click: np.ndarray) -> np.ndarray:
    """Weights with which a mean over shown rows is one over the clicked ones, float32 (rows,): of
    the whole split, so that processes which share a batch have the loss of the batch."""
    if not len(click):
        return click.astype(np.float32)
    share = float(click.mean())
    return np.asarray(click / max(share, 1e-6), np.float32)


def ordered_interactions(
    config: RecommenderConfig, features: Path, split: Split, epoch: int
) -> Batches:
    """`user`, `item` int64 (batch,), `negative` int64 (batch, negatives), and `items` int64 (batch,
    length): what the user had before the item, newest first, -1 where the list has ended."""
    catalog = _catalog(config, features)
    length = config.model.length
    ends, users, target = _places(features, split, catalog)
    rng, count = _drawing(config, split, epoch)
    negative = draw_negatives(rng, catalog, users, count)
    starts = (catalog.history_ends - catalog.lengths)[users]

    def take(rows: np.ndarray) -> Batch:
        places = ends[rows, None] - 1 - np.arange(length)
        there = places >= starts[rows, None]
        items = np.where(there, catalog.history_items[places.clip(min=0)], -1)
        arrays = {
            "user": users[rows],
            "item": target[rows],
            "negative": negative[rows],
            "items": items,
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    order = np.arange(len(users))
    if split == "train":
        return Batches(rng.permutation(order), config.training.batch_size, take)
    # As many pairs of a user and an item as in a batch of training.
    size = config.training.batch_size * (1 + config.model.drawn) // (1 + count)
    return Batches(order, max(1, size), take)


def windows(config: RecommenderConfig, features: Path, split: Split, epoch: int) -> Batches:
    """`user` int64 (batch,), `target` int64 (batch, length + 1): a stretch of the user's history,
    oldest first, -1 where it has ended; `counted` float32, the same shape: 1 where the next item is
    learned; `negative` int64 (batch, negatives).

    On the other splits a stretch ends with the left-out item, and only this one counts.
    """
    catalog = _catalog(config, features)
    width = config.model.length + 1
    rng, count = _drawing(config, split, epoch)
    if split == "train":
        found = _stretches(catalog, width, load_fresh(features, catalog))
    else:
        found = _left_out(catalog, width, *load_split(features, split))
    users, target, counted = found
    negative = draw_negatives(rng, catalog, users, count)
    arrays = {"user": users, "target": target, "counted": counted, "negative": negative}
    order = np.arange(len(users))
    if split == "train":
        order = rng.permutation(order)
    # `batch_size` counts interactions.
    each = max(1.0, counted.sum() / max(1, len(users)))
    return Batches.of(arrays, max(1, round(config.training.batch_size / each)), order)


def _drawing(
    config: RecommenderConfig, split: Split, epoch: int
) -> tuple[np.random.Generator, int]:
    """What draws negatives and how many; the same each time on splits that are judged."""
    if split == "train":
        return np.random.default_rng([config.seed, epoch]), config.model.drawn
    return np.random.default_rng([config.seed, 0]), JUDGED_AGAINST


def _places(
    features: Path, split: Split, catalog: Catalog
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the history before each item ends in the catalogue's, the user and the item, int64
    (items,) each."""
    if split == "train":
        rows = load_fresh(features, catalog)
        return rows, catalog.history_users[rows], catalog.history_items[rows]
    users, target = load_split(features, split)
    return catalog.history_ends[users], users, target


def _stretches(
    catalog: Catalog, width: int, fresh: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users, stretches of at most `width` items and which items count: each `fresh` one once.

    A history longer than a stretch is cut into several that overlap by half, so that all but its
    first items are learned with some of those before them.
    """
    new = np.zeros(len(catalog.history_items), bool)
    new[fresh] = True
    users, begins, ends, counts = [], [], [], []
    lengths = zip(catalog.history_ends.tolist(), catalog.lengths.tolist(), strict=True)
    for user, (end, length) in enumerate(lengths):
        first = end - length
        # Stretches end at these places, the latest first; the earliest one begins with the history.
        stops = [*range(end, first + width, -max(1, width // 2)), min(end, first + width)]
        # In each only what comes behind the end of the one before counts.
        befores = [*stops[1:], first]
        for stop, before in zip(stops, befores, strict=True):
            if new[before:stop].any():
                users.append(user)
                begins.append(max(first, stop - width))
                ends.append(stop)
                counts.append(before)
    begin = np.array(begins, np.int64)[:, None]
    end_of = np.array(ends, np.int64)[:, None]
    counts_from = np.array(counts, np.int64)[:, None]
    places = begin + np.arange(width)
    there = places < end_of
    # Behind the end any place will do: it is overwritten by -1.
    places = np.where(there, places, 0)
    target = np.where(there, catalog.history_items[places], -1)
    counted = there & new[places] & (places >= counts_from)
    return np.array(users, np.int64), target, counted.astype(np.float32)


def _left_out(
    catalog: Catalog, width: int, users: np.ndarray, items: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `_stretches`, the last items of each history and the left-out one, which counts."""
    target = np.full((len(users), width), -1, np.int64)
    counted = np.zeros((len(users), width), np.float32)
    for row, (user, item) in enumerate(zip(users.tolist(), items.tolist(), strict=True)):
        history = np.append(catalog.history(user), item)[-width:]
        target[row, : len(history)] = history
        counted[row, len(history) - 1] = 1
    return users, target, counted
