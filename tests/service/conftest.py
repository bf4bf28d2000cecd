"""Real packages of two small families from outside modelyard, made once a session."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from modelyard.family import load  # noqa: E402
from modelyard.judging.evaluation import judge  # noqa: E402
from modelyard.packages.package import Package, PackageInfo, Variant  # noqa: E402
from modelyard.runtimes.onnx import OnnxRuntime  # noqa: E402
from modelyard.settings.family import GateSettings, MonitorSettings  # noqa: E402
from modelyard.store import artifact  # noqa: E402
from modelyard.store.tables import write_parquet  # noqa: E402


def build(folder: Path, name: str) -> Path:
    """A package of the family, put together from the contract's own pieces."""
    entry = load(name)
    family = entry.make()
    raw, features, model = (folder / step for step in ("raw", "features", "model"))
    for step in (raw, features, model):
        step.mkdir(parents=True)
    family.sample(raw)
    family.features(raw, features)
    family.fit(features, model, None)
    graph = family.graphs(model)[0]
    path = folder / "package"
    with artifact.create(path) as work:
        file = work / "graphs" / "onnx-fp32" / f"{graph.name}.onnx"
        for part in (file.parent, work / "assets"):
            part.mkdir(parents=True)
        file.write_bytes(graph.onnx)
        host, run = entry.open(work / "assets"), OnnxRuntime({graph.name: file})
        result = family.evaluate(host, run, features)
        bodies = family.requests(features, "test")
        requests = [host.Request.model_validate(body) for body in bodies]
        answers = host.predict(run, requests)
        rows = [host.describe(one, answer) for one, answer in zip(requests, answers, strict=True)]
        write_parquet(rows, work / "reference.parquet")
        golden = {
            "request": bodies[0],
            "response": answers[0].model_dump(mode="json", by_alias=True),
        }
        artifact.write_json(work / "golden.json", golden)
        artifact.write_json(work / "evaluation.json", result)
        variant = Variant(
            name="onnx-fp32",
            graphs={graph.name: f"onnx-fp32/{graph.name}.onnx"},
            bytes=file.stat().st_size,
            p50_ms=0.02,
            metric=result.metrics["mae"],
            max_difference=0.0,
            chosen=True,
        )
        info = PackageInfo(
            family=name,
            title=entry.title,
            run="r1",
            version="0123456789ab",
            created=artifact.now(),
            code_version="c0de",
            data_revision=None,
            config={"data": {"uri": "s3://key:hunter2@bucket"}},
            variants=[variant],
            gate=judge(GateSettings(), result),
            metrics=result.metrics,
            baseline=result.baseline,
            monitor=MonitorSettings(),
        )
        artifact.write_json(work / "package.json", info)
        origin = artifact.Origin(
            kind="package",
            stage="package",
            run="r1",
            family=name,
            key="k",
            config_hash="h",
            code_version="c0de",
            created=artifact.now(),
            seconds=0.0,
        )
        artifact.seal(work, origin, [])
    return path


@pytest.fixture(scope="session")
def line_path(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("line"), "tests.toy.family:Line")


@pytest.fixture(scope="session")
def payments_path(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("payments"), "tests.service.payments:Payments")


@pytest.fixture(scope="session")
def line(line_path) -> Package:
    return Package(line_path, threads=1)


@pytest.fixture(scope="session")
def payments(payments_path) -> Package:
    return Package(payments_path, threads=1)
