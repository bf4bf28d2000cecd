"""Clusters of scaled rows, by scikit-learn."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.cluster import DBSCAN, HDBSCAN, KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import silhouette_samples
from sklearn.mixture import GaussianMixture

from modelyard.families.clustering.assets import NOISE
from modelyard.families.clustering.config import Covariance, Kind

JUDGED = 2_000
"""Rows on which a number of clusters is judged, and a clustering's silhouette: the distances of
all pairs are computed."""


@dataclass(frozen=True)
class Plan:
    """A kind with all that is chosen of it."""

    kind: Kind
    clusters: int = 0
    covariance: Covariance = "full"
    least_variance: float = 0.01
    eps: float = 0.0
    min_rows: int = 5
    min_cluster: int = 5


def sampled(z: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most so many of the rows, drawn at random."""
    if len(z) <= most:
        return z
    return np.asarray(z[np.random.default_rng(seed).choice(len(z), most, replace=False)])


def fit(plan: Plan, z: np.ndarray, seed: int, starts: int = 10) -> tuple[Any, np.ndarray]:
    """The fitted estimator, and the cluster of each row or NOISE, int64 (rows,)."""
    if plan.kind == "kmeans":
        model: Any = KMeans(plan.clusters, n_init=starts, random_state=seed)
    elif plan.kind == "gmm":
        model = GaussianMixture(
            plan.clusters,
            covariance_type=plan.covariance,
            reg_covar=plan.least_variance,
            n_init=max(1, starts // 3),
            random_state=seed,
        )
    elif plan.kind == "dbscan":
        model = DBSCAN(eps=plan.eps, min_samples=plan.min_rows)
    else:
        # scikit-learn refuses more neighbours than there are rows.
        least = min(plan.min_rows, len(z))
        model = HDBSCAN(min_cluster_size=plan.min_cluster, min_samples=least, copy=True)
    with warnings.catch_warnings():
        # Fewer different rows than clusters, or a mixture that still moves: judged by its figures.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model, np.asarray(model.fit_predict(z), np.int64)


def silhouettes(z: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The silhouette of each row among those that lie in clusters, float64 (rows,); 0 for a row of
    noise, and for all where there are fewer than two clusters (Rousseeuw 1987)."""
    found = np.zeros(len(z))
    inside = labels != NOISE
    clusters = len(np.unique(labels[inside]))
    if 2 <= clusters < inside.sum():
        found[inside] = silhouette_samples(z[inside], labels[inside])
    return found
