"""How small a classifier of pictures can be made: a student that a teacher helps, the teacher pruned,
and int8 with and without training for it. All through the pipeline's own stages.

    python benchmarks/students.py smaller [--folder FOLDER] [--seeds 3] [--rounds 300]
    python benchmarks/students.py int8 [--folder FOLDER] [--seeds 3]

Built runs are kept in FOLDER, so that a second call measures the same packages. Nothing is chosen by
the test split: each setting is run once and reported.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from modelyard.packages.package import Package, PackageInfo, read_info
from modelyard.packages.variant import BASE, Variant
from modelyard.runtimes.opening import open_variant
from modelyard.settings.family import parse_assignments
from modelyard.stages.evaluate import evaluate
from modelyard.stages.export import export
from modelyard.stages.features import features
from modelyard.stages.ingest import ingest
from modelyard.stages.judged import evaluated
from modelyard.stages.package import package
from modelyard.stages.run import Run
from modelyard.stages.train import train
from modelyard.store import artifact
from modelyard.store.artifact import MANIFEST
from modelyard.store.base import WEIGHTS

LARGE = ("model.width=48", "training.epochs=8")
SMALL = ("model.width=24", "training.epochs=20")
FIRST = ("model.width=8", "features.size=16", "training.epochs=15", "training.learning_rate=3e-3")
AGAIN = (
    "model.width=8",
    "features.size=16",
    "training.epochs=1",
    "training.learning_rate=1e-3",
    "compress.aware_epochs=15",
    "compress.recovery_rate=1",
)
SPREAD = 3.5
"""Channels get up to 2 ** SPREAD times wider or narrower."""
INT8 = ("onnx-int8-static", "onnx-int8-aware")


def built(folder: Path, settings: tuple[str, ...]) -> Path:
    """The package of a run with these settings; the one that is there already, where it is."""
    if (folder / "package").is_dir():
        return folder / "package"
    run = Run.of("image", parse_assignments(settings), id=folder.name)
    at = {
        name: folder / name
        for name in ("dataset", "features", "model", "evaluation", "graphs", "package")
    }
    ingest(run, dataset=at["dataset"])
    features(run, dataset=at["dataset"], features=at["features"])
    train(run, features=at["features"], model=at["model"])
    evaluate(run, features=at["features"], model=at["model"], evaluation=at["evaluation"])
    export(run, features=at["features"], model=at["model"], graphs=at["graphs"])
    package(run, **{name: path for name, path in at.items() if name != "dataset"})
    return folder / "package"


def smaller(folder: Path, seeds: int, rounds: int) -> None:
    """A teacher, the same small network with and without it, and the teacher pruned."""
    ways: dict[str, tuple[str, ...]] = {
        "teacher": LARGE,
        "small, labels only": SMALL,
        "small, taught": SMALL,
        "teacher, pruned": (*LARGE, "compress.prune=0.35"),
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for seed in range(seeds):
        packages = {}
        for number, (name, settings) in enumerate(ways.items()):
            common = (f"seed={seed}", f"data.split_seed={seed}", "export.variants=onnx-fp32")
            place = folder / f"seed-{seed}-{number}"
            if "taught" in name:
                settings = (*settings, f"compress.teacher={packages['teacher']}")
            packages[name] = built(place, (*settings, *common))
        for name, median in timed(packages, rounds).items():
            info = read_info(packages[name])
            precise = variant(info, BASE)
            found[name].append(
                {
                    "bytes": precise.bytes,
                    "validation": precise.metric,
                    "test": info.metrics["accuracy"],
                    "ms": median * 1e3,
                }
            )
    print(
        "| network | onnx-fp32 | p50 | × teacher | accuracy, validation | test | of the teacher's |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, rows in found.items():
        size = statistics.mean(row["bytes"] for row in rows)
        shares = [
            row["test"] / first["test"] for row, first in zip(rows, found["teacher"], strict=True)
        ]
        faster = [
            first["ms"] / row["ms"] for row, first in zip(rows, found["teacher"], strict=True)
        ]
        first = statistics.mean(row["bytes"] for row in found["teacher"])
        print(
            f"| {name} | {size / 1e3:,.0f} kB ({size / first:.2f}) | {mean_of(rows, 'ms'):.2f} ms | "
            f"{statistics.mean(faster):.2f} | {mean_of(rows, 'validation'):.4f} | {mean_of(rows, 'test'):.4f} | "
            f"{min(shares):.2%} at least |"
        )


def int8(folder: Path, seeds: int) -> None:
    """int8 of a network whose channels differ widely in range: calibrated after training, and
    learned in training."""
    print("| seed | variant | accuracy, validation | change | test |")
    print("|---|---|---|---|---|")
    for seed in range(seeds):
        first, place = folder / f"int8-{seed}-first", folder / f"int8-{seed}"
        built(
            first, (*FIRST, f"seed={seed}", f"data.split_seed={seed}", "export.variants=onnx-fp32")
        )
        wide = widened(first / "model", folder / f"int8-{seed}-wide", seed)
        common = (
            f"seed={seed}",
            f"data.split_seed={seed}",
            f"export.variants={','.join(INT8)}",
            "export.max_loss=1",
        )
        info = read_info(built(place, (*AGAIN, f"continual.start={wide}", *common)))
        for left_out in info.left_out:
            if left_out.name in INT8:
                print(f"| {seed} | `{left_out.name}` | {left_out.verdict}: {left_out.reason} | | |")
        for one in info.variants:
            if one.name not in (BASE, *INT8):
                continue
            print(
                f"| {seed} | `{one.name}` | {one.metric:.4f} | {one.change:+.4f} | {on_test(place, one):.4f} |",
                flush=True,
            )


def widened(model: Path, out: Path, seed: int) -> Path:
    """A model folder that answers as another one does, its channels wider and narrower at random.

    What a norm scales up before a ReLU, the next convolution scales down: networks with such ranges
    are what calibration fails on (Nagel et al. 2019, section 3).
    """
    if out.is_dir():
        return out
    rng = np.random.default_rng(seed)
    weights = load_file(model / WEIGHTS)
    for name in [one for one in weights if one.endswith("second.weight")]:
        block = name.removesuffix("second.weight")
        width = len(weights[f"{block}norms.0.weight"])
        scale = torch.from_numpy(2 ** rng.uniform(-SPREAD, SPREAD, width)).float()
        weights[f"{block}norms.0.weight"] *= scale
        weights[f"{block}norms.0.bias"] *= scale
        weights[name] /= scale[None, :, None, None]
    manifest = artifact.read_manifest(model)
    with artifact.create(out) as work:
        shutil.copytree(model, work, dirs_exist_ok=True)
        (work / MANIFEST).unlink()
        save_file(weights, work / WEIGHTS)
        artifact.seal(work, artifact.Origin(**manifest.model_dump()), [manifest])
    return out


def on_test(place: Path, one: Variant) -> float:
    """Accuracy of a variant on the test split."""
    info: PackageInfo = read_info(place / "package")
    run = Run.of("image", info.config, id="judged")
    host = run.entry.open(place / "package" / "assets")
    runtime = open_variant(place / "package" / "graphs", one.name, one.graphs)
    return evaluated(run, host, runtime, place / "features", "test").metrics["accuracy"]


def variant(info: PackageInfo, name: str) -> Variant:
    """A variant of a package, by name."""
    return next(one for one in info.variants if one.name == name)


def timed(packages: Mapping[str, Path], rounds: int) -> dict[str, float]:
    """Median seconds of a single prediction, whole, by onnx-fp32; packages take turns in a random
    order."""
    opened: dict[str, Any] = {}
    for name, path in packages.items():
        held = Package(path)
        runtime = open_variant(path / "graphs", BASE, variant(held.info, BASE).graphs)
        opened[name] = (held.host, runtime, [held.parse(held.golden()["request"])])
    taken: dict[str, list[float]] = {name: [] for name in opened}
    rng = np.random.default_rng(0)
    for _ in range(rounds + 5):
        for name in rng.permutation(list(opened)):
            host, runtime, requests = opened[name]
            started = time.perf_counter()
            host.predict(runtime, requests)
            taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(seconds[5:]) for name, seconds in taken.items()}


def mean_of(rows: list[dict[str, float]], name: str) -> float:
    """Of one figure over seeds."""
    return statistics.mean(row[name] for row in rows)


def main() -> None:
    """Runs one of the comparisons."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=("smaller", "int8"))
    parser.add_argument("--folder", type=Path, default=Path("students"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=300)
    arguments = parser.parse_args()
    if arguments.what == "smaller":
        smaller(arguments.folder, arguments.seeds, arguments.rounds)
    else:
        int8(arguments.folder, arguments.seeds)


if __name__ == "__main__":
    main()
