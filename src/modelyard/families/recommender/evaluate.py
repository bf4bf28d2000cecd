"""Judges a recommender on a split, through the host that serves it: the whole catalogue is
ranked."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from modelyard.families.recommender import plots, tasks
from modelyard.families.recommender.catalog import Catalog
from modelyard.families.recommender.data import load_split
from modelyard.families.recommender.host import best
from modelyard.families.recommender.ranking import (
    CUTS,
    figures,
    neighbour_scores,
    popularity_scores,
    ranks,
)
from modelyard.families.recommender.requests import Answer, Query, Source
from modelyard.families.recommender.scoring import Attended
from modelyard.judging.evaluation import Direction, Evaluation
from modelyard.kit.intervals import resample

if TYPE_CHECKING:
    from modelyard.families.recommender.host import RecommenderHost
    from modelyard.family import Split
    from modelyard.runtimes.types import Runtime

MAIN = "ndcg_at_10"
LONGEST = max(CUTS)
PAIRS = 2**16
"""Pairs of a user and an item that are scored at once."""


def evaluate(
    host: RecommenderHost, run: Runtime, features: Path, split: Split = "test"
) -> Evaluation:
    """Figures at 5, 10 and 20 beside those of popularity, on one left-out interaction a user.

    A request holds all that the user had until then, so that a host trained on other data (a
    champion) leaves out the same items and is judged on the same; an item that it does not know, it
    cannot recommend.
    """
    catalog = Catalog.load(features / "assets")
    host = host.judging()
    users, target = load_split(features, split)
    had = histories(features, split)
    lists, sources = ask(host, run, catalog, users, had, split)
    popular = rank(popularity_scores(catalog, users), had)
    metrics = figures(lists, target, users, catalog)
    baseline = figures(popular, target, users, catalog)
    found = resample(mean_gain, target, ranks(lists, target), ranks(popular, target), varied=False)
    notes = [
        found.sentence(MAIN, within=(0, 1)),
        *_notes(catalog, users, target, had, sources),
        *_retrieved(host, catalog, target, _requests(catalog, users, had, split)),
    ]
    heads = tasks.judge(host, run, features, split)
    directions: dict[str, Direction] = {}
    for name in [*metrics, *heads.metrics]:
        # Showing what is popular anyway, and errors: the less the better.
        if name.startswith(("popularity_lift", "dwell")):
            directions[name] = "min"
        else:
            directions[name] = "max"
    return Evaluation(
        split=split,
        rows=len(users),
        unit="users",
        metrics={**metrics, **heads.metrics},
        baseline={**baseline, **heads.baseline},
        baseline_name="popularity",
        directions=directions,
        **found.compared(MAIN, "max", "popularity"),
        notes=[*notes, *heads.notes],
        plots=plots.draw(catalog, users, target, {"model": lists, "popularity": popular}),
    )


def histories(features: Path, split: Split) -> list[np.ndarray]:
    """What each judged user had before the left-out interaction, int64: on test the validation's
    item too."""
    catalog = Catalog.load(features / "assets")
    users, _ = load_split(features, split)
    if split == "train":
        return [catalog.history(user)[:-1] for user in users.tolist()]
    had = [catalog.history(user) for user in users.tolist()]
    if split == "validation":
        return had
    before = dict(zip(*load_split(features, "validation"), strict=True))
    for row, user in enumerate(users.tolist()):
        had[row] = np.append(had[row], before[user])
    return had


def rank(scores: Iterable[np.ndarray], had: list[np.ndarray]) -> np.ndarray:
    """Lists by `scores` without what users had, int64 (users, 20), -1 where a list has ended."""
    lists = np.full((len(had), LONGEST), -1)
    for row, (values, seen) in enumerate(zip(scores, had, strict=True)):
        allowed = np.ones(len(values), dtype=bool)
        allowed[seen] = False
        found = best(values, allowed, LONGEST)
        lists[row, : len(found)] = found
    return lists


def ask(
    host: RecommenderHost,
    run: Runtime,
    catalog: Catalog,
    users: np.ndarray,
    had: list[np.ndarray],
    split: Split,
) -> tuple[np.ndarray, dict[str, int]]:
    """Lists as `rank` gives them, from the host's answers, and how many answers rest on what.

    `had` is what each of `users` had, as `histories` tells.
    """
    lists = np.full((len(users), LONGEST), -1)
    sources = dict.fromkeys(get_args(Source), 0)
    requests = _requests(catalog, users, had, split)
    size = max(1, PAIRS // len(host.catalog.items))
    for start in range(0, len(users), size):
        answers = host.predict(run, requests[start : start + size])
        for row, answer in enumerate(answers, start):
            assert isinstance(answer, Answer)
            sources[answer.source] += 1
            # An item that only the host knows was not there to be chosen: it takes its place, and
            # hits nothing.
            found = [catalog.item_index.get(shown.item, -1) for shown in answer.items]
            lists[row, : len(found)] = found
    return lists, sources


def _requests(
    catalog: Catalog, users: np.ndarray, had: list[np.ndarray], split: Split
) -> list[Query]:
    """All that each of `users` had; on train as a stranger."""
    names = [item.id for item in catalog.items]
    requests = []
    for user, items in zip(users.tolist(), had, strict=True):
        if split == "train":
            asks = None
        else:
            asks = catalog.users[user]
        # Not validated: what a user had may be longer than a caller's list.
        history = [names[item] for item in items]
        requests.append(Query.model_construct(user=asks, k=LONGEST, history=history))
    return requests


def _notes(
    catalog: Catalog,
    users: np.ndarray,
    target: np.ndarray,
    had: list[np.ndarray],
    sources: dict[str, int],
) -> list[str]:
    notes = [
        "The whole catalogue is ranked, less what the user had before; one left-out interaction a user."
    ]
    neighbours = neighbour_scores(catalog, users)
    if neighbours is not None:
        found = figures(rank(neighbours, had), target, users, catalog)
        notes.append(
            f"Item neighbours (cosine, a second baseline): ndcg_at_10 {found['ndcg_at_10']:.4f}, "
            f"recall_at_10 {found['recall_at_10']:.4f}."
        )
    if sources["personal"] < len(users):
        shown = [f"{count:,} {name}" for name, count in sources.items() if count]
        notes.append(f"Answers rest on: {', '.join(shown)}.")
    new = int((catalog.popularity[target] == 0).sum())
    if new:
        notes.append(
            f"{new:,} left-out items have no training interaction and can hardly be found."
        )
    return notes


def _retrieved(
    host: RecommenderHost, catalog: Catalog, target: np.ndarray, requests: list[Query]
) -> list[str]:
    """How many of the left-out items a kind that scores some candidates finds among them."""
    if not isinstance(host.scorer, Attended):
        return []
    hits = 0
    for request, wanted in zip(requests, target.tolist(), strict=True):
        asked = host.resolve(request)
        place = host.catalog.item_index.get(catalog.items[wanted].id)
        if asked.source != "popular" and place is not None:
            hits += place in host.scorer.candidates(asked)
    count = min(host.scorer.most, len(host.catalog.items))
    return [
        f"{100 * hits / len(target):.1f} % of the left-out items are among the {count:,} candidates "
        "that are scored."
    ]


def mean_gain(_target: np.ndarray, place: np.ndarray) -> float:
    """ndcg_at_10 of left-out items at these places, (users,)."""
    return float(np.where(place <= 10, 1 / np.log2(1 + place), 0).mean())
