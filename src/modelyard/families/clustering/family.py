"""Finds clusters, and hands them over as a runtime and as a graph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from modelyard.errors import BadData
from modelyard.families.clustering import kinds, maps, model
from modelyard.families.clustering.assets import (
    CLUSTERS,
    DENSITIES,
    DISTANCES,
    GRAPH,
    INPUT,
    MAP,
    NOISE,
    SCALE,
    Clusters,
)
from modelyard.families.clustering.choosing import choose
from modelyard.families.clustering.config import ClusteringConfig
from modelyard.families.clustering.data import ClusteringData
from modelyard.families.clustering.evaluate import evaluate, load_split
from modelyard.families.clustering.host import ClusteringHost, assign
from modelyard.families.clustering.profile import effects, names_of, profile_table, words_of
from modelyard.families.clustering.stability import noise_as_singles, stability
from modelyard.family import Family, Split
from modelyard.judging.evaluation import Evaluation
from modelyard.kit.arrays import load_named, save_named
from modelyard.kit.columns.encode import Encoder
from modelyard.kit.columns.schema import ColumnSchema
from modelyard.kit.logits import log_sum
from modelyard.runtimes.cores import cores
from modelyard.runtimes.types import Arrays, Graph, Runtime

if TYPE_CHECKING:
    from modelyard.training.loop import Trainer

WEAK = 0.25
"""A mean silhouette below which there is no structure to speak of (Kaufman and Rousseeuw 1990,
table 4)."""
USUAL = 0.9
"""Share of a cluster's rows that hold a word from which on a row without it is unlike them."""
UNSTABLE = 0.6
"""A mean adjusted Rand index below which clusters of other rows are other clusters."""


