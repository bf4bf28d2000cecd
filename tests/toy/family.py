"""A family outside modelyard: a straight line through points of a CSV with columns x and y."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
from pydantic import BaseModel, Field

from modelyard.errors import BadData
from modelyard.family import Entry, Family
from modelyard.host import Host
from modelyard.judging.evaluation import Evaluation
from modelyard.runtimes.types import Graph
from modelyard.settings.family import FamilyConfig, Settings


class LineFeatures(Settings):
    points: int = Field(default=300, ge=30)
    """Points of the built-in data."""


class LineConfig(FamilyConfig):
    features: LineFeatures = LineFeatures()

    @classmethod
    def debug(cls):
        return cls(features=LineFeatures(points=60))


class Point(BaseModel, extra="forbid"):
    x: float = Field(description="Where to read the line")


class Height(BaseModel):
    y: float


class LineHost(Host):
    Request, Response = Point, Height

    def predict(self, run, requests):
        x = np.array([[request.x] for request in requests], np.float32)
        return [Height(y=float(y)) for y in run("line", {"x": x})["y"][:, 0]]

    def describe(self, request, response):
        return {"x": request.x, "y": response.y}


class LineFamily(Family[LineConfig]):
    def sample(self, raw: Path):
        rng = np.random.default_rng(self.config.seed)
        x = rng.uniform(-3, 3, self.config.features.points)
        rows = zip(x, 2 * x + 1 + rng.normal(0, 0.1, len(x)), strict=True)
        (raw / "points.csv").write_text("x,y\n" + "".join(f"{a},{b}\n" for a, b in rows))

    def features(self, raw: Path, out: Path):
        file, points = next(raw.glob("*.csv"), None), []
        if file is None:
            raise BadData("no CSV file", file=raw)
        with file.open() as stream:
            for number, row in enumerate(csv.DictReader(stream), 1):
                try:
                    points.append((float(row["x"]), float(row["y"])))
                except (KeyError, TypeError, ValueError):
                    raise BadData("x and y must be numbers", file=file.name, row=number) from None
        if len(points) < 10:
            raise BadData(f"{len(points)} points; at least 10 are needed", file=file.name)
        cut = [int(len(points) * share) for share in (0.6, 0.8)]
        splits = dict(
            zip(("train", "validation", "test"), np.split(np.array(points), cut), strict=True)
        )
        for name, values in splits.items():
            np.save(out / f"{name}.npy", values)
        return {"rows": {name: len(values) for name, values in splits.items()}, "dropped": {}}

    def fit(self, features, out, trainer):
        x, y = np.load(features / "train.npy").T
        slope, offset = np.polyfit(x, y, 1)
        (out / "line.json").write_text(json.dumps([slope, offset]))
        return {"headline": f"y = {slope:.2f} x + {offset:.2f}"}

    def native(self, model):
        slope, offset = json.loads((model / "line.json").read_text())
        return lambda graph, arrays: {"y": (arrays["x"] * slope + offset).astype(np.float32)}

    def graphs(self, model):
        from onnx import helper, numpy_helper

        slope, offset = json.loads((model / "line.json").read_text())
        weights = [
            numpy_helper.from_array(np.array(value, np.float32), name)
            for name, value in (("w", [[slope]]), ("b", [offset]))
        ]
        x, y = (helper.make_tensor_value_info(name, 1, ["n", 1]) for name in "xy")
        graph = helper.make_graph(
            [helper.make_node("Gemm", ["x", "w", "b"], ["y"])], "line", [x], [y], weights
        )
        onnx = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        return [
            Graph("line", {"x": np.array([[0.5], [1]], np.float32)}, onnx=onnx.SerializeToString())
        ]

    def requests(self, features, split, limit=None):
        return [{"x": x} for x, _ in np.load(features / f"{split}.npy")[:limit].tolist()]

    def evaluate(self, host, run, features, split="test"):
        x, y = np.load(features / f"{split}.npy").T
        answers = host.predict(run, [Point(x=value) for value in x])
        middle = np.load(features / "train.npy")[:, 1].mean()
        return Evaluation(
            split=split,
            rows=len(y),
            main="mae",
            directions={"mae": "min"},
            baseline_name="mean",
            metrics={"mae": float(np.abs([answer.y for answer in answers] - y).mean())},
            baseline={"mae": float(np.abs(middle - y).mean())},
        )


Line = Entry("straight line", LineConfig, build=LineFamily, host=LineHost)
