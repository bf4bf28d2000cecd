"""The service as it runs: in processes of its own, answering over a socket."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from modelyard.errors import BrokenArtifact, MissingExtra, UsageError
from modelyard.predictions.log import read_log
from modelyard.serving import launch
from tests.service.test_swap import shifted

pytestmark = pytest.mark.timed

ROOT = Path(__file__).parents[2]
SERVE = """
import sys
from pathlib import Path
from modelyard.errors import ModelyardError
from modelyard.serving.launch import serve
try:
    sys.exit(serve(Path(sys.argv[1]), "127.0.0.1", int(sys.argv[2]), int(sys.argv[3])))
except ModelyardError as error:
    sys.exit(f"error: {error}")
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def served(
    package: Path, predictions: Path, workers: int = 1, stderr: Any = subprocess.PIPE, **env: str
):
    """The command's process and address, once it has told that it serves; stopped by SIGTERM at
    the end."""
    port = free_port()
    places = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    env = os.environ | {"PYTHONPATH": places, "MODELYARD_PREDICTIONS": str(predictions)} | env
    command = [sys.executable, "-c", SERVE, str(package), str(port), str(workers)]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=stderr, text=True)
    try:
        # As JSON it tells one line, to a person three.
        lines = 1 if env.get("MODELYARD_LOG_FORMAT") == "json" else 3
        process.told = "".join(process.stdout.readline() for _ in range(lines))
        assert process.told.strip(), process.stderr.read()
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(40)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_service_answers_as_the_package_does_and_drains_on_sigterm(
    payments, payments_path, tmp_path, workers
):
    accepted: list[str] = []
    lock = threading.Lock()

    def fire(address: str, worker: int) -> None:
        with httpx.Client(base_url=address) as client:
            for number in range(100_000):
                name = f"{worker}.{number}"
                try:
                    reply = client.post(
                        "/predict", json={"amount": 1.0}, headers={"x-request-id": name}
                    )
                except httpx.TransportError:
                    return
                if reply.status_code == 200:
                    with lock:
                        accepted.append(name)

    with served(payments_path, tmp_path, workers=workers) as (process, address):
        body = payments.golden()["request"]
        reply = httpx.post(f"{address}/predict", json=body, headers={"x-request-id": "golden"})
        assert reply.json() == {"risk score": payments.predict([body])[0].risk_score}
        assert reply.headers["x-modelyard-package"] == payments.info.version
        refused = httpx.post(f"{address}/predict", json={"amount": "much"})
        assert (refused.status_code, refused.json()["field"]) == (400, "amount")
        for path in ("livez", "readyz", "package", "openapi.json", ""):
            assert httpx.get(f"{address}/{path}").status_code == 200
        assert httpx.get(f"{address}/docs.json").status_code == 404
        threads = [threading.Thread(target=fire, args=(address, worker)) for worker in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(1.0)
        metrics = [httpx.get(f"{address}/metrics").text for _ in range(6)]
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert process.wait(40) == 0
        device = (
            f"INFO: package {payments.info.version} computes onnx-fp32 on cpu by ONNX Runtime\n"
        )
        assert process.stderr.read() == device * workers
    logged = read_log(tmp_path)["_id"]
    assert len(accepted) > 20
    assert len(logged) == len(set(logged)), "a request is in the log twice"
    assert set(accepted) | {"golden"} <= set(logged)
    counts = [
        float(re.search(r"^modelyard_predictions_total.* (\S+)$", text, re.MULTILINE)[1])
        for text in metrics
    ]
    assert counts == sorted(counts), "each worker must tell the sum over all workers"
    assert 'code="400"' in metrics[-1]


def test_serve_tells_a_curl_line_that_works_as_pasted(payments, payments_path, tmp_path):
    with served(payments_path, tmp_path, MODELYARD_LOG="off") as (process, address):
        assert "Ctrl-C" in process.told
        line = next(line for line in process.told.splitlines() if "curl" in line)
        if shutil.which("curl"):
            answer = subprocess.run(
                ["bash", "-c", line], capture_output=True, check=True, text=True
            ).stdout
            assert json.loads(answer) == payments.golden()["response"]
        process.send_signal(signal.SIGINT)
        assert process.wait(40) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/readyz")
    assert read_log(tmp_path) == {}
    device = f"INFO: package {payments.info.version} computes onnx-fp32 on cpu by ONNX Runtime\n"
    assert process.stderr.read() == device


def test_a_taken_port_names_the_next_free_one(payments_path):
    with socket.socket() as taken, socket.socket() as next_one:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        next_one.bind(("127.0.0.1", port + 1))
        for used in (taken, next_one):
            used.listen()
        with pytest.raises(UsageError, match=rf"port {port} .*Type: --port") as caught:
            launch.serve(payments_path, "127.0.0.1", port)
        other = int(re.search(r"--port (\d+)", str(caught.value))[1])
        assert other > port + 1
        launch.check_port("127.0.0.1", other)


def test_a_changed_package_is_refused_before_anything_starts(payments_path, tmp_path):
    changed = tmp_path / "package"
    shutil.copytree(payments_path, changed)
    (changed / "golden.json").write_text("{}")
    with pytest.raises(BrokenArtifact, match=r"golden\.json was changed"):
        launch.serve(changed, "127.0.0.1", free_port())


def test_without_a_server_it_says_what_to_install(payments_path, monkeypatch):
    monkeypatch.setattr(launch.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'modelyard\[serve\]'"):
        launch.serve(payments_path, "127.0.0.1", free_port())


def test_a_service_that_cannot_start_tells_its_cause(payments_path, tmp_path):
    env = {"MODELYARD_MAX_EXAMPLES": "none"}
    with pytest.raises(AssertionError, match="did not start: MODELYARD_MAX_EXAMPLES = 'none'"):  # noqa: SIM117
        with served(payments_path, tmp_path, **env):
            pass


def test_the_app_imports_neither_bentoml_nor_kfp():
    code = "import sys, modelyard.serving.app, modelyard.serving.launch; print({'bentoml', 'kfp'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


async def fire(client: httpx.AsyncClient, answered: set[str], worker: int) -> None:
    """Asks until the service is gone; every 200 is noted by its id."""
    for number in range(100_000):
        name = f"{worker}.{number}"
        try:
            reply = await client.post(
                "/predict", json={"amount": 1.0}, headers={"x-request-id": name}
            )
        except httpx.TransportError:
            return
        assert reply.status_code == 200
        answered.add(name)


async def fire_and_stop(process, address: str) -> set[str]:
    answered: set[str] = set()
    async with httpx.AsyncClient(base_url=address) as client:
        asking = [asyncio.ensure_future(fire(client, answered, worker)) for worker in range(8)]
        while len(answered) < 50:
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        await asyncio.gather(*asking)
    return answered


@pytest.mark.parametrize("times", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_sigterm_under_load_loses_no_accepted_request(payments_path, tmp_path, times):
    for turn in range(times):
        folder = tmp_path / str(turn)
        with served(payments_path, folder) as (process, address):
            answered = asyncio.run(fire_and_stop(process, address))
            assert process.wait(40) == 0
        logged = read_log(folder)["_id"]
        assert len(logged) == len(set(logged))
        assert set(logged) == answered, (
            "what the model answered and what callers got is not the same"
        )


def alive(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def children(process: int) -> list[int]:
    return [child.pid for child in psutil.Process(process).children(recursive=True)]


def test_workers_do_not_outlive_a_killed_command(payments_path, tmp_path):
    with served(payments_path, tmp_path, workers=2) as (process, _):
        workers = children(process.pid)
        assert len(workers) == 2
        process.kill()
        process.wait()
        deadline = time.monotonic() + 10
        while any(map(alive, workers)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(map(alive, workers))


def test_a_worker_that_ends_is_started_again(payments_path, tmp_path):
    with served(payments_path, tmp_path, workers=2) as (process, address):
        first = children(process.pid)
        os.kill(first[0], signal.SIGKILL)
        deadline = time.monotonic() + 20
        while (
            not (len(new := children(process.pid)) == 2 and first[0] not in new)
            and time.monotonic() < deadline
        ):
            time.sleep(0.05)
        assert first[0] not in new
        for _ in range(20):
            assert httpx.post(f"{address}/predict", json={"amount": 1.0}).status_code == 200


def test_a_swap_reaches_all_workers(line_path, line, tmp_path):
    other = shifted(line_path, tmp_path / "v1", "v1", 100.0)
    env = {"MODELYARD_TOKEN": "secret", "MODELYARD_FOLLOW_SECONDS": "0.05"}
    token = {"authorization": "Bearer secret"}
    with served(line_path, tmp_path / "log", workers=2, **env) as (_, address):
        assert httpx.get(f"{address}/package").status_code == 401
        httpx.post(
            f"{address}/admin/swap", json={"package": str(other)}, headers=token
        ).raise_for_status()
        time.sleep(1.0)
        seen = {httpx.get(f"{address}/package", headers=token).json()["version"] for _ in range(20)}
    assert seen == {"v1"}
