"""Judges clusters on rows that they were not fitted on, through the host that serves them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn import metrics as sk
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from modelyard.families.clustering import maps
from modelyard.families.clustering.assets import NOISE, SCALE, Clusters, Curve
from modelyard.families.clustering.host import ClusteringHost
from modelyard.families.clustering.kinds import JUDGED, silhouettes
from modelyard.families.clustering.stability import noise_as_singles
from modelyard.judging.evaluation import Direction, Evaluation, Plot, Series, Table
from modelyard.kit.arrays import load_named
from modelyard.kit.columns.frames import load_columns
from modelyard.kit.intervals import mean_of, resample
from modelyard.runtimes.types import Arrays, Runtime

DIRECTIONS: dict[str, Direction] = {
    "silhouette": "max",
    "davies_bouldin": "min",
    "noise_share": "min",
    "stability": "max",
    "adjusted_rand": "max",
    "adjusted_mutual_information": "max",
}
SHUFFLES = 20
"""Random labels of the same sizes, whose figures are averaged."""
RANDOM = "random clusters of the same sizes"
CUT = "cuts across the first principal component"


def load_split(features: Path, split: str) -> Arrays:
    """`x` float32 (rows, inputs), `label` int64 (rows,) and the `labels` of a split."""
    return load_named(Path(features) / f"{split}.npz")


def evaluate(
    host: ClusteringHost, run: Runtime, features: Path, split: str, seed: int
) -> Evaluation:
    """Figures of the clusters next to those of random ones, and of cuts across the first principal
    component into as many.

    Distances are those of the features folder, so that another package's clusters are judged in the
    same space. Its rows are assigned by `run`, and nothing is fitted on the split.

    Raises:
        BadData: the split lacks a column that the host needs.
    """
    labels = host.labels(run, load_columns(features, split, host.schema))
    own, scale = load_split(features, split), load_named(Path(features) / "assets" / SCALE)
    z = _scaled(own["x"], scale)
    z_train = _scaled(load_split(features, "train")["x"], scale)
    rng = np.random.default_rng(seed)
    # A silhouette takes the distances of all pairs: of some rows, drawn at random.
    rows = np.sort(rng.permutation(len(z))[:JUDGED])
    z, labels = z[rows], labels[rows]
    truth = own["label"][rows]
    shuffled = [rng.permutation(labels) for _ in range(SHUFFLES)]
    cut = _cuts(z_train, z, len(host.clusters.sizes), seed)

    widths = silhouettes(z, labels)
    # Row by row, so that a bootstrap sample takes the same rows of all three.
    random = np.mean([silhouettes(z, other) for other in shuffled], axis=0)
    across = silhouettes(z, cut)
    found = resample(mean_of, np.zeros(len(z)), widths, random, across, varied=False)
    metrics = _metrics(z, labels, truth, host.clusters)
    metrics["stability"] = host.clusters.stability
    others = [_metrics(z, other, truth, host.clusters) for other in shuffled]
    baseline = {}
    for name in others[0]:
        # The share of noise is that of the clusters, whichever rows are noise.
        if name != "noise_share":
            baseline[name] = float(np.mean([other[name] for other in others]))
    metrics["silhouette"] = float(found.values[0])
    baseline["silhouette"] = float(found.values[1])
    simple = [RANDOM]
    if host.clusters.kind == "kmeans":
        # The other kinds look for other shapes than the silhouette does.
        simple.append(CUT)
    return Evaluation(
        split=split,
        rows=len(own["x"]),
        metrics=metrics,
        baseline=baseline,
        baseline_name=RANDOM,
        rivals={CUT: float(found.values[2])},
        directions={name: DIRECTIONS[name] for name in metrics},
        **found.compared("silhouette", "max", *simple),
        notes=[
            found.sentence("silhouette", (-1.0, 1.0)),
            *_notes(host.clusters, labels, truth, cut, found.values, len(own["x"])),
        ],
        plots=[*maps.plots(host, host.clusters), *_plots(host, widths, labels, truth, own)],
        tables=[_sizes(host.clusters, labels, widths)],
    )


def _scaled(x: np.ndarray, scale: Arrays) -> np.ndarray:
    return np.asarray((x.astype(np.float64) - scale["mean"]) * scale["weight"])


def _metrics(
    z: np.ndarray, labels: np.ndarray, truth: np.ndarray, clusters: Clusters
) -> dict[str, float]:
    """Figures but for the silhouette and the stability."""
    metrics = {"silhouette": 0.0}
    inside = labels != NOISE
    if 2 <= len(np.unique(labels[inside])) < inside.sum():
        metrics["davies_bouldin"] = float(sk.davies_bouldin_score(z[inside], labels[inside]))
    if clusters.reach:
        metrics["noise_share"] = float((~inside).mean())
    known = truth >= 0
    if len(np.unique(truth[known])) > 1:
        given, found = truth[known], noise_as_singles(labels)[known]
        metrics["adjusted_rand"] = float(sk.adjusted_rand_score(given, found))
        metrics["adjusted_mutual_information"] = float(sk.adjusted_mutual_info_score(given, found))
    return metrics


def _cuts(z_train: np.ndarray, z: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """Clusters of the rows by their place along the training rows' first principal component."""
    component = PCA(1, random_state=seed).fit(z_train)
    along = component.transform(z_train)
    count = min(clusters, len(np.unique(along)))
    cuts = KMeans(count, n_init=3, random_state=seed).fit(along)
    return np.asarray(cuts.predict(component.transform(z)), np.int64)


