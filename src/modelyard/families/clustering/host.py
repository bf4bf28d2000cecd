"""The half that answers: rows to clusters. Numpy and pydantic only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, Field

from modelyard.families.clustering.assets import (
    CLUSTERS,
    DENSITIES,
    DISTANCES,
    GRAPH,
    INPUT,
    NOISE,
    SCALE,
    Clusters,
)
from modelyard.host import Caution, Cell, Explanation, WithWarnings, described
from modelyard.kit.arrays import load_named
from modelyard.kit.columns.encode import Columns, completed
from modelyard.kit.columns.host import ColumnHost
from modelyard.kit.columns.schema import ColumnSchema
from modelyard.kit.logits import log_sum
from modelyard.runtimes.types import Arrays, Runtime

UNLIKE, MOST_UNLIKE = 3.0, 3
"""Deviations of the cluster by which a column must differ to be named, and how many are."""
LEAST_SPREAD = 0.1
"""Of a cluster in an input, in scaled units: cells that are all alike leave no deviation."""
CHUNK = 1_024
"""Rows that go through the graph at once: it holds their distances from all points."""
NO_CLUSTER = "noise"


class NearestAnswer(WithWarnings):
    """The answer of kmeans, dbscan and hdbscan."""

    cluster: int = Field(description="Its number, 0 is the largest; -1 where the row is noise")
    name: str = Field(description="What sets the cluster apart from the rest")
    is_noise: bool = Field(description="Whether the row lies in no cluster")
    distance: float = Field(
        description="From the centre, or from the nearest row of the nearest cluster, in scaled units"
    )
    unlike: list[str] = Field(description="Columns in which the row differs from its cluster")


class MixtureAnswer(WithWarnings):
    """The answer of a Gaussian mixture."""

    cluster: int = Field(description="The most probable one; 0 is the largest")
    name: str = Field(description="What sets the cluster apart from the rest")
    is_noise: bool = Field(description="Never: a mixture has no noise")
    probability: float = Field(description="Of the cluster")
    log_density: float = Field(description="Of the mixture at this row: low is strange")
    unlike: list[str] = Field(description="Columns in which the row differs from its cluster")


def assign(output: Arrays, reach: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """The nearest (or most probable) cluster of each row, and the same with NOISE where it is out
    of the cluster's `reach`, int64 (rows,); without reach there is no noise."""
    if DISTANCES not in output:
        nearest = output[DENSITIES].argmax(axis=1)
        return nearest, nearest
    distances = output[DISTANCES]
    if not reach:
        nearest = distances.argmin(axis=1)
        return nearest, nearest
    # A neighbour at the very edge of reach is one, as near as float32 tells.
    within = np.asarray(reach) * (1 + 1e-6)
    nearest = distances.argmin(axis=1)
    least = np.take_along_axis(distances, nearest[:, None], axis=1)[:, 0]
    return nearest, np.where(least <= within[nearest], nearest, NOISE)


