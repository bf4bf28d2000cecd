"""A service on a GPU, for which ONNX Runtime's CPU provider stands in: told in log, metadata and
metrics, warm before it is ready, its answers compared; and none where a GPU is asked for and there
is none."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from modelyard.errors import UsageError
from modelyard.judging.compare import difference
from modelyard.packages.package import Package
from modelyard.runtimes import devices
from modelyard.runtimes.bound import BoundRuntime
from modelyard.runtimes.devices import CPU_PLACE, ON_CPU, ON_CUDA, Place
from modelyard.serving import metrics
from modelyard.serving.app import create_app
from modelyard.serving.settings import Limits, ServingSettings
from modelyard.serving.takeover import check_answer
from modelyard.serving.traffic import Traffic, opened
from tests.charts.helm import binary
from tests.charts.test_model import environment, rendered, spec
from tests.service.test_serve import free_port, served
from tests.service.test_swap import shifted

pytestmark = pytest.mark.timed

GPU = Place("cuda:1", ((ON_CPU, {}),))


class Memory:
    """Speaks as the meter of NVIDIA's driver does."""

    def memory(self, number: int) -> int | None:
        return {1: 3 * 2**30}.get(number)


@pytest.fixture
def on_gpu(monkeypatch) -> None:
    """Buffers lie in the CPU's memory; all else takes it for a GPU."""
    monkeypatch.setattr(Place, "memory", "cpu")
    monkeypatch.setattr(metrics, "GpuMeter", Memory)
    monkeypatch.setitem(devices.NAMES, ON_CPU, "TensorRT")


