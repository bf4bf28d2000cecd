"""Tables with clusters, and the way from a file to fitted clusters."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pandas as pd

from modelyard.families.clustering.assets import GRAPH, INPUT, SCALE
from modelyard.families.clustering.config import ClusteringConfig
from modelyard.families.clustering.evaluate import load_split
from modelyard.families.clustering.family import Clustering
from modelyard.families.clustering.host import ClusteringHost, assign
from modelyard.judging.evaluation import Evaluation
from modelyard.kit.arrays import load_named
from modelyard.runtimes.onnx import OnnxRuntime
from modelyard.runtimes.types import Arrays
from modelyard.settings.family import resolve

FEATURES = frozenset(ClusteringConfig.model_fields["features"].default.model_dump())


def make(**settings: Any) -> Clustering:
    features = {name: value for name, value in settings.items() if name in FEATURES}
    model = {name: value for name, value in settings.items() if name not in FEATURES}
    given = {"features": features, "model": model, "data": {"uri": "mine"}}
    return Clustering(resolve(ClusteringConfig, ("--set", given)))


def blobs(rows: int = 240, clusters: int = 4, spread: float = 0.3, seed: int = 0) -> pd.DataFrame:
    """Round heaps in three columns, far from each other, with their number as `label`."""
    r = np.random.default_rng(seed)
    corners = np.array([[0, 0, 0], [5, 0, 0], [0, 5, 0], [0, 0, 5], [5, 5, 5]])[:clusters]
    label = np.arange(rows) % clusters
    x = corners[label] + r.normal(0, spread, (rows, 3))
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "label": label})


def moons(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """Two crescents in each other's arms, and rows far from both, of which every other has a label."""
    r = np.random.default_rng(seed)
    t = np.pi * r.random(rows // 2)
    upper = np.c_[np.cos(t), np.sin(t)]
    lower = np.c_[1 - np.cos(t), 0.5 - np.sin(t)]
    far = r.uniform(3, 9, (rows // 20, 2))
    x = np.r_[upper, lower] + r.normal(0, 0.04, (2 * len(t), 2))
    label = ["upper"] * len(t) + ["lower"] * len(t) + ["upper", None] * (len(far) // 2)
    return pd.DataFrame(np.r_[x, far], columns=["x", "y"]).assign(label=label)


@dataclass
class Fitted:
    """Clusters of a table, in folders."""

    family: Clustering
    features: Path
    model: Path
    summary: dict[str, Any]
    report: dict[str, Any]

    @property
    def host(self) -> ClusteringHost:
        return ClusteringHost(self.model / "assets")

    @property
    def arrays(self) -> Arrays:
        with np.load(self.model / "model.npz") as arrays:
            return dict(arrays)

    def scaled(self, split: str) -> np.ndarray:
        scale = load_named(self.features / "assets" / SCALE)
        x = load_split(self.features, split)["x"].astype(np.float64)
        return (x - scale["mean"]) * scale["weight"]

    def labels(self, split: str) -> np.ndarray:
        x = load_split(self.features, split)["x"]
        output = self.family.native(self.model)(GRAPH, {INPUT: x})
        return assign(output, self.host.clusters.reach)[1]

    def evaluate(self, split: str = "test") -> Evaluation:
        run = self.family.native(self.model)
        return self.family.evaluate(self.host, run, self.features, split)

    def onnx(self) -> OnnxRuntime:
        (graph,) = self.family.graphs(self.model)
        return OnnxRuntime({GRAPH: graph.onnx})


def written(frame: pd.DataFrame, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / "data.csv", index=False)
    return folder


def fit(frame: pd.DataFrame, folder: Path, **settings: Any) -> Fitted:
    family = make(**settings)
    features, model = folder / "features", folder / "model"
    features.mkdir(parents=True)
    summary = family.features(written(frame, folder / "raw"), features)
    copytree(features / "assets", model / "assets")
    report = family.fit(features, model, None)
    json.dumps([summary, report])
    return Fitted(family, features, model, summary, report)