class Clustering(ClusteringData, Family[ClusteringConfig]):
    """From a person's table to clusters that are served."""

    quantized: ClassVar[frozenset[str]] = frozenset()

    def fit(self, features: Path, out: Path, trainer: Trainer) -> dict[str, Any]:
        """Finds the clusters of the training rows, and writes them to `out`.

        Raises:
            BadData: all rows are noise.
            UsageError: more clusters are set than there are different rows.
        """
        x = load_split(features, "train")["x"]
        with threadpool_limits(cores(x.size)):
            return self._fit(features, out, x)

    def _fit(self, features: Path, out: Path, x: np.ndarray) -> dict[str, Any]:
        settings, seed, assets = self.config.model, self.config.seed, Path(out) / "assets"
        scale = load_named(assets / SCALE)
        z = (x.astype(np.float64) - scale["mean"]) * scale["weight"]
        density = settings.kind in ("dbscan", "hdbscan")
        some = z
        if density:
            some = kinds.sampled(z, settings.most_rows, seed)
        chosen = choose(settings, some, seed)
        fitted, labels = kinds.fit(chosen.plan, some, seed)
        if (labels == NOISE).all():
            raise _all_noise(chosen.plan)
        arrays = model.arrays_of(chosen.plan, fitted, some, labels)
        np.save(Path(out) / model.EXAMPLE, x[:8])
        if chosen.curve is not None:
            chosen.curve.save(assets)

        # From here on the rows lie in the clusters that the served model gives them.
        reach, output, assigned = self._served(out, chosen.plan, arrays, x)
        sizes = np.bincount(assigned[assigned != NOISE], minlength=_count(arrays))
        if (np.diff(sizes) > 0).any():
            # They were in the order of the library's own clusters, which are not quite these.
            arrays = model.largest_first(arrays, sizes)
            reach, output, assigned = self._served(out, chosen.plan, arrays, x)
        found = effects(x, assigned, _count(arrays))
        schema, encoder = ColumnSchema.load(assets), Encoder.load(assets)
        mean_stability, least_stability = stability(chosen.plan, some, settings.resamples, seed)
        clusters = Clusters(
            kind=settings.kind,
            names=names_of(found, encoder, schema),
            sizes=[int((assigned == cluster).sum()) for cluster in range(len(found))],
            noise=int((assigned == NOISE).sum()),
            reach=reach,
            farthest=[],
            stability=mean_stability,
            least_stability=least_stability,
        )
        if settings.kind == "kmeans":
            farthest = _farthest(output[DISTANCES], assigned)
            clusters = clusters.model_copy(update={"farthest": farthest})
        elif settings.kind == "gmm":
            least = float(log_sum(output[DENSITIES]).min())
            clusters = clusters.model_copy(update={"least_density": least})
        clusters.save(assets)
        save_named(assets / CLUSTERS, _moments(z, assigned, len(found), words_of(encoder, schema)))
        places, missing = maps.draw(z, assigned, seed)
        save_named(assets / MAP, places)
        frame = pd.read_parquet(Path(features) / "train.parquet")
        notes = [_stability_note(clusters, settings.resamples), *missing]
        if density:
            notes.append(_density_note(clusters, some, z, labels, assigned))
        judged = kinds.sampled(np.flatnonzero(labels != NOISE), kinds.JUDGED, seed)
        structure = float(kinds.silhouettes(some[judged], labels[judged]).mean())
        return {
            "headline": _headline(clusters, chosen.said),
            "tables": [profile_table(frame, schema, encoder, assigned, found)],
            "notes": notes,
            "warnings": [*chosen.warnings, *_warnings(clusters, structure)],
        }

    def _served(
        self, out: Path, plan: kinds.Plan, arrays: Arrays, x: np.ndarray
    ) -> tuple[list[float], Arrays, np.ndarray]:
        """Writes the model; how far its clusters reach, what it gives for the training rows, and the
        cluster of each."""
        save_named(Path(out) / model.MODEL, arrays)
        reach = _reach(plan, arrays)
        output = self.native(out)(GRAPH, {INPUT: x})
        return reach, output, assign(output, reach)[1]

    def native(self, model_folder: Path) -> Runtime:
        """The clusters as scikit-learn assigns rows to them."""
        return model.native_runtime(model_folder)

    def graphs(self, model_folder: Path) -> list[Graph]:
        """One graph, `model`: `features` float32 (rows, inputs) to `distances` (rows, clusters), or
        to the `log_densities` of a mixture's components by their weights."""
        return [model.graph(model_folder, self.config.export.opset)]

    def evaluate(
        self, host: ClusteringHost, run: Runtime, features: Path, split: Split = "test"
    ) -> Evaluation:
        """Judges clusters on rows that they were not fitted on."""
        with threadpool_limits(cores(load_split(features, split)["x"].size)):
            return evaluate(host, run, features, split, self.config.seed)


def _count(arrays: Arrays) -> int:
    if "weights" in arrays:
        return len(arrays["weights"])
    return len(arrays["ends"])


def _reach(plan: kinds.Plan, arrays: Arrays) -> list[float]:
    """How near a row must be to a point of a density cluster to belong to it: eps; or, where the
    density varies, the largest distance of a row of the cluster from the nearest other one."""
    if plan.kind == "dbscan":
        return [plan.eps] * _count(arrays)
    if plan.kind != "hdbscan":
        return []
    found = []
    for points in np.split(arrays["points"], arrays["ends"][:-1]):
        distances, _ = NearestNeighbors(n_neighbors=2).fit(points).kneighbors(points)
        found.append(float(distances[:, 1].max()))
    return found


def _farthest(distances: np.ndarray, assigned: np.ndarray) -> list[float]:
    """The largest distance of a row from its centre, by cluster."""
    found = []
    for cluster in range(distances.shape[1]):
        own = distances[assigned == cluster, cluster]
        found.append(float(own.max(initial=0.0)))
    return found