def get(app, path: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.get(path)

    return asyncio.run(ask())


def test_device_and_memory_are_in_the_metadata_and_in_the_metrics(on_gpu, line_path):
    app = create_app(Package(line_path, device=GPU), None, Limits(batch_rows=4))
    assert get(app, "/package").json()["device"] == "cuda:1 by TensorRT"
    name = get(app, "/package").json()["family"].replace(":", "-")
    models = {route for route in (name, "tests-toy-family-line") if route}
    found = [get(app, f"/v2/models/{model}") for model in models]
    told = next(reply.json() for reply in found if reply.status_code == 200)
    assert told["parameters"] == {"device": "cuda:1 by TensorRT"}
    figures = get(app, "/metrics").text
    assert (
        'modelyard_device{device="cuda:1",package="0123456789ab",runtime="TensorRT"} 1.0' in figures
    )
    assert 'modelyard_device_memory_bytes{device="cuda:1"} 3.221225472e+09' in figures


def test_every_batch_that_callers_may_make_was_computed_before_the_service_is_ready(
    on_gpu, line_path, monkeypatch
):
    rows: list[int] = []
    computes = BoundRuntime.hold

    def counted(self, graph, arrays, held):
        rows.append(len(next(iter(arrays.values()))))
        return computes(self, graph, arrays, held)

    monkeypatch.setattr(BoundRuntime, "hold", counted)
    ends = opened(Package(line_path, device=GPU), None, Limits(batch_rows=16))
    assert set(range(1, ends.lanes.quick.pace.best + 1)) <= set(rows)
    assert ends.lanes.quick.pace.best > 1


def test_on_the_cpu_graphs_are_called_directly(line_path):
    package = Package(line_path)
    assert not hasattr(package.run, "hold")
    assert package.place is CPU_PLACE


def test_a_device_that_answers_otherwise_does_not_serve(on_gpu, line_path, tmp_path):
    """A package whose golden answer is 0.5 above what its graph gives on this device."""
    other = shifted(line_path, tmp_path / "other", "vx", 0.5)
    (other / "graphs" / "onnx-fp32" / "line.onnx").write_bytes(
        (line_path / "graphs" / "onnx-fp32" / "line.onnx").read_bytes()
    )
    resealed = shifted(other, tmp_path / "resealed", "vy", 0.0)
    with pytest.raises(
        UsageError, match=r"does not give its own answer on cuda:1 by TensorRT: ans"
    ):
        opened(Package(resealed, device=GPU), None, Limits(batch_rows=1))
    check_answer(Package(resealed), tolerance=1.0)


def test_a_package_takes_over_only_with_its_own_answer_and_on_the_same_device(
    on_gpu, line_path, tmp_path
):
    good = shifted(line_path, tmp_path / "good", "v1", 100.0)
    wrong = shifted(line_path, tmp_path / "wrong", "v2", 0.5)
    (wrong / "graphs" / "onnx-fp32" / "line.onnx").write_bytes(
        (line_path / "graphs" / "onnx-fp32" / "line.onnx").read_bytes()
    )
    wrong = shifted(wrong, tmp_path / "resealed", "v3", 0.0)
    for device in (GPU, CPU_PLACE):
        traffic = Traffic(opened(Package(line_path, device=device), None, Limits(batch_rows=1)))
        with pytest.raises(UsageError, match="does not give its own answer on"):
            asyncio.run(traffic.swap(wrong))
        assert traffic.champion.opened.info.version == "0123456789ab"
        assert asyncio.run(traffic.swap(good)) == "v1"
        assert traffic.champion.opened.place == device


@pytest.mark.parametrize("workers", [1, 2])
def test_a_service_whose_gpu_is_not_there_never_becomes_ready_and_says_why(
    workers, line_path, tmp_path
):
    command = [sys.executable, "-m", "modelyard", "serve", str(line_path), "--device", "cuda"]
    command += ["--port", str(free_port()), "--workers", str(workers)]
    families = {"MODELYARD_FAMILIES": "tests.toy.family:Line", "MODELYARD_HOME": str(tmp_path)}
    done = subprocess.run(
        command,
        env=os.environ | families | {"PYTHONPATH": f"{os.environ.get('PYTHONPATH')}:{Path.cwd()}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: the service did not start: device 'cuda': this ONNX Runtime (")
    assert "Serve with the image modelyard/server-cuda" in last


@pytest.mark.skipif(binary() is None, reason="helm is not installed. Type: make helm")
def test_a_pod_of_the_chart_that_asked_for_a_gpu_and_has_none_ends_with_the_line(
    line_path, tmp_path
):
    """The container as the chart makes it, its mounts as folders of this machine."""
    server = spec(rendered("default", "gpu.count=1")["Deployment/payments"])["containers"][0]
    folders = {"/package/model": str(line_path), "/engines": str(tmp_path / "engines")}
    own = {name: folders.get(value, value) for name, value in environment(server).items() if value}
    own |= {name: str(tmp_path) for name in ("HOME", "MODELYARD_HOME", "MODELYARD_PREDICTIONS")}
    own |= {"MODELYARD_FAMILIES": "tests.toy.family:Line"}
    words = [folders.get(word, word) for word in [*server["command"], *server["args"]]]
    words = [word.replace("3000", str(free_port())) for word in words]
    done = subprocess.run(
        [sys.executable, "-m", *words],
        env=os.environ | own | {"PYTHONPATH": f"{os.environ.get('PYTHONPATH')}:{Path.cwd()}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: the service did not start: device 'cuda': this ONNX Runtime (")
    assert "modelyard/server-cuda" in last
    assert server["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_the_log_names_the_device(line_path, tmp_path):
    families = {"MODELYARD_FAMILIES": "tests.toy.family:Line"}
    with (
        (tmp_path / "log").open("w") as log,
        served(line_path, tmp_path / "p", stderr=log, **families),
    ):
        pass
    assert (
        "package 0123456789ab computes onnx-fp32 on cpu by ONNX Runtime"
        in (tmp_path / "log").read_text()
    )


def test_a_worker_takes_the_gpu_of_its_number(monkeypatch, line_path):
    monkeypatch.setattr("modelyard.cost.meters.visible_gpus", lambda: ["GPU-a", "GPU-b"])
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [ON_CUDA, ON_CPU])
    monkeypatch.setattr(devices, "refusal", lambda providers: "")
    environ = {"MODELYARD_PACKAGE": str(line_path), "MODELYARD_DEVICE": "cuda"}
    for worker, device in (("0", "cuda:0"), ("1", "cuda:1"), ("2", "cuda:0")):
        settings = ServingSettings.from_environment(environ | {"MODELYARD_WORKER": worker})
        assert settings.place().device == device


@pytest.mark.gpu
@pytest.mark.parametrize("device", ["cuda", "cpu"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_gpu_gives_the_packages_own_answer_over_http(
    device, workers, payments, payments_path, tmp_path
):
    engines = {"MODELYARD_ENGINES": str(tmp_path / "engines"), "MODELYARD_DEVICE": device}
    with served(payments_path, tmp_path / "p", workers=workers, **engines) as (_, address):
        golden = payments.golden()
        answer = httpx.post(f"{address}/predict", json=golden["request"]).json()
        assert difference(golden["response"], answer, 1e-3) == ""
        assert httpx.get(f"{address}/package").json()["device"].startswith(device)
        figures = httpx.get(f"{address}/metrics").text
        assert ("modelyard_device_memory_bytes{" in figures) == (device == "cuda")
