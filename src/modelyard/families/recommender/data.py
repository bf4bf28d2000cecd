"""From a log of interactions to splits: each user's last interaction is the test, the one before
the validation.

assets/                              see catalog.py; from the training interactions only
profiles.parquet                     columns of the users as they came, where the kind takes them
validation.npz test.npz              users, items: int64 (judged users,), one left-out interaction each
impressions_<split>.npz              user, item, click, conversion, dwell: what was shown, where the log tells
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.errors import BadData
from modelyard.families.recommender.catalog import COLUMNS, Catalog, Item, by_user
from modelyard.families.recommender.cleaning import (
    Interactions,
    check_size,
    clean,
    divide,
    positives,
)
from modelyard.families.recommender.config import USUAL, RecommenderConfig
from modelyard.families.recommender.earlier import earlier_catalog, merged, save_fresh
from modelyard.families.recommender.lists import Lists, read_lists
from modelyard.families.recommender.naming import LABELS, without_labels
from modelyard.families.recommender.numbering import from_number, number_listed, numbering
from modelyard.families.recommender.profiles import ITEMS, USERS, Side
from modelyard.families.recommender.read import Log, read_log
from modelyard.families.recommender.requests import MOST_IDS
from modelyard.families.recommender.sample import write_sample
from modelyard.families.recommender.side import SideReport, write_side
from modelyard.families.recommender.summary import summary
from modelyard.family import Data, Split
from modelyard.kit.arrays import load_named
from modelyard.kit.columns.frames import bodies
from modelyard.kit.tables import is_quickly_read, remarks
from modelyard.store.base import base_of

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
PROFILES = "profiles.parquet"
"""In a features folder: columns of the users, in the order of the catalogue."""
ANSWERS = 10
"""Items that a request of `bodies` asks for."""


class RecommenderData(Data[RecommenderConfig]):
    """From a log of interactions to each user's history and the items left out of it."""

    def sample(self, raw: Path) -> None:
        """Writes `interactions.csv`, `items.csv` and `users.csv`."""
        settings = self.config.features
        write_sample(raw, settings.sample_users, settings.sample_items, self.config.seed)

    def check(self, data: Path) -> None:
        """Reads the log and the list of items, and looks for the columns that the kind needs."""
        if not is_quickly_read(data):
            return
        log = read_log(data, self.config.features)
        read_lists(data, self.config.features)
        self._check_kind(log)

    def _check_kind(self, log: Log) -> None:
        """Refuses a log that lacks what the kind learns.

        Raises:
            BadData: with the kind to type.
        """
        kind = self.config.model.kind
        missing = [name for name in LABELS if name not in log.labels]
        if kind == "multitask" and missing:
            raise without_labels(missing)
        ordered = "timestamp" in log.columns or self.config.features.in_order
        if kind == "sequence" and not ordered:
            problem = "model.kind=sequence learns what follows what, and the log has no times"
            hint = "Type: --set model.kind=lightgcn; where rows are in the order of time: "
            hint += "--set features.in_order=true"
            raise BadData(problem, file=log.file, hint=hint)

    def features(self, raw: Path, out: Path) -> dict[str, Any]:
        """Reads, cleans, divides; writes splits and assets. Returns what the card tells.

        Users and items of an earlier model that the run continues come first, and what it was
        trained on is part of the histories, not of the training interactions.

        Raises:
            BadData: with file, row and column.
        """
        settings, base = self.config.features, base_of(out)
        earlier = None
        if base is not None:
            earlier = earlier_catalog(base, self.config.model)
        log = read_log(raw, settings)
        self._check_kind(log)
        lists = read_lists(raw, settings)
        shown, dropped = clean(log, settings)
        had, dropped = positives(shown, settings, dropped, earlier)
        check_size(had, settings)
        split = divide(had, settings.least_interactions)
        numbers = numbering(had.log, had.user, had.item, earlier)
        catalog = _catalog(had, split, numbers, lists, earlier, self._recommendable(log, lists))
        catalog.save(out / "assets")
        (out / "assets" / COLUMNS).write_text(json.dumps({"user": log.columns["user"]}) + "\n")
        report = self._columns(out, log, lists, catalog, earlier)
        if earlier is not None:
            save_fresh(earlier, catalog, out)
        rows = _write_splits(out, had, split, numbers, self.config.seed)
        if log.labels:
            _write_impressions(out, shown, had, split, numbers)
        columns = "items" in report.columns
        found = summary(catalog, had, split, rows, dropped, len(shown.rows), lists.titles, columns)
        read = [*log.notes, *lists.notes]
        found["notes"] += [*report.notes, *read, *_untimed(shown)]
        found["left_out"] += report.left_out
        found["tables"] += report.tables
        found["headline"] += report.headline
        if "timestamp" not in log.columns:
            found["headline"] += "; no times: "
            if settings.in_order:
                found["headline"] += "rows are in their order (features.in_order)"
            else:
                found["headline"] += "what is left out of a history is drawn"
        found["headline"] += remarks(read)
        return found

    def requests(
        self, features: Path, split: Split, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """What a caller sends: on validation the user, on test also the item had since, which is
        the validation's.

        On train a stranger with the user's items but the last: a user's training items are never
        recommended to them.
        """
        catalog = Catalog.load(features / "assets")
        users, _ = load_split(features, split)
        names = [item.id for item in catalog.items]
        before = {}
        if split == "test":
            before = dict(zip(*load_split(features, "validation"), strict=True))
        profiles = []
        if catalog.user_side is not None and USUAL[self.config.model.kind].columns:
            profiles = bodies(Path(features) / PROFILES, catalog.user_side.schema, None)
        found: list[dict[str, Any]] = []
        for user in users[:limit].tolist():
            body: dict[str, Any] = {"k": ANSWERS}
            if split == "train":
                newest = catalog.history(user)[:-1][-MOST_IDS:]
                body["history"] = [names[item] for item in newest]
            else:
                body["user"] = catalog.users[user]
            if before:
                body["history"] = [names[before[user]]]
            if profiles:
                body["profile"] = profiles[user]
            found.append(body)
        return found

    def _recommendable(self, log: Log, lists: Lists) -> list[str]:
        """Items of the list that may be recommended though nobody had them: by what their columns
        say."""
        has_columns = "item" in lists.sides or "item" in log.sides
        if not self.config.features.columns or not has_columns:
            return []
        if self.config.features.core == 1:
            return list(lists.titles)
        # Whom a k-core leaves out stays out.
        left_out = set(log.items)
        return [name for name in lists.titles if name not in left_out]

    def _columns(
        self, out: Path, log: Log, lists: Lists, catalog: Catalog, earlier: Catalog | None
    ) -> SideReport:
        """Writes what the columns of users and items say. For each kind of model: the stage does not
        know it."""
        report = SideReport()
        items = [item.id for item in catalog.items]
        for side, folder, ids in (("user", USERS, catalog.users), ("item", ITEMS, items)):
            listings = [part[side] for part in (lists.sides, log.sides) if side in part]
            before: Side | None = None
            if earlier is not None:
                before = getattr(earlier, f"{side}_side")
            # A network that was built without columns has no inputs for any.
            takes_none = earlier is not None and before is None
            if takes_none or not self.config.features.columns:
                report.unused(f"{side}s", listings, earlier is not None)
            elif listings or before is not None:
                frame = write_side(
                    out / "assets" / folder, listings, ids, self.config.features, before, report
                )
                if side == "user" and frame is not None:
                    frame.to_parquet(out / PROFILES, index=False)
        if report.columns:
            report.notes.append(
                "Columns go into multitask, din and sequence; the other kinds take none."
            )
        return report


def load_split(features: Path, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Judged users and the item left out of each one's history, int64 (users,) each.

    On train the last training item of the users that have two or more.
    """
    name = "validation" if split == "train" else split
    arrays = load_named(Path(features) / f"{name}.npz")
    users, items = arrays["users"], arrays["items"]
    if split != "train":
        return users, items
    catalog = Catalog.load(Path(features) / "assets")
    users = users[catalog.lengths[users] > 1]
    return users, catalog.history_items[catalog.history_ends[users] - 1]


def load_impressions(features: Path, split: Split) -> dict[str, np.ndarray] | None:
    """What was shown: `user`, `item` int64 and `click`, `conversion`, `dwell` (seconds) float32,
    (rows,) each.

    NaN where the log has no value; None where it has no such columns.
    """
    file = Path(features) / f"impressions_{split}.npz"
    if not file.is_file():
        return None
    return load_named(file)


def _catalog(
    had: Interactions,
    split: np.ndarray,
    numbers: tuple[np.ndarray, np.ndarray],
    lists: Lists,
    earlier: Catalog | None,
    recommendable: list[str],
) -> Catalog:
    user_numbers, item_numbers = numbers
    earlier_users, earlier_items = [], []
    if earlier is not None:
        earlier_users, earlier_items = earlier.users, earlier.items
    others = number_listed(had.log, item_numbers, recommendable, earlier)
    new_users = from_number(had.log.users, user_numbers, len(earlier_users))
    new_items = from_number(had.log.items, item_numbers, len(earlier_items))
    users = [*earlier_users, *new_users]
    items = list(earlier_items)
    for name in [*new_items, *others]:
        items.append(lists.titles.get(name, Item(name)))
    # Somebody had it now, or in the training of the earlier model.
    had_by_anyone = set(item_numbers[had.item].tolist())
    for number, known in enumerate(earlier_items):
        if not known.listed:
            had_by_anyone.add(number)
    for number, entry in enumerate(items):
        items[number] = replace(entry, listed=number not in had_by_anyone)
    train = split == 0
    user, item = user_numbers[had.user[train]], item_numbers[had.item[train]]
    # Numbers are not in the order of the log's users, by which the rows are sorted.
    item = item[np.argsort(user, kind="stable")]
    later = np.stack([user_numbers[had.user[~train]], item_numbers[had.item[~train]]], axis=1)
    catalog = Catalog(
        users,
        items,
        item.astype(np.int64),
        np.cumsum(np.bincount(user, minlength=len(users))),
        np.bincount(item, minlength=len(items)),
        later=by_user(later),
    )
    if earlier is None:
        return catalog
    return merged(earlier, catalog)


def _untimed(shown: Interactions) -> list[str]:
    """A sentence on clicks without a time, where the log has times."""
    labels = shown.log.labels
    if "click" not in labels or "dwell" not in labels:
        return []
    clicked = labels["click"][shown.rows] == 1
    count = int((clicked & np.isnan(labels["dwell"][shown.rows])).sum())
    if not count or count == clicked.sum():
        return []
    return [f"{count:,} clicked rows have no dwell time: it is learnt and judged on the others."]


def _write_splits(
    out: Path,
    had: Interactions,
    split: np.ndarray,
    numbers: tuple[np.ndarray, np.ndarray],
    seed: int,
) -> dict[str, int]:
    """One left-out interaction a judged user, in a random order: the first so many are then a
    fair sample."""
    judged = int((split == 2).sum())
    order = np.random.default_rng(seed).permutation(judged)
    for index in (1, 2):
        # Each judged user has one row in both, in the same order.
        mask = split == index
        users, items = numbers[0][had.user[mask]][order], numbers[1][had.item[mask]][order]
        np.savez(out / f"{SPLITS[index]}.npz", users=users, items=items)
    return {"train": int((split == 0).sum()), "validation": judged, "test": judged}


def _write_impressions(
    out: Path,
    shown: Interactions,
    had: Interactions,
    split: np.ndarray,
    numbers: tuple[np.ndarray, np.ndarray],
) -> None:
    """All that was shown, divided at each user's left-out interactions: what came later was not
    known before."""
    rank = np.empty(len(shown.log.time), dtype=np.int64)
    rank[shown.rows] = np.arange(len(shown.rows))
    ends = np.full((len(shown.log.users), 2), len(rank))
    for index in (0, 1):
        mask = (split == index) & np.isin(had.user, had.user[split == 2])
        # Rows are sorted by time, so the last assignment is the last interaction of that split.
        ends[had.user[mask], index] = rank[had.rows[mask]]
    user, item = numbers[0][shown.user], numbers[1][shown.item]
    place = np.arange(len(shown.rows))
    # 0 up to a user's last training interaction, 1 up to the validation's, 2 after it.
    part = (place > ends[shown.user, 0]).astype(int) + (place > ends[shown.user, 1])
    labels = {}
    for label in LABELS:
        if label in shown.log.labels:
            labels[label] = shown.log.labels[label][shown.rows].astype(np.float32)
        else:
            labels[label] = np.full(len(shown.rows), np.nan, np.float32)
    for index, name in enumerate(SPLITS):
        # Users and items that a k-core left out have no number.
        mask = (part == index) & (user >= 0) & (item >= 0)
        own = {label: values[mask] for label, values in labels.items()}
        np.savez(out / f"impressions_{name}.npz", user=user[mask], item=item[mask], **own)
