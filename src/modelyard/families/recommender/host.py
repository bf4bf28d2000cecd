"""The half that answers: numpy and a runtime only."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel

from modelyard.families.recommender.catalog import COLUMNS, Catalog
from modelyard.families.recommender.profiles import Profiles
from modelyard.families.recommender.requests import (
    Answer,
    Asked,
    Query,
    Recommendation,
    Source,
    query_with,
)
from modelyard.families.recommender.scoring import Attended, Linear, Scorer, load_scorer
from modelyard.host import Caution, Explanation, Host
from modelyard.runtimes.types import Arrays, Runtime

REASONS = 10
"""Items of the history that an explanation names at most."""


class RecommenderHost(Host):
    """Ranks the whole catalogue for each request; says on what the ranking rests."""

    Request, Response = Query, Answer
    sensitive: ClassVar[frozenset[str]] = frozenset({"user", "history", "exclude", "profile"})

    def __init__(self, assets: Path) -> None:
        super().__init__(assets)
        self.catalog = Catalog.load(self.assets)
        side = self.catalog.user_side
        self.profiles = Profiles(side) if side is not None else None
        if self.profiles is not None:
            self.Request = query_with(self.profiles.Request)

    def judging(self) -> RecommenderHost:
        """The same without what users had after training: hidden from an answer, it could not be
        found."""
        if not len(self.catalog.later):
            return self
        other = copy.copy(self)
        other.catalog = self.catalog.trained()
        other.__dict__.pop("scorer", None)
        return other

    @cached_property
    def rank_by(self) -> str | None:
        """Of a model with three heads what comes first; None for a model with one score."""
        found: str | None = json.loads((self.assets / "model.json").read_text()).get("rank_by")
        return found

    @cached_property
    def scorer(self) -> Scorer:
        """How items are scored."""
        return load_scorer(self.assets, self.catalog)

    @cached_property
    def _untold(self) -> np.ndarray:
        """Items that the model cannot tell from others, int64: never recommended."""
        return np.flatnonzero(~self.catalog.learnable)

    @cached_property
    def item_vectors(self) -> np.ndarray:
        """float32 (items, dimensions), of length 1."""
        vectors: np.ndarray = np.load(self.assets / "item_vectors.npy", allow_pickle=False)
        return vectors

    def predict(self, run: Runtime, requests: Sequence[BaseModel]) -> list[BaseModel]:
        """The k best items of each request."""
        asked = [self.resolve(request) for request in requests]
        answers: list[Answer | None] = [None] * len(asked)
        # One run of a graph for all requests that rest on the same.
        by_source: dict[Source, list[int]] = {}
        for place, request in enumerate(asked):
            by_source.setdefault(request.source, []).append(place)
        for source, places in by_source.items():
            outputs = self._outputs(run, source, [asked[place] for place in places])
            scores = self.scores(outputs)
            for row, place in enumerate(places):
                answer = self._answer(asked[place], scores[row], _row(outputs, row))
                answer.warnings = self._cautions(requests[place], asked[place])
                answers[place] = answer
        return [answer for answer in answers if answer is not None]

    def read_file(self, file: Path) -> list[dict[str, Any]] | None:
        """Rows of a table or JSON rows whose column of users is called as in training."""
        from modelyard.families.recommender.bodies import read_bodies

        # Packages of earlier versions have no such file.
        names = self.assets / COLUMNS
        if names.is_file():
            own = json.loads(names.read_text())["user"]
        else:
            own = "user"
        return read_bodies(file, set(self.Request.model_fields), own)

    def describe(self, request: BaseModel, response: BaseModel) -> dict[str, float | str | None]:
        """What drift is looked for in: who asks, on what the answer rests, and what it is like."""
        assert isinstance(request, Query)
        assert isinstance(response, Answer)
        asked = self.resolve(request)
        if asked.user is not None:
            known = len(self.catalog.had(asked.user))
        else:
            known = len(asked.history)
        found: dict[str, float | str | None] = {
            "source": response.source,
            "known_history": float(known),
            "k": float(request.k),
            "ignored_ids": float(response.ignored),
            "mean_popularity": None,
            "top_score": None,
            "top_category": None,
        }
        if response.items:
            first = response.items[0]
            places = [self.catalog.item_index[item.item] for item in response.items]
            found["mean_popularity"] = float(self.catalog.popularity[places].mean())
            found["top_score"] = first.score
            found["top_category"] = first.category
        if self.profiles is not None:
            found |= self.profiles.described(profile_of(request))
        return found

    def explain(self, run: Runtime, request: BaseModel) -> Explanation | None:
        """How much each item that the user had speaks for the first one: its attention or weight,
        where the kind has one, else the cosine of the items' embeddings."""
        (answer,) = self.predict(run, [request])
        asked = self.resolve(request)
        assert isinstance(answer, Answer)
        had = self._had(asked)
        if not answer.items or not len(had):
            return None
        top = self.catalog.item_index[answer.items[0].item]
        if isinstance(self.scorer, Attended | Linear):
            weights = self.scorer.weights(run, asked, top)
            output = f"weight of an item of the history for {self._label(top)}"
        else:
            likeness = self.item_vectors[had] @ self.item_vectors[top]
            weights = dict(zip(had.tolist(), likeness.tolist(), strict=True))
            output = f"cosine of {self._label(top)} with an item of the history"
        largest = sorted(weights, key=lambda item: -abs(weights[item]))[:REASONS]
        return Explanation(
            method=self.scorer.explains,
            output=output,
            contributions={self._label(item): weights[item] for item in largest},
        )

    def resolve(self, request: BaseModel) -> Asked:
        """The request in indices of the catalogue; unknown ids are counted."""
        assert isinstance(request, Query)
        user, seen = None, np.empty(0, np.int64)
        if request.user is not None:
            user = self.catalog.user_index.get(str(request.user))
        if user is not None:
            seen = self.catalog.had(user)
        past, excluded = self._known(request.history), self._known(request.exclude)
        source: Source = "popular"
        if past:
            source = "history"
        if user is not None:
            source = "personal"
        cells, profile = profile_of(request), None
        if self.profiles is not None:
            side = self.profiles.side
            if user is None:
                profile = side.missing
            else:
                profile = side.values[user]
            if cells:
                profile = side.encode(cells)
            if cells and source == "popular":
                source = "profile"
        ignored = len(request.history) + len(request.exclude) - len(past) - len(excluded)
        hidden = np.concatenate([seen, np.array(past + excluded, np.int64), self._untold])
        # Once each, where it came first.
        history = list(dict.fromkeys(past))
        return Asked(source, user, history, hidden, ignored, request.k, profile)

    def _known(self, ids: Sequence[int | str]) -> list[int]:
        """Indices of those of the ids that training knew."""
        index = self.catalog.item_index
        found = [index.get(str(name)) for name in ids]
        return [place for place in found if place is not None]

    def heads(self, run: Runtime, users: np.ndarray) -> Arrays:
        """What the graph says of users (int64, (users,)) and every item: (users, items) each."""
        return run("personal", {"user": users.astype(np.int64)})

    def _outputs(self, run: Runtime, source: Source, asked: Sequence[Asked]) -> Arrays:
        if source == "popular":
            return {"score": np.tile(self.catalog.popularity.astype(np.float32), (len(asked), 1))}
        return self.scorer.outputs(run, asked)

    def scores(self, outputs: Arrays) -> np.ndarray:
        """What is ranked by, float32 (rows, items)."""
        if "score" in outputs:
            return outputs["score"]
        click: np.ndarray = _sigmoid(outputs["shown"]) * _sigmoid(outputs["click"])
        if self.rank_by == "conversion":
            click = click * _sigmoid(outputs["conversion"])
        elif self.rank_by == "dwell":
            click = click * _seconds(outputs["dwell"])
        return click

    def _answer(self, asked: Asked, scores: np.ndarray, outputs: Arrays) -> Answer:
        allowed = np.isfinite(scores)
        allowed[asked.hidden] = False
        found = []
        for index in best(scores, allowed, asked.k):
            item = self.catalog.items[index]
            heads = _estimates(outputs, index)
            score = float(scores[index])
            found.append(
                Recommendation(
                    item=item.id, score=score, title=item.title, category=item.category, **heads
                )
            )
        return Answer(items=found, source=asked.source, ignored=asked.ignored)

    def _cautions(self, request: BaseModel, asked: Asked) -> tuple[Caution, ...]:
        """Which ids of a request training did not know."""
        assert isinstance(request, Query)
        found = []
        if request.user is not None and asked.user is None:
            instead = _INSTEAD[asked.source]
            said = f"was not in the training data: the answer rests on {instead}"
            found.append(Caution(field="user", message=said))
        if asked.ignored:
            for name, ids in (("exclude", request.exclude), ("history", request.history)):
                if count := len(ids) - len(self._known(ids)):
                    said = f"{count} of {len(ids)} items were not in the training data"
                    found.append(Caution(field=name, message=said))
        cells = profile_of(request)
        if cells and self.profiles is not None:
            found += self.profiles.cautions(cells)
            if asked.source in ("personal", "history") and not self.scorer.takes_profiles:
                said = "is not used: the answer rests on the interactions"
                found.append(Caution(field="profile", message=said))
        return tuple(found)

    def _had(self, asked: Asked) -> np.ndarray:
        if asked.user is not None:
            known = self.catalog.had(asked.user)
        else:
            known = np.empty(0, np.int64)
        return np.unique(np.concatenate([known, np.array(asked.history, np.int64)]))

    def _label(self, index: int) -> str:
        item = self.catalog.items[index]
        if item.title:
            return f"{item.title} [{item.id}]"
        return item.id


