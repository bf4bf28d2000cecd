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
    lengths = np.arange(1, 21)
    series = [
        Series(
            name=name,
            x=lengths.astype(float).tolist(),
            y=[float((ranks(found, target) <= k).mean()) for k in lengths],
        )
        for name, found in lists.items()
    ]
    return Plot(
        kind="line", title="Recall by list length", x_label="k", y_label="recall@k", series=series
    )


def _by_activity(catalog: Catalog, users: np.ndarray, target: np.ndarray, lists: Lists) -> Plot:
    """Buckets of about as many users each; a length is never divided between two."""
    length = catalog.lengths[users]
    edges = np.unique(np.quantile(length, np.linspace(0, 1, BUCKETS + 1), method="nearest"))
    bucket = np.searchsorted(edges[1:-1], length, side="right")
    kept = [index for index in range(max(1, len(edges) - 1)) if (bucket == index).any()]
    names = [f"{length[bucket == index].min()}-{length[bucket == index].max()}" for index in kept]
    series = []
    for name, found in lists.items():
        hit = ranks(found, target) <= K
        series.append(
            Series(name=name, x=names, y=[float(hit[bucket == index].mean()) for index in kept])
        )
    return Plot(
        kind="bar",
        title="Recall by user activity",
        x_label="training interactions of the user",
        y_label=f"recall@{K}",
        series=series,
        caption="Buckets of about as many users each.",
    )


def _long_tail(catalog: Catalog, target: np.ndarray, lists: Lists) -> Plot:
    order = np.argsort(-catalog.popularity, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    cuts = np.unique(
        np.linspace(0, len(order), min(len(order), POINTS) + 1).round().astype(np.int64)
    )
    shown = {name: found[:, :K][found[:, :K] >= 0] for name, found in lists.items()} | {
        "what was chosen": target
    }
    series = []
    for name, items in shown.items():
        total = np.concatenate([[0], np.cumsum(np.bincount(place[items], minlength=len(order)))])
        series.append(
            Series(
                name=name,
                x=(cuts / len(order)).tolist(),
                y=(total[cuts] / max(1, total[-1])).tolist(),
            )
        )
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
    shown = {name: found[:, :K][found[:, :K] >= 0] for name, found in lists.items()} | {
        "what was chosen": target
    }
    series = []
    for name, items in shown.items():
        counts, _ = np.histogram(log[items], bins=edges)
        share = counts / max(1, counts.sum())
        series.append(
            Series(name=name, x=((edges[1:] + edges[:-1]) / 2).tolist(), y=share.tolist())
        )
    return Plot(
        kind="histogram",
        title="Popularity of what is shown",
        x_label="log10(1 + training interactions)",
        y_label="share",
        series=series,
    )
