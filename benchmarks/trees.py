"""Boosted trees as they serve (ONNX Runtime; XGBoost's also from their own file) next to their own
library's predict, in turn, on the same rows with the same number of threads.

    OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive python benchmarks/trees.py [--trees 100 500] [--rows 1 64 10000]

Two tables of 30 columns: scikit-learn's breast cancer data, 569 rows, whose trees have a few leaves
each, and a simulated one of 20,000 rows, whose trees are full. Predicted rows are the table's,
repeated with noise. Besides the median of the wall's time it prints the processor's time, which a
busy machine lengthens less.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import xgboost
from sklearn.datasets import load_breast_cancer, make_classification

from modelyard.families.tabular.kinds import GRAPH, INPUT, output_name
from modelyard.families.tabular.native import to_onnx
from modelyard.families.tabular.table import ModelInfo
from modelyard.runtimes.boosters import Shape, XgboostRuntime, describe
from modelyard.runtimes.onnx import OnnxRuntime
from modelyard.runtimes.types import Runtime

LEAVES, OPSET, THREADS = 31, 18, 1

Predict = Callable[[np.ndarray], Any]


def tables() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Float32 (rows, 30) and the class of each row, by name."""
    small = load_breast_cancer()
    x, y = make_classification(20_000, 30, n_informative=12, random_state=0)
    return {
        "cancer": (small.data.astype(np.float32), small.target),
        "simulated": (x.astype(np.float32), y),
    }


def fitted(kind: str, trees: int, x: np.ndarray, y: np.ndarray) -> tuple[Any, Predict]:
    """A booster, and its library's fastest way to answer."""
    if kind == "lightgbm":
        classifier = lightgbm.LGBMClassifier(
            n_estimators=trees, num_leaves=LEAVES, n_jobs=THREADS, verbose=-1
        )
        booster = classifier.fit(x, y).booster_
        return booster, lambda rows: booster.predict(rows, num_threads=THREADS)
    classifier = xgboost.XGBClassifier(
        n_estimators=trees,
        max_leaves=LEAVES,
        max_depth=0,
        grow_policy="lossguide",
        learning_rate=0.1,
        n_jobs=THREADS,
    )
    booster = classifier.fit(x, y).get_booster()
    booster.set_param({"nthread": THREADS})
    return booster, booster.inplace_predict


def own_file(booster: Any) -> Runtime:
    """The booster as the variant `xgboost` serves it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.ubj"
        describe(booster, Shape(INPUT, output_name(["0", "1"]), 2))
        booster.save_model(file)
        return XgboostRuntime({GRAPH: file}, THREADS)


def answered(run: Runtime, rows: np.ndarray) -> Any:
    """What a runtime gives to rows."""
    return run(GRAPH, {INPUT: rows})


def timed(
    ways: dict[str, Predict], rows: np.ndarray, rounds: int
) -> dict[str, tuple[float, float]]:
    """Median seconds of the wall and of the processor for one call."""
    # A call of one row is too short for the processor's clock.
    calls = max(1, 300 // len(rows))
    wall: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for place in np.random.default_rng(number).permutation(len(ways)):
            name = list(ways)[place]
            start, worked = time.perf_counter(), time.process_time()
            for _ in range(calls):
                ways[name](rows)
            wall[name].append((time.perf_counter() - start) / calls)
            processor[name].append((time.process_time() - worked) / calls)
    found = {}
    for name in ways:
        found[name] = statistics.median(wall[name][1:]), statistics.median(processor[name][1:])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--trees", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 64, 10_000])
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    for table, (x, y) in tables().items():
        many = x[rng.integers(len(x), size=max(arguments.rows))]
        many += rng.normal(0, 0.01, many.shape).astype(np.float32)
        for kind, trees in itertools.product(("lightgbm", "xgboost"), arguments.trees):
            booster, native = fitted(kind, trees, x, y)
            info = ModelInfo(
                kind=kind, task="classification", columns=x.shape[1], classes=["0", "1"]
            )
            run = OnnxRuntime({GRAPH: to_onnx(booster, info, OPSET)}, THREADS)
            ways = {"native": native, "onnx-fp32": partial(answered, run)}
            if kind == "xgboost":
                ways["xgboost"] = partial(answered, own_file(booster))
            for count in arguments.rows:
                seen = timed(ways, many[:count], arguments.rounds)
                wall, worked = seen.pop("native")
                for name, (served, served_worked) in seen.items():
                    print(
                        f"{table:9} {kind:9} {trees:4} trees {count:6} rows  native {wall * 1e6:10.1f} us, "
                        f"processor {worked * 1e6:10.1f}  {name:9} {served * 1e6:10.1f} us, processor "
                        f"{served_worked * 1e6:10.1f}  {wall / served:5.2f} times as fast, processor "
                        f"{worked / served_worked:5.2f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
