"""Clusters in tables: rows that are alike, found without a target."""

from modelyard.families.clustering.config import ClusteringConfig
from modelyard.family import Entry

FAMILY = Entry(
    "clusters in tables: rows that are alike",
    ClusteringConfig,
    data=".data:ClusteringData",
    build=".family:Clustering",
    host=".host:ClusteringHost",
)
