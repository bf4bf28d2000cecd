"""The built-in data: simulated people with tastes, in a shop where what is popular is seen more."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

CATEGORIES = (
    "adventure",
    "biography",
    "cooking",
    "crime",
    "fantasy",
    "history",
    "humour",
    "nature",
    "philosophy",
    "poetry",
    "romance",
    "science",
    "sport",
    "theatre",
    "travel",
    "war",
)
TASTE, FASHION = 14.0, 0.8
"""Weight of a person's taste, and of an item's popularity, in what is chosen."""
NOISE = 0.3
"""How far an item stands from its category, and a person from the taste of the kind, in each
dimension."""
DIMENSIONS = 12
"""Of taste beside the category."""
LEAST, USUAL, MOST = 2, 6, 60
"""Interactions that a person has: log-normal around the usual."""
SHOWN = 1.5
"""Items shown and passed over, for each one clicked."""
MISSING = 0.1
"""Share of people who left a field out."""
START = 1_700_000_000
"""Seconds since 1970."""


@dataclass(frozen=True)
class World:
    """What is hidden behind the log."""

    category: np.ndarray
    """Of each item, int64 (items,)."""
    appeal: np.ndarray
    """Log-popularity of each item, float64 (items,)."""
    early: np.ndarray
    """How much each person likes each item at first, float64 (users, items)."""
    late: np.ndarray
    """The same in the end: tastes move."""
    length: np.ndarray
    """Log-seconds that each item takes beside the usual, float64 (items,)."""
    pace: np.ndarray
    """The same of each person, float64 (users,)."""
    thrift: np.ndarray
    """How unwilling each person is to buy, in logits, float64 (users,)."""
    loved: np.ndarray
    """The categories that each person likes, the first from the start, int64 (users, 2)."""


def write_sample(raw: Path, users: int, items: int, seed: int) -> None:
    """Writes `interactions.csv` (users × about 7 clicks and 11 passed over), `items.csv` and
    `users.csv` into `raw`."""
    rng = np.random.default_rng(seed)
    world = _world(rng, users, items)
    # What follows draws nothing from the numbers of the log.
    _write_lists(raw, world, np.random.default_rng([seed, 1]))
    rows: list[list[Any]] = []
    for user in range(users):
        rows += _events(rng, world, user)
    rows.sort(key=lambda row: row[3])
    with (raw / "interactions.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["userId", "itemId", "rating", "timestamp", "click", "conversion", "dwell"])
        writer.writerows(rows)


def _write_lists(raw: Path, world: World, rng: np.random.Generator) -> None:
    """Items with a category, whose books are of about a length each; people of an age and a club
    that go with what they like, or that they left out."""
    usual = rng.normal(5.5, 0.4, len(CATEGORIES))
    with (raw / "items.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["itemId", "title", "category", "pages"])
        for item, kind in enumerate(world.category):
            pages = round(np.exp(usual[kind] + rng.normal(0, 0.2)))
            title = f"{CATEGORIES[kind].capitalize()} {item + 1}"
            writer.writerow([item + 1, title, CATEGORIES[kind], pages])
    age = rng.uniform(20, 70, len(CATEGORIES))
    with (raw / "users.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["userId", "age", "club"])
        for user, (first, second) in enumerate(world.loved):
            years = round(age[first] + rng.normal(0, 8))
            # One of both tastes, or any other club.
            joined = (first, second, rng.integers(0, len(CATEGORIES)))
            club = CATEGORIES[joined[rng.integers(0, 3)]]
            cells = [user + 1, years, f"{club} club"]
            for place, is_left_out in enumerate(rng.random(2) < MISSING, start=1):
                if is_left_out:
                    cells[place] = ""
            writer.writerow(cells)


def _world(rng: np.random.Generator, users: int, items: int) -> World:
    category = rng.integers(0, len(CATEGORIES), items)
    centre = rng.normal(0, 1, (len(CATEGORIES), DIMENSIONS))
    item = centre[category] + rng.normal(0, NOISE, (items, DIMENSIONS))
    # Two tastes a person, the second of which grows in time.
    loved = np.argsort(rng.random((users, len(CATEGORIES))), axis=1)[:, :2]
    person = centre[loved] + rng.normal(0, NOISE, (users, 2, DIMENSIONS))
    liking = np.einsum("utd,id->uti", _unit(person), _unit(item))
    appeal = rng.normal(0, 1.0, items)
    early = np.maximum(liking[:, 0], liking[:, 1] - 0.6)
    late = np.maximum(liking[:, 0], liking[:, 1] - 0.2)
    habits = rng.normal(0, 0.4, items), rng.normal(0, 0.6, users), rng.normal(0, 1.2, users)
    return World(category, appeal, early, late, *habits, loved)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def _events(rng: np.random.Generator, world: World, user: int) -> list[list[Any]]:
    """One person's rows. Who likes an item more clicks it, stays longer and buys more often."""
    items = len(world.appeal)
    count = int(np.clip(rng.lognormal(np.log(USUAL), 0.6), LEAST, min(MOST, items // 3)))
    chosen = _choose(rng, world, user, count)
    passed = rng.poisson(SHOWN * count)
    weight = np.exp(FASHION * world.appeal)
    weight[chosen] = 0
    others = rng.choice(items, min(passed, items // 3), replace=False, p=weight / weight.sum())
    hours = np.sort(rng.uniform(0, 300 * 24, count)) + rng.uniform(0, 60 * 24)
    habit = world.length + world.pace[user]
    liked = (world.early + world.late)[user] / 2
    rows: list[list[Any]] = []
    for item, hour in zip(chosen, hours, strict=True):
        bought = rng.random() < 1 / (1 + np.exp(2.0 + world.thrift[user] - 2.0 * liked[item]))
        dwell = round(float(np.exp(3 + liked[item] + habit[item] + rng.normal(0, 0.5))), 1)
        stars = int(np.clip(round(3 + 2 * liked[item] + rng.normal(0, 0.7)), 1, 5))
        rows.append([user + 1, item + 1, stars, int(START + hour * 3600), 1, int(bought), dwell])
    for item in others:
        time = int(START + (rng.choice(hours) - rng.uniform(0, 2)) * 3600)
        rows.append([user + 1, item + 1, "", time, 0, 0, 0])
    return rows


def _choose(rng: np.random.Generator, world: World, user: int, count: int) -> np.ndarray:
    """Items in the order of time: drawn without replacement (Plackett-Luce by Gumbel noise),
    half of them by the early taste and half by the late one."""
    first = _draw(rng, TASTE * world.early[user] + FASHION * world.appeal, count // 2)
    late = TASTE * world.late[user] + FASHION * world.appeal
    late[first] = -np.inf
    return np.concatenate([first, _draw(rng, late, count - count // 2)])


def _draw(rng: np.random.Generator, utility: np.ndarray, count: int) -> np.ndarray:
    return rng.permutation(np.argsort(-(utility + rng.gumbel(size=len(utility))))[:count])