class ClusteringHost(ColumnHost):
    """Answers for one set of clusters."""

    def __init__(self, assets: Path) -> None:
        self.schema = ColumnSchema.load(assets)
        super().__init__(assets, self.schema, "One row of the table, to find its cluster.")
        self.clusters = Clusters.load(assets)
        scale, found = load_named(self.assets / SCALE), load_named(self.assets / CLUSTERS)
        self._mean, self._weight = scale["mean"], scale["weight"]
        self._centres = found["centres"]
        self._spreads = np.maximum(found["spreads"], LEAST_SPREAD)
        if self.clusters.kind == "gmm":
            self.Response = MixtureAnswer
        else:
            self.Response = NearestAnswer

    def predict(self, run: Runtime, requests: Sequence[BaseModel]) -> list[BaseModel]:
        """One answer a request, in order."""
        if not requests:
            return []
        x = self.encoder.transform(self.columns(requests))
        output = self.outputs(run, x)
        nearest, labels = assign(output, self.clusters.reach)
        found: list[WithWarnings] = []
        for row, (near, label) in enumerate(zip(nearest.tolist(), labels.tolist(), strict=True)):
            common = {
                "cluster": label,
                "name": NO_CLUSTER if label == NOISE else self.clusters.names[label],
                "is_noise": label == NOISE,
                "unlike": self._unlike(x[row], near),
            }
            if DISTANCES in output:
                distance = float(output[DISTANCES][row, near])
                found.append(NearestAnswer(**common, distance=distance))
            else:
                # By logarithms: a density of many inputs is too small for a float.
                logs = output[DENSITIES][row].astype(np.float64)
                density = float(log_sum(logs))
                probability = float(np.exp(logs[near] - density))
                found.append(MixtureAnswer(**common, probability=probability, log_density=density))
        self.warn(requests, found)
        for answer in found:
            if caution := self._far(answer):
                answer.warnings = (*answer.warnings, caution)
        return list(found)

    def labels(self, run: Runtime, columns: Columns) -> np.ndarray:
        """The cluster of each row of whole columns, or NOISE, int64 (rows,).

        Columns beyond the schema's are ignored; one that may be empty may be absent.

        Raises:
            BadData: a column is absent that may not be empty.
        """
        x = self.encoder.transform(completed(columns, self.schema))
        return assign(self.outputs(run, x), self.clusters.reach)[1]

    def outputs(self, run: Runtime, x: np.ndarray) -> Arrays:
        """What the graph gives for encoded rows, float32 (rows, inputs)."""
        parts = [run(GRAPH, {INPUT: x[start : start + CHUNK]}) for start in range(0, len(x), CHUNK)]
        joined = {}
        for name in parts[0]:
            joined[name] = np.concatenate([part[name] for part in parts])
        return joined

    def describe(self, request: BaseModel, response: BaseModel) -> dict[str, Cell]:
        """The input columns, texts and times as figures, and the answer."""
        row, derived = self.cells(request)
        if isinstance(response, MixtureAnswer):
            answer: dict[str, Cell] = {
                "cluster": str(response.cluster),
                "probability": response.probability,
                "log_density": response.log_density,
            }
        else:
            assert isinstance(response, NearestAnswer)
            if response.is_noise:
                label = NO_CLUSTER
            else:
                label = str(response.cluster)
            answer = {"cluster": label, "distance": response.distance}
        return described(row, answer, derived)

    def explain(self, run: Runtime, request: BaseModel) -> Explanation:
        """How much each column speaks for the cluster: the drop of its margin over the next one
        where the column has the mean of all training rows instead (occlusion). Of a row of noise,
        and of a single cluster: how much farther it is for the column, than with the cluster's mean.

        Distances are squared: those of columns add up, and a column in which both clusters are
        alike counts nothing.
        """
        x = self.encoder.transform(self.columns([request]))
        nearest, labels = assign(self.outputs(run, x), self.clusters.reach)
        cluster, groups = int(nearest[0]), self.encoder.groups
        away = labels[0] == NOISE or len(self.clusters.sizes) == 1
        if away:
            # Back from scaled units: what is replaced is encoded, and not scaled yet.
            instead = self._centres[cluster] / self._weight + self._mean
        else:
            instead = self._mean
        rows = np.repeat(x, len(groups) + 1, axis=0)
        for row, places in enumerate(groups.values(), 1):
            rows[row, places] = instead[places]
        output, values = self._margin(self.outputs(run, rows), cluster, away)
        parts = dict(zip(groups, (values[0] - values[1:]).tolist(), strict=True))
        return Explanation(method="occlusion", output=output, contributions=parts)

    def _margin(self, output: Arrays, cluster: int, away: bool) -> tuple[str, np.ndarray]:
        """What is explained, and its value in each row."""
        name = f"cluster {cluster}"
        if DISTANCES not in output:
            logs = output[DENSITIES].astype(np.float64)
            others = np.delete(logs, cluster, axis=1)
            return f"log-odds of {name}", logs[:, cluster] - log_sum(others)
        distances = output[DISTANCES].astype(np.float64) ** 2
        if away:
            return f"squared distance from {name}, the nearest", distances[:, cluster]
        margin = np.delete(distances, cluster, axis=1).min(axis=1) - distances[:, cluster]
        return f"how much nearer {name} is than the next, in squared distance", margin

    def _unlike(self, x: np.ndarray, cluster: int) -> list[str]:
        z = (x - self._mean) * self._weight
        apart = np.abs(z - self._centres[cluster]) / self._spreads[cluster]
        strongest = {}
        for name, places in self.encoder.groups.items():
            # A column of text that training had no word of has no input.
            if places:
                most = float(apart[places].max())
                if most >= UNLIKE:
                    strongest[name] = most
        ranked = sorted(strongest, key=lambda name: -strongest[name])
        return ranked[:MOST_UNLIKE]

    def _far(self, answer: BaseModel) -> Caution | None:
        """That the row lies beyond all training rows of its cluster."""
        if isinstance(answer, MixtureAnswer):
            if answer.log_density < self.clusters.least_density:
                return Caution(field="log_density", message="is lower than of any training row")
            return None
        assert isinstance(answer, NearestAnswer)
        farthest = self.clusters.farthest
        if farthest and answer.distance > farthest[answer.cluster]:
            message = "is larger than of any training row of the cluster"
            return Caution(field="distance", message=message)
        return None
