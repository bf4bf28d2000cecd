"""The figures that a person of the field expects of a recommender, as data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from modelyard.families.recommender.catalog import Catalog
from modelyard.families.recommender.ranking import ranks
from modelyard.judging.evaluation import Plot, Series

BUCKETS = 5
BINS = 20
POINTS = 100
K = 10

Lists = Mapping[str, np.ndarray]
"""Who ranked, and the item indices, int64 (users, 20), -1 where a list has ended."""


def draw(catalog: Catalog, users: np.ndarray, target: np.ndarray, lists: Lists) -> list[Plot]:
    """Recall by list length and by activity, who gets shown of the long tail, and the popularity
    of what is shown."""
    return [
        _by_length(target, lists),
        _by_activity(catalog, users, target, lists),
        _long_tail(catalog, target, lists),
        _popularity(catalog, target, lists),
    ]


def _by_length(target: np.ndarray, lists: Lists) -> Plot:
    lengths = np.arange(1.0, 21.0)
    series = []
    for name, found in lists.items():
        place = ranks(found, target)
        recall = [float((place <= k).mean()) for k in lengths]
        series.append(Series(name=name, x=lengths.tolist(), y=recall))
    return Plot(
        kind="line", title="Recall by list length", x_label="k", y_label="recall@k", series=series
    )


def _by_activity(catalog: Catalog, users: np.ndarray, target: np.ndarray, lists: Lists) -> Plot:
    """Buckets of about as many users each; a length is never divided between two."""
    length = catalog.lengths[users]
    edges = np.unique(np.quantile(length, np.linspace(0, 1, BUCKETS + 1), method="nearest"))
    bucket = np.searchsorted(edges[1:-1], length, side="right")
    buckets = np.unique(bucket).tolist()
    names = []
    for index in buckets:
        own = length[bucket == index]
        names.append(f"{own.min()}-{own.max()}")
    series = []
    for name, found in lists.items():
        hit = ranks(found, target) <= K
        recall = [float(hit[bucket == index].mean()) for index in buckets]
        series.append(Series(name=name, x=names, y=recall))
    return Plot(
        kind="bar",
        title="Recall by user activity",
        x_label="training interactions of the user",
        y_label=f"recall@{K}",
        series=series,
        caption="Buckets of about as many users each.",
    )


def _shown(target: np.ndarray, lists: Lists) -> dict[str, np.ndarray]:
    """The first K items of all lists, one after another, and what users chose."""
    shown = {}
    for name, found in lists.items():
        first = found[:, :K]
        shown[name] = first[first >= 0]
    shown["what was chosen"] = target
    return shown


def _long_tail(catalog: Catalog, target: np.ndarray, lists: Lists) -> Plot:
    count = len(catalog.items)
    order = np.argsort(-catalog.popularity, kind="stable")
    place = np.empty(count, dtype=np.int64)
    place[order] = np.arange(count)
    points = np.linspace(0, count, min(count, POINTS) + 1)
    cuts = np.unique(points.round().astype(np.int64))
    series = []
    for name, items in _shown(target, lists).items():
        views = np.bincount(place[items], minlength=count)
        total = np.concatenate([[0], np.cumsum(views)])
        share = total[cuts] / max(1, total[-1])
        series.append(Series(name=name, x=(cuts / count).tolist(), y=share.tolist()))
    return Plot(
        kind="line",
        title="Long tail",
        x_label="share of the catalogue, most popular first",
        y_label="share of what is shown",
        diagonal=True,
        series=series,
        caption="On the diagonal every item is shown as often as any other; popularity is that of training.",
    )


def _popularity(catalog: Catalog, target: np.ndarray, lists: Lists) -> Plot:
    log = np.log10(1 + catalog.popularity)
    edges = np.linspace(0, float(log.max()) or 1.0, BINS + 1)
    middles = ((edges[1:] + edges[:-1]) / 2).tolist()
    series = []
    for name, items in _shown(target, lists).items():
        counts, _ = np.histogram(log[items], bins=edges)
        share = counts / max(1, counts.sum())
        series.append(Series(name=name, x=middles, y=share.tolist()))
    return Plot(
        kind="histogram",
        title="Popularity of what is shown",
        x_label="log10(1 + training interactions)",
        y_label="share",
        series=series,
    )