def _moments(z: np.ndarray, assigned: np.ndarray, clusters: int, words: np.ndarray) -> Arrays:
    """Mean and deviation of each input in each cluster, float64 (clusters, inputs).

    Of inputs that say whether a cell holds a certain word (`words`, bool (inputs,)) the deviation is
    infinite unless nine rows in ten hold it: a rare word is nothing unusual among many words.
    """
    centres, spreads = np.zeros((clusters, z.shape[1])), np.ones((clusters, z.shape[1]))
    for cluster in range(clusters):
        inside = z[assigned == cluster]
        if len(inside):
            centres[cluster], spreads[cluster] = inside.mean(axis=0), inside.std(axis=0)
            # Of an input of 0 and 1, less its mean, the share of ones is what its mean is above 0.
            usual = centres[cluster] - z.min(axis=0) >= USUAL
            spreads[cluster, words & ~usual] = np.inf
    return {"centres": centres, "spreads": spreads}


def _all_noise(plan: kinds.Plan) -> BadData:
    if plan.kind == "dbscan":
        problem = f"no row has {plan.min_rows} rows within eps {plan.eps:.4g}: all are noise"
        return BadData(problem, hint="Type: --set model.eps=… with a larger one")
    problem = f"no {plan.min_cluster} rows are dense enough for a cluster: all are noise"
    return BadData(problem, hint="Type: --set model.min_cluster=… with a smaller one")


def _headline(clusters: Clusters, said: str) -> str:
    count, noise = len(clusters.sizes), clusters.noise
    sizes = [f"{size:,}" for size in clusters.sizes[:8]]
    if count > 8:
        sizes.append("…")
    found = f"{clusters.kind}, {count} cluster"
    if count > 1:
        found += "s"
    found += f" ({said}): {', '.join(sizes)} rows"
    if clusters.reach:
        rows = sum(clusters.sizes) + noise
        found += f", {noise:,} ({100 * noise / rows:.0f} %) noise"
    return f"{found}; stability {clusters.stability:.2f}"


def _stability_note(clusters: Clusters, resamples: int) -> str:
    return (
        f"Stability: {resamples} bootstrap samples of the training rows were clustered with the same "
        f"settings. On the rows that two samples share, their clusters agree with an adjusted Rand "
        f"index of {clusters.stability:.3f} in the mean of all pairs, {clusters.least_stability:.3f} "
        "at least; 1 is the same clusters, 0 chance."
    )


def _density_note(
    clusters: Clusters,
    some: np.ndarray,
    z: np.ndarray,
    labels: np.ndarray,
    assigned: np.ndarray,
) -> str:
    """How rows are assigned, and whether training rows lie where the library put them."""
    if clusters.kind == "dbscan":
        rule = "within eps of the nearest core row"
    else:
        rule = (
            "as near to a row of the cluster as the cluster's own rows are to each other (the "
            "largest distance from the nearest one)"
        )
    note = f"A row belongs to the nearest cluster if it is {rule}; else it is noise."
    if len(some) < len(z):
        return f"{note} Fitted on {len(some):,} of {len(z):,} training rows, drawn at random."
    noise = labels == NOISE
    agreed = adjusted_rand_score(noise_as_singles(labels), noise_as_singles(assigned))
    moved = int((noise & (assigned != NOISE)).sum())
    return (
        f"{note} Between the clusters of {clusters.kind} and these of the same training rows the "
        f"adjusted Rand index is {agreed:.3f}; {moved:,} of its {int(noise.sum()):,} rows of noise "
        "lie in reach of a cluster."
    )


def _warnings(clusters: Clusters, structure: float) -> list[str]:
    found = []
    if len(clusters.sizes) == 1:
        found.append("There is one cluster only: nothing is set apart")
    elif structure < WEAK:
        found.append(
            f"The mean silhouette of training rows in clusters is {structure:.2f}, below {WEAK}: "
            "clusters that flow into each other, or none"
        )
    if clusters.stability < UNSTABLE:
        found.append(
            f"Other samples of the rows give other clusters: stability {clusters.stability:.2f}"
        )
    return found