_INSTEAD = {
    "history": "the history given",
    "profile": "the profile given",
    "popular": "what most had",
}


def profile_of(request: Query) -> dict[str, Any]:
    """The cells of a request's profile that are there, by column."""
    profile: BaseModel | None = getattr(request, "profile", None)
    if profile is None:
        return {}
    return profile.model_dump(by_alias=True, exclude_none=True)


def best(scores: np.ndarray, allowed: np.ndarray, k: int) -> list[int]:
    """Indices of the `k` largest of `scores` (items,) that are `allowed`; of equals the first in
    the catalogue."""
    candidates = np.flatnonzero(allowed)
    values = scores[candidates]
    if len(values) > k:
        # All that tie with the k-th stay: a partition alone would keep any of them.
        least = np.partition(values, len(values) - k)[len(values) - k]
        candidates, values = candidates[values >= least], values[values >= least]
    ranked: list[int] = candidates[np.argsort(-values, kind="stable")[:k]].tolist()
    return ranked


def _row(outputs: Arrays, row: int) -> Arrays:
    return {name: array[row] for name, array in outputs.items()}


def _estimates(outputs: Arrays, index: int) -> dict[str, float]:
    if "click" not in outputs:
        return {}
    heads = {name: float(_sigmoid(outputs[name][index])) for name in ("click", "conversion")}
    return heads | {"dwell": float(_seconds(outputs["dwell"][index]))}


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))))


def _seconds(log: np.ndarray) -> np.ndarray:
    """Back from log(1 + seconds), at most a day."""
    return np.asarray(np.expm1(np.clip(log, 0, np.log1p(86_400))))
