"""Trained boosters of XGBoost as a runtime: faster than their ONNX graph on many rows at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from modelyard.errors import BrokenArtifact, UsageError, choices
from modelyard.runtimes.cores import available_cores
from modelyard.runtimes.devices import CPU_PLACE, Place
from modelyard.runtimes.types import Arrays, Tensor

BLOCK = 64
"""Rows that XGBoost gives a thread at once: up to two blocks, the second thread costs more than it saves."""


class Shape(NamedTuple):
    """What a booster's graph takes and gives. It stands in the booster's own file."""

    takes: str
    """Name of the input: float32 (rows, columns)."""
    gives: str
    """Name of the output: float32 (rows, classes), or (rows,) without classes."""
    classes: int
    """0: a regression."""


def describe(booster: Any, shape: Shape) -> None:
    """Notes in a booster what its graph takes and gives, before it is saved."""
    booster.set_attr(takes=shape.takes, gives=shape.gives, classes=str(shape.classes))


class XgboostRuntime:
    """Runs boosters on the CPU by the graph's name: `run("model", {"features": x})`.

    `graphs` maps a name to a file of XGBoost (UBJSON); `threads` bounds the cores of one call.

    Raises:
        BrokenArtifact: XGBoost is not installed here, or a file is none of its boosters.
    """

    place: Place = CPU_PLACE

    def __init__(self, graphs: Mapping[str, Path], threads: int | None = None) -> None:
        many = threads or available_cores()
        self._boosters = {name: _Booster(file, many) for name, file in graphs.items()}

    def signature(self, graph: str) -> tuple[list[Tensor], list[Tensor]]:
        """Input and output of a graph."""
        booster = self._boosters[graph]
        shape = booster.shape
        width = (shape.classes,) if shape.classes else ()
        return (
            [Tensor(shape.takes, "float", (None, booster.columns))],
            [Tensor(shape.gives, "float", (None, *width))],
        )

    def __call__(self, graph: str, arrays: Arrays) -> Arrays:
        """Raises UsageError where the graph does not exist or takes other arrays."""
        if graph not in self._boosters:
            raise UsageError(choices("graph", graph, self._boosters))
        booster = self._boosters[graph]
        name = booster.shape.takes
        if set(arrays) != {name}:
            seen = ", ".join(arrays) or "none"
            raise UsageError(f"graph {graph!r} takes {name!r} only; seen: {seen}")
        return {booster.shape.gives: booster.predict(arrays[name])}


class _Booster:
    """An opened file."""

    def __init__(self, file: Path, threads: int) -> None:
        try:
            import xgboost
        except ImportError as error:
            raise BrokenArtifact(f"{file} needs XGBoost, which is not here: {error}") from None
        try:
            # A booster keeps its number of threads, so there is one for few rows and one for many.
            self._few = xgboost.Booster({"nthread": 1}, model_file=file)
            self._many = xgboost.Booster({"nthread": threads}, model_file=file)
        except (xgboost.core.XGBoostError, OSError, ValueError) as error:
            said = " ".join(str(error).split())
            raise BrokenArtifact(f"{file} is not a booster of XGBoost: {said[:300]}") from None
        noted = self._few.attributes()
        if missing := {"takes", "gives", "classes"} - set(noted):
            raise BrokenArtifact(
                f"{file} does not say what its graph {min(missing)}: train the model again"
            )
        self.shape = Shape(noted["takes"], noted["gives"], int(noted["classes"]))
        self.columns = self._few.num_features()

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Float32 (rows, classes), or (rows,) of a regression."""
        if x.ndim != 2 or x.shape[1] != self.columns:
            raise UsageError(f"{self.shape.takes!r} must be (rows, {self.columns}); seen {x.shape}")
        booster = self._many if len(x) > 2 * BLOCK else self._few
        answer = np.asarray(booster.inplace_predict(x.astype(np.float32, copy=False)))
        # Of two classes XGBoost gives the second one's probability only.
        if self.shape.classes and answer.ndim == 1:
            answer = np.stack([1 - answer, answer], axis=1)
        return np.ascontiguousarray(answer, dtype=np.float32)
