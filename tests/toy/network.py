"""A family with weights enough to be worth compressing: a network of three layers, of which the
last is fitted. An input column of large values that do not matter can be added: what 8 bits for a
whole row cannot bear."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from pydantic import BaseModel, Field

from modelyard.family import Entry, Family
from modelyard.host import Host
from modelyard.judging.evaluation import Evaluation
from modelyard.kit.intervals import resample
from modelyard.runtimes.types import Graph
from modelyard.settings.family import FamilyConfig, Settings

COLUMNS, WIDTH = 8, 512
SPLITS = {"train": 600, "validation": 300, "test": 300}


class NetworkFeatures(Settings):
    outlier: float = Field(default=0.0, ge=0)
    """Size of an input column that says nothing."""


class NetworkConfig(FamilyConfig):
    features: NetworkFeatures = NetworkFeatures()


class Signal(BaseModel, extra="forbid"):
    x: list[float] = Field(min_length=COLUMNS, max_length=COLUMNS)


class Reading(BaseModel):
    y: float


class NetworkHost(Host):
    Request, Response = Signal, Reading

    def predict(self, run, requests):
        x = np.array([request.x for request in requests], np.float32)
        return [Reading(y=float(y)) for y in run("network", {"x": x})["y"][:, 0]]

    def describe(self, request, response):
        return {"x": request.x[0], "y": response.y}


def hidden(x, weights):
    """What the last layer sees."""
    one = np.maximum(x @ weights["w1"], 0)
    return np.maximum(one @ weights["w2"], 0)


class NetworkFamily(Family[NetworkConfig]):
    def sample(self, raw: Path):
        rng = np.random.default_rng(self.config.seed)
        x = rng.normal(size=(sum(SPLITS.values()), COLUMNS)).astype(np.float32)
        y = np.sin(x[:, 1]) + 0.5 * x[:, 2] + rng.normal(0, 0.05, len(x))
        if self.config.features.outlier:
            x[:, 0] = self.config.features.outlier
        np.savez(raw / "signals.npz", x=x, y=y)

    def features(self, raw: Path, out: Path):
        held = np.load(raw / "signals.npz")
        start = 0
        for name, rows in SPLITS.items():
            part = slice(start, start + rows)
            np.savez(out / f"{name}.npz", x=held["x"][part], y=held["y"][part])
            start += rows
        return {"rows": SPLITS, "dropped": {}}

    def fit(self, features, out, trainer):
        rng = np.random.default_rng(self.config.seed)
        w1 = rng.normal(0, COLUMNS**-0.5, (COLUMNS, WIDTH)).astype(np.float32)
        w2 = rng.normal(0, WIDTH**-0.5, (WIDTH, WIDTH)).astype(np.float32)
        if self.config.features.outlier:
            w1[0] = 0
        train = np.load(features / "train.npz")
        weights = {"w1": w1, "w2": w2}
        seen = hidden(train["x"], weights)
        gram = seen.T @ seen + 0.1 * np.eye(WIDTH)
        weights["w3"] = np.linalg.solve(gram, seen.T @ train["y"]).astype(np.float32)[:, None]
        np.savez(out / "weights.npz", **weights)
        return {"headline": "fitted"}

    def native(self, model):
        weights = dict(np.load(model / "weights.npz"))
        return lambda graph, arrays: {"y": hidden(arrays["x"], weights) @ weights["w3"]}

    def graphs(self, model):
        weights = dict(np.load(model / "weights.npz"))
        tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
        nodes = [
            helper.make_node("MatMul", ["x", "w1"], ["a"], "first"),
            helper.make_node("Relu", ["a"], ["b"], "bend"),
            helper.make_node("MatMul", ["b", "w2"], ["c"], "second"),
            helper.make_node("Relu", ["c"], ["d"], "bend_again"),
            helper.make_node("MatMul", ["d", "w3"], ["y"], "last"),
        ]
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", COLUMNS])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])
        graph = helper.make_graph(nodes, "network", [x], [y], tensors)
        onnx = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        example = np.random.default_rng(0).normal(size=(8, COLUMNS)).astype(np.float32)
        if self.config.features.outlier:
            example[:, 0] = self.config.features.outlier
        return [Graph("network", {"x": example}, onnx=onnx.SerializeToString())]

    def requests(self, features, split, limit=None):
        x = np.load(features / f"{split}.npz")["x"][:limit]
        return [{"x": row} for row in x.tolist()]

    def evaluate(self, host, run, features, split="test"):
        held = np.load(features / f"{split}.npz")
        seen = run("network", {"x": held["x"]})["y"][:, 0]
        mean = np.full(len(seen), np.load(features / "train.npz")["y"].mean())
        found = resample(lambda y, answer: float(np.abs(y - answer).mean()), held["y"], seen, mean)
        return Evaluation(
            split=split,
            rows=len(seen),
            main="mae",
            directions={"mae": "min"},
            baseline_name="mean",
            metrics={"mae": float(found.values[0])},
            baseline={"mae": float(found.values[1])},
            intervals=found.intervals("mae"),
            samples=found.paired(),
        )


Network = Entry("small network", NetworkConfig, build=NetworkFamily, host=NetworkHost)
