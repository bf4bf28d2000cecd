"""How a host scores items by the graphs of each kind, with numpy only."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.families.recommender.catalog import Catalog
from modelyard.families.recommender.requests import Asked
from modelyard.kit.arrays import load_named
from modelyard.runtimes.types import Arrays, Runtime

CHUNK = 32
"""Requests that go through the attention graph at once: what bounds its memory."""


class Scorer(ABC):
    """Scores items for requests that rest on something."""

    explains = "item likeness"
    """What `Explanation.method` says."""
    takes_profiles = False
    """Whether a request's profile changes an answer that rests on interactions."""

    def __init__(self, assets: Path, catalog: Catalog, settings: Mapping[str, Any]) -> None:
        self.catalog = catalog

    @abstractmethod
    def outputs(self, run: Runtime, asked: Sequence[Asked]) -> Arrays:
        """What the graph says of each request and item, (requests, items); -inf in `score` where
        an item was not looked at."""


class Catalogue(Scorer):
    """The graphs score the whole catalogue: for a user of the training data, for a list of items,
    or for what columns say of a user."""

    def outputs(self, run: Runtime, asked: Sequence[Asked]) -> Arrays:
        """Heads by name; `asked` has one source."""
        if asked[0].source == "personal":
            users = [request.user for request in asked]
            return run("personal", {"user": np.array(users, np.int64)})
        if asked[0].source == "profile":
            return run("profile", profiles(asked))
        return run("history", {"items": padded([request.history for request in asked])})


class Ordered(Scorer):
    """Kinds that read a user's history: of a user of the training data their own, with what the
    request adds."""

    takes_profiles = True

    def __init__(self, assets: Path, catalog: Catalog, settings: Mapping[str, Any]) -> None:
        super().__init__(assets, catalog, settings)
        self.length: int = settings["length"]
        self.arrays: Arrays = load_named(Path(assets) / "retrieval.npz")

    def history(self, asked: Asked) -> list[int]:
        """The last items that the user had, oldest first, at most `length`."""
        had: list[int] = []
        if asked.user is not None:
            had = self.catalog.had(asked.user).tolist()
        known = set(had)
        had += [item for item in asked.history if item not in known]
        return had[-self.length :]


class Sequenced(Ordered):
    """A taste from the graph, its dot product with every item's vector."""

    def outputs(self, run: Runtime, asked: Sequence[Asked]) -> Arrays:
        """`score`."""
        items = padded([self.history(request) for request in asked])
        taste = run("taste", {"items": items, **profiles(asked)})["taste"]
        return {"score": taste @ self.arrays["items"].T}


class Attended(Ordered):
    """Candidates by the mean of the history; the graph scores these only."""

    explains = "attention"

    def __init__(self, assets: Path, catalog: Catalog, settings: Mapping[str, Any]) -> None:
        super().__init__(assets, catalog, settings)
        self.most: int = settings["candidates"]

    def outputs(self, run: Runtime, asked: Sequence[Asked]) -> Arrays:
        """`score`, -inf for what is no candidate."""
        score = np.full((len(asked), len(self.catalog.items)), -np.inf, np.float32)
        for start in range(0, len(asked), CHUNK):
            part = asked[start : start + CHUNK]
            newest = padded([self.history(request)[::-1] for request in part])
            candidates = np.stack([self.candidates(request) for request in part])
            arrays = {"items": newest, "candidates": candidates, **profiles(part)}
            found = run("attention", arrays)["score"]
            rows = np.arange(start, start + len(part))[:, None]
            score[rows, candidates] = found
        return {"score": score}

    def candidates(self, asked: Asked) -> np.ndarray:
        """The items nearest to the mean of the history, int64 (candidates,): as many for every
        request, and those that must not be in the answer last."""
        mean = np.zeros_like(self.arrays["past"][0])
        if history := self.history(asked):
            mean = self.arrays["past"][history].mean(0)
        if asked.profile is not None:
            mean = mean + asked.profile @ self.arrays["profile"] + self.arrays["nobody"]
        nearness = self.arrays["items"] @ mean + self.arrays["bias"]
        nearness[asked.hidden] = -np.inf
        count = min(self.most, len(nearness))
        nearest = np.argpartition(-nearness, count - 1)[:count]
        # In the order of the catalogue, so that ties are broken as where all items are scored.
        return np.sort(nearest)

    def weights(self, run: Runtime, asked: Asked, item: int) -> dict[int, float]:
        """How much each item of the history weighs for `item`."""
        newest = self.history(asked)[::-1]
        arrays = {"items": padded([newest]), "candidates": np.array([[item]], np.int64)}
        weights = run("attention", {**arrays, **profiles([asked])})["attention"][0, 0]
        return dict(zip(newest, weights.tolist(), strict=True))


class Linear(Scorer):
    """The sum of what each item that a user had says of every other."""

    explains = "item weights"

    def outputs(self, run: Runtime, asked: Sequence[Asked]) -> Arrays:
        """`score`."""
        histories = [self.history(request) for request in asked]
        return run("linear", {"had": marked(histories, len(self.catalog.items))})

    def history(self, asked: Asked) -> list[int]:
        """All that the user had, with what the request adds, each once."""
        had: list[int] = []
        if asked.user is not None:
            had = self.catalog.had(asked.user).tolist()
        return list(dict.fromkeys([*had, *asked.history]))

    def weights(self, run: Runtime, asked: Asked, item: int) -> dict[int, float]:
        """How much each item of the history adds to the score of `item`."""
        history = self.history(asked)
        alone = marked([[had] for had in history], len(self.catalog.items))
        added = run("linear", {"had": alone})["score"][:, item]
        return dict(zip(history, added.tolist(), strict=True))


SCORERS: Mapping[str, type[Scorer]] = {
    "catalogue": Catalogue,
    "sequence": Sequenced,
    "attention": Attended,
    "linear": Linear,
}


def load_scorer(assets: Path, catalog: Catalog) -> Scorer:
    """The scorer of a trained model."""
    model = json.loads((Path(assets) / "model.json").read_text())
    # Packages of earlier versions have no such entry: their kinds all scored the catalogue.
    scorer = SCORERS[model.get("scorer", "catalogue")]
    return scorer(assets, catalog, model["settings"])


def profiles(asked: Sequence[Asked]) -> Arrays:
    """What columns say of the users, `profile` float32 (requests, outputs); none, where the model
    takes none."""
    rows = [request.profile for request in asked if request.profile is not None]
    if rows:
        return {"profile": np.stack(rows)}
    return {}


def padded(lists: Sequence[Sequence[int]]) -> np.ndarray:
    """Lists as rows, -1 where one has ended, int64 (lists, longest); at least one column."""
    rows = np.full((len(lists), max(1, *(len(items) for items in lists))), -1, np.int64)
    for row, one in zip(rows, lists, strict=True):
        row[: len(one)] = one
    return rows


def marked(lists: Sequence[Sequence[int]], items: int) -> np.ndarray:
    """Lists of items, -1 where one has ended, as rows of 1 for those that are in them, float32
    (lists, items)."""
    rows = np.zeros((len(lists), items), np.float32)
    for row, one in zip(rows, lists, strict=True):
        row[[item for item in one if item >= 0]] = 1
    return rows
