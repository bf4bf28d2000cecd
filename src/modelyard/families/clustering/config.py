"""Parameters of the clustering family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from modelyard.kit.columns.settings import ColumnFeatures
from modelyard.settings.family import FamilyConfig, Settings
from modelyard.settings.search import Range, choice, whole

Kind = Literal["kmeans", "gmm", "dbscan", "hdbscan"]
Covariance = Literal["full", "diag", "tied", "spherical"]

SEARCH: Mapping[str, Range] = {
    "model.kind": choice("kmeans", "gmm", changes_loss=True),
    "model.clusters": whole(2, 12),
    "model.covariance": choice("full", "diag", "tied", when={"model.kind": ("gmm",)}),
}
"""Not the settings of columns: they change the distances, and with them what a silhouette means."""


class ClusteringFeatures(ColumnFeatures):
    """From a table to distances."""

    label: str | None = None
    """Column of labels that judges the clusters and is never fitted on. None: a column that is
    called `label`, or the built-in data's own."""
    validation_share: float = Field(default=0.15, gt=0, lt=0.5)
    """Share of the rows that a search judges by."""
    test_share: float = Field(default=0.2, gt=0, lt=0.5)
    """Share of the rows for the final figures."""


class ClusteringModel(Settings):
    """Which clusters."""

    kind: Kind = "kmeans"
    """kmeans, gmm (Gaussian mixture), dbscan, hdbscan (both by density, with noise)."""
    clusters: int | None = Field(default=None, ge=2)
    """How many, of kmeans and gmm. None: chosen on the training rows, by the silhouette for kmeans,
    by BIC for gmm."""
    max_clusters: int = Field(default=10, ge=2)
    """Most clusters that are tried where their number is chosen."""
    covariance: Literal["auto", "full", "diag", "tied", "spherical"] = "auto"
    """Shape of a mixture's components. `auto`: chosen by BIC; full and tied up to 50 inputs."""
    least_variance: float = Field(default=0.01, gt=0)
    """Added to a mixture's variances, in scaled units: keeps a component from shrinking to rows
    with equal cells."""
    eps: float | None = Field(default=None, gt=0)
    """dbscan: rows this near are neighbours. None: the knee of the sorted k-distances of
    training rows, k being `min_rows` (Ester et al. 1996, section 4.2)."""
    min_rows: int = Field(default=5, ge=2)
    """dbscan, hdbscan: rows within reach that make a place dense, the row itself counted."""
    min_cluster: int | None = Field(default=None, ge=2)
    """hdbscan: fewest rows of a cluster. None: a fiftieth of the training rows, 5 at least."""
    most_rows: int = Field(default=10_000, ge=100)
    """Training rows that density clusters are fitted on, drawn at random: they take time and memory
    by the square, and all that lie in clusters go along in the package."""
    resamples: int = Field(default=10, ge=2)
    """Bootstrap samples of the training rows that are clustered to see how stable the clusters
    are."""


class ClusteringConfig(FamilyConfig):
    """A run on a table without a target."""

    shortcuts: ClassVar[Mapping[str, str]] = {"target": "features.label"}
    search_space = SEARCH
    resources: ClassVar[Mapping[str, str]] = {"cpu": "500m", "memory": "2Gi", "shm": "256Mi"}

    features: ClusteringFeatures = ClusteringFeatures()
    """From a table to distances."""
    model: ClusteringModel = ClusteringModel()
    """Which clusters, and how many."""

    def requires(self) -> Mapping[str, str]:
        """The table readers and scikit-learn."""
        return dict.fromkeys(("pandas", "pyarrow", "sklearn", "skops"), "clustering")

    def refuses_warm_start(self) -> str:
        """Clusters are not trained on."""
        return "clusters are always fitted from scratch. Type: --set continual.start=null"

    @model_validator(mode="after")
    def _settings_suit_the_kind(self) -> ClusteringConfig:
        kind, model = self.model.kind, self.model
        problem = ""
        if model.clusters is not None and kind in ("dbscan", "hdbscan"):
            problem = f"model.clusters = {model.clusters}: {kind} finds their number itself"
        elif model.eps is not None and kind != "dbscan":
            problem = f"model.eps = {model.eps:g} is of dbscan only"
        elif model.min_cluster is not None and kind != "hdbscan":
            problem = f"model.min_cluster = {model.min_cluster} is of hdbscan only"
        if problem:
            name = problem.split(" ", 1)[0]
            raise ValueError(f"{problem}; model.kind = {kind!r}. Type: --set {name}=null")
        return self