def _notes(
    clusters: Clusters,
    labels: np.ndarray,
    truth: np.ndarray,
    cut: np.ndarray,
    values: np.ndarray,
    rows: int,
) -> list[str]:
    if rows == len(labels):
        of = f"all {rows:,} rows"
    else:
        of = f"{len(labels):,} of {rows:,} rows at random"
    notes = [
        f"Figures are of {of}, each assigned as a request is. {CUT[0].upper()}{CUT[1:]} into as many "
        f"clusters have a silhouette of {values[2]:.4g}."
    ]
    noise = int((labels == NOISE).sum())
    if clusters.reach:
        notes.append(
            f"{noise:,} of {len(labels):,} rows ({100 * noise / len(labels):.0f} %) are noise. Noise is no "
            "cluster: its silhouette is 0, the Davies-Bouldin index leaves it out, and to the "
            "adjusted Rand index and mutual information each such row is alone."
        )
    known = truth >= 0
    if len(np.unique(truth[known])) > 1:
        own = sk.adjusted_rand_score(truth[known], cut[known])
        notes.append(
            f"Labels judge and are never fitted on ({int(known.sum()):,} rows have one). The cuts "
            f"reach an adjusted Rand index of {own:.4g}."
        )
    return notes


def _plots(
    host: ClusteringHost, widths: np.ndarray, labels: np.ndarray, truth: np.ndarray, own: Arrays
) -> list[Plot]:
    clusters = host.clusters
    means = {}
    for cluster in range(len(clusters.sizes)):
        inside = labels == cluster
        if inside.any():
            means[f"cluster {cluster}"] = float(widths[inside].mean())
    bars = Series(name="mean silhouette", x=list(means), y=list(means.values()))
    plots = [Plot(kind="bar", title="Silhouette by cluster", y_label="mean", series=[bars])]
    if (host.assets / Curve.FILE).is_file():
        plots.append(_curve(Curve.load(host.assets)))
    names = own["labels"].tolist()
    if names:
        plots.append(_labels_plot(labels, truth, names, clusters))
    return plots


def _labels_plot(
    labels: np.ndarray, truth: np.ndarray, names: list[str], clusters: Clusters
) -> Plot:
    """How many rows of each label lie in each cluster."""
    groups = {f"cluster {cluster}": cluster for cluster in range(len(clusters.sizes))}
    if clusters.reach:
        groups["noise"] = NOISE
    matrix = []
    for code in range(len(names)):
        inside = labels[truth == code]
        matrix.append([float((inside == group).sum()) for group in groups.values()])
    title = "Labels and clusters, rows"
    return Plot(kind="heatmap", title=title, matrix=matrix, rows=names, columns=list(groups))


def _curve(curve: Curve) -> Plot:
    chosen = Series(name="chosen", x=[curve.chosen[0]], y=[curve.chosen[1]])
    line = Series(name=curve.y_label, x=curve.x, y=curve.y)
    return Plot(
        kind="line",
        title=curve.title,
        x_label=curve.x_label,
        y_label=curve.y_label,
        series=[line, chosen],
        caption=f"Chosen: {curve.chosen[0]:g}, where the value is {curve.chosen[1]:.4g}.",
    )


def _sizes(clusters: Clusters, labels: np.ndarray, widths: np.ndarray) -> Table:
    total = sum(clusters.sizes) + clusters.noise
    rows: list[list[str | float]] = []
    for cluster, size in enumerate(clusters.sizes):
        inside = labels == cluster
        mean = float(widths[inside].mean()) if inside.any() else ""
        judged = int(inside.sum())
        share = f"{100 * size / total:.1f} %"
        rows.append([f"cluster {cluster}", clusters.names[cluster], size, share, judged, mean])
    if clusters.reach:
        share = f"{100 * clusters.noise / total:.1f} %"
        rows.append(["noise", "", clusters.noise, share, int((labels == NOISE).sum()), ""])
    columns = ["cluster", "sets it apart", "training rows", "share", "judged rows", "silhouette"]
    return Table(title="Clusters", columns=columns, rows=rows)
