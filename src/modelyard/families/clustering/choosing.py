"""What is chosen on the training rows: the number of clusters, a mixture's shape, eps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from sklearn.neighbors import NearestNeighbors

from modelyard.errors import BadData, UsageError
from modelyard.families.clustering.assets import Curve
from modelyard.families.clustering.config import ClusteringModel, Covariance
from modelyard.families.clustering.kinds import JUDGED, Plan, fit, sampled, silhouettes
from modelyard.families.clustering.stability import stability

WIDE = 50
"""Inputs up to which a mixture's components may have covariances of their own."""


@dataclass(frozen=True)
class Chosen:
    """A plan, and how it came about."""

    plan: Plan
    said: str
    """A clause for the stage's line."""
    curve: Curve | None = None
    warnings: tuple[str, ...] = ()


def choose(settings: ClusteringModel, z: np.ndarray, seed: int) -> Chosen:
    """What to cluster the scaled training rows `z`, float64 (rows, inputs), with.

    Raises:
        UsageError: more clusters are set than there are different rows.
        BadData: the rows are too much alike to choose eps.
    """
    plan = Plan(
        kind=settings.kind,
        least_variance=settings.least_variance,
        min_rows=settings.min_rows,
        min_cluster=settings.min_cluster or max(5, len(z) // 50),
    )
    if settings.kind == "hdbscan":
        return Chosen(plan, f"clusters of {plan.min_cluster} rows or more")
    if settings.kind == "dbscan":
        return _eps(settings, plan, z)
    some = sampled(z, JUDGED, seed)
    # Copies of a row are one place, which no two clusters can share.
    different = len(np.unique(some, axis=0))
    if settings.clusters is not None and settings.clusters > different:
        raise UsageError(
            f"setting 'model.clusters' = {settings.clusters}: the training split has {different} "
            f"different rows. Allowed: 2 to {different}"
        )
    if settings.clusters is not None:
        numbers = [settings.clusters]
    else:
        most = max(2, min(settings.max_clusters, different))
        numbers = list(range(2, most + 1))
    if settings.kind == "kmeans":
        return _by_silhouette(settings, plan, some, numbers, seed)
    return _by_bic(settings, plan, some, numbers, seed)


def _by_silhouette(
    settings: ClusteringModel, plan: Plan, z: np.ndarray, numbers: list[int], seed: int
) -> Chosen:
    """The number with the best mean silhouette; of those that are not worse beyond chance the one
    with the most stable clusters."""
    if settings.clusters is not None:
        return Chosen(replace(plan, clusters=settings.clusters), "as set")
    plans, widths, means = {}, {}, {}
    for clusters in numbers:
        plans[clusters] = replace(plan, clusters=clusters)
        _, labels = fit(plans[clusters], z, seed)
        widths[clusters] = silhouettes(z, labels)
        means[clusters] = float(widths[clusters].mean())
    best = max(numbers, key=lambda clusters: means[clusters])
    near = [clusters for clusters in numbers if not _worse(widths[clusters], widths[best])]
    tried = f"of {numbers[0]} to {numbers[-1]}"
    if len(near) == 1:
        said = f"{tried} by the silhouette of {len(z):,} training rows"
    else:
        steady = {}
        for clusters in near:
            steady[clusters], _ = stability(plans[clusters], z, settings.resamples, seed)
        best = max(near, key=lambda clusters: steady[clusters])
        alike = ", ".join(map(str, near))
        said = (
            f"{tried}: the silhouette of {len(z):,} training rows does not "
            f"tell {alike} apart, the most stable was taken"
        )
    curve = Curve(
        title="Silhouette by number of clusters",
        x_label="clusters",
        y_label="mean, training rows",
        x=list(map(float, numbers)),
        y=list(means.values()),
        chosen=(float(best), means[best]),
    )
    return Chosen(plans[best], said, curve, _at_the_edge(settings, best))


def _at_the_edge(settings: ClusteringModel, clusters: int) -> tuple[str, ...]:
    """Says that the largest number of clusters was taken: the best may lie beyond."""
    if clusters < settings.max_clusters or clusters == 2:
        return ()
    most = 2 * settings.max_clusters
    return (
        f"The largest number that was tried is the best, {clusters} clusters. "
        f"For more type --set model.max_clusters={most}",
    )


def _worse(widths: np.ndarray, best: np.ndarray) -> bool:
    """Whether the silhouettes of the same rows are lower beyond chance, at 95 %."""
    lost = best - widths
    return bool(lost.mean() > 1.96 * lost.std() / np.sqrt(len(lost)))


def _by_bic(
    settings: ClusteringModel, plan: Plan, z: np.ndarray, numbers: list[int], seed: int
) -> Chosen:
    shapes: list[Covariance] = ["diag", "spherical"]
    if settings.covariance != "auto":
        shapes = [settings.covariance]
    elif z.shape[1] <= WIDE:
        shapes = ["full", "tied", *shapes]
    # BIC pays for each parameter, so that shapes and numbers can be compared (Schwarz 1978). One
    # component is tried to see whether there are clusters at all.
    found: dict[int, tuple[float, Covariance]] = {}
    for clusters in sorted({1, *numbers}):
        tried = []
        for shape in shapes:
            # Few starts: all numbers times all shapes are fitted.
            model, _ = fit(replace(plan, clusters=clusters, covariance=shape), z, seed, 3)
            tried.append((float(model.bic(z)), shape))
        found[clusters] = min(tried)
    best = min(numbers, key=lambda clusters: found[clusters][0])
    bic, shape = found[best]
    plan = replace(plan, clusters=best, covariance=shape)
    said = f"{shape} covariance"
    warned: tuple[str, ...] = ()
    if found[1][0] < bic:
        warned = (
            f"By BIC one normal distribution fits the rows better ({found[1][0]:.5g}) than "
            f"{best} ({bic:.5g}): there may be no clusters",
        )
    if settings.clusters is not None:
        return Chosen(plan, f"as set, {said}", warnings=warned)
    curve = Curve(
        title="BIC by number of components",
        x_label="components",
        y_label="BIC of the best shape, less is better",
        x=list(map(float, found)),
        y=[value for value, _ in found.values()],
        chosen=(float(best), bic),
    )
    said = f"of {numbers[0]} to {numbers[-1]} by BIC of {len(z):,} training rows, {said}"
    return Chosen(plan, said, curve, (*warned, *_at_the_edge(settings, best)))


def _eps(settings: ClusteringModel, plan: Plan, z: np.ndarray) -> Chosen:
    """The set eps, or the knee of the sorted k-distances, those to the `min_rows`-th row, itself
    counted: where they lie farthest below the line between their ends."""
    if settings.eps is not None:
        return Chosen(replace(plan, eps=settings.eps), f"eps {settings.eps:.4g} as set")
    reach = min(plan.min_rows, len(z))
    distances = NearestNeighbors(n_neighbors=reach).fit(z).kneighbors(z)[0][:, -1]
    ordered = np.sort(distances)
    line = np.linspace(ordered[0], ordered[-1], len(ordered))
    place = int(np.argmax(line - ordered))
    eps = float(ordered[place])
    if eps <= 0:
        positive = ordered[ordered > 0]
        if not len(positive):
            problem = f"every training row has {reach - 1} copies: there is no distance to choose"
            raise BadData(problem, hint="Type: --set model.eps=0.5, or --set model.kind=kmeans")
        eps = float(positive[0])
    curve = Curve(
        title=f"k-distances, k = {reach}",
        x_label="training rows, nearest first",
        y_label=f"distance of row {reach}, itself counted",
        x=np.arange(len(ordered), dtype=float).tolist(),
        y=ordered.tolist(),
        chosen=(float(np.searchsorted(ordered, eps)), eps),
    )
    said = f"eps {eps:.4g}, the knee of the k-distances, k = {reach}"
    return Chosen(replace(plan, eps=eps), said, curve)
