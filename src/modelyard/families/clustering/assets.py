"""What a host reads: the table's columns, the clusters, and arrays in scaled units.

`scale.npz`     mean, weight: float64 (inputs,); scaled = (encoded - mean) * weight
`clusters.npz`  centres, spreads: float64 (clusters, inputs), of the training rows of each cluster
`map.npz`       of at most MAPPED training rows: cluster (rows,), and (rows, 2) by way of drawing
"""

from __future__ import annotations

from typing import ClassVar

from modelyard.families.clustering.config import Kind
from modelyard.kit.assets import Asset

GRAPH, INPUT = "model", "features"
DISTANCES, DENSITIES = "distances", "log_densities"
NOISE = -1
"""The cluster of a row that is in none."""
SCALE, CLUSTERS, MAP = "scale.npz", "clusters.npz", "map.npz"


class Curve(Asset):
    """How the number of clusters, or eps, was chosen."""

    FILE: ClassVar[str] = "curve.json"

    title: str
    x_label: str
    y_label: str
    x: list[float]
    y: list[float]
    chosen: tuple[float, float]
    """The point that was taken."""


class Clusters(Asset):
    """The clusters of a model."""

    FILE: ClassVar[str] = "clusters.json"

    kind: Kind
    names: list[str]
    """What sets each apart from the rest, by cluster."""
    sizes: list[int]
    """Training rows of each; the first is the largest."""
    reach: list[float]
    """dbscan and hdbscan: how near a row must be to one of the cluster to belong to it."""
    farthest: list[float]
    """kmeans: the largest distance of a training row from its centre, by cluster."""
    least_density: float = 0.0
    """gmm: the least log density of a training row."""
    noise: int = 0
    """Training rows in no cluster."""
    stability: float
    """Mean adjusted Rand index of pairs of clusterings of bootstrap samples, on rows that both
    have."""
    least_stability: float
    """Of the pair that agrees least."""
