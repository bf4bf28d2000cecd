"""Rows as points of a plane, to look at."""

from __future__ import annotations

import importlib.util

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from modelyard.families.clustering.assets import MAP, Clusters
from modelyard.host import Host
from modelyard.judging.evaluation import Plot, Series
from modelyard.kit.arrays import load_named

MAPPED = 1_000
"""Most rows that are drawn."""
NEIGHBOURS = 30
"""Of t-SNE (its perplexity) and UMAP, of a third of the rows at most."""
WAYS = {"tsne": "t-SNE", "umap": "UMAP"}


def draw(z: np.ndarray, labels: np.ndarray, seed: int) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays of `map.npz` for scaled rows `z` (rows, inputs), and sentences on what is missing."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(z))[:MAPPED])
    some = z[rows]
    pca = PCA(min(2, *some.shape), random_state=seed).fit(some)
    places = np.zeros((len(some), 2))
    places[:, : pca.n_components_] = pca.transform(some)
    found = {"cluster": labels[rows], "pca": places, "shares": pca.explained_variance_ratio_}
    if z.shape[1] < 3 or len(some) < 10:
        return found, []
    near = min(NEIGHBOURS, len(some) // 3)
    # From the components on, not from random places: far clusters stay far.
    found["tsne"] = TSNE(perplexity=near, init="pca", random_state=seed).fit_transform(some)
    if importlib.util.find_spec("umap") is None:
        return found, ["No map by UMAP: umap-learn is not installed (pip install umap-learn)."]
    umap = importlib.import_module("umap").UMAP(n_neighbors=near, random_state=seed)
    found["umap"] = np.asarray(umap.fit_transform(some))
    return found, []


def plots(host: Host, clusters: Clusters) -> list[Plot]:
    """The maps of a model's training rows, coloured by cluster."""
    arrays = load_named(host.assets / MAP)
    count = len(arrays["cluster"])
    if count < MAPPED:
        of = f"{count:,} training rows"
    else:
        of = f"{count:,} training rows at random"
    shares = arrays["shares"][:2]
    first = _map("Map of the clusters", arrays["pca"], arrays["cluster"], clusters)
    first.x_label, first.y_label = _axes(shares)
    first.caption = (
        f"The first two principal components of {of} hold {100 * shares.sum():.0f} % of their "
        "variance."
    )
    found = [first]
    for key, name in WAYS.items():
        if key in arrays:
            plot = _map(f"Map by {name}", arrays[key], arrays["cluster"], clusters)
            plot.caption = f"{of}; near rows are near, other distances and sizes mean little."
            found.append(plot)
    return found


def _axes(shares: np.ndarray) -> tuple[str, str]:
    names = ["", ""]
    for place, share in enumerate(shares):
        names[place] = f"component {place + 1}, {100 * share:.0f} % of the variance"
    return names[0], names[1]


def _map(title: str, places: np.ndarray, labels: np.ndarray, clusters: Clusters) -> Plot:
    series = []
    for cluster in range(len(clusters.sizes)):
        inside = places[labels == cluster]
        name = f"{cluster}: {clusters.names[cluster]}"
        series.append(Series(name=name, x=inside[:, 0].tolist(), y=inside[:, 1].tolist()))
    noise = places[labels < 0]
    if len(noise):
        series.append(Series(name="noise", x=noise[:, 0].tolist(), y=noise[:, 1].tolist()))
    return Plot(kind="scatter", title=title, series=series)
