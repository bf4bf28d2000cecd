"""The service as it runs: BentoML in processes of its own, answering over a socket."""

from __future__ import annotations

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

import httpx
import pytest

from modelyard.errors import BrokenArtifact, MissingExtra, UsageError
from modelyard.serving import launch
from modelyard.serving.prediction_log import read_log

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
def served(package: Path, predictions: Path, workers: int = 1, **env: str):
    """The command's process and address, once it has told that it serves; stopped by SIGTERM at the end."""
    port = free_port()
    env = os.environ | {"PYTHONPATH": str(ROOT), "MODELYARD_PREDICTIONS": str(predictions)} | env
    command = [sys.executable, "-c", SERVE, str(package), str(port), str(workers)]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        process.told = "".join(process.stdout.readline() for _ in range(3))
        assert process.told.strip(), process.stderr.read()
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(40)


def test_the_service_answers_as_the_package_does_and_drains_on_sigterm(payments, payments_path, tmp_path):
    accepted: list[str] = []
    lock = threading.Lock()

    def fire(address: str, worker: int) -> None:
        with httpx.Client(base_url=address) as client:
            for number in range(100_000):
                name = f"{worker}.{number}"
                try:
                    reply = client.post("/predict", json={"amount": 1.0}, headers={"x-request-id": name})
                except httpx.TransportError:
                    return
                if reply.status_code == 200:
                    with lock:
                        accepted.append(name)

    with served(payments_path, tmp_path, workers=2) as (process, address):
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
    logged = read_log(tmp_path)["_id"]
    assert len(accepted) > 20
    assert len(logged) == len(set(logged)), "a request is in the log twice"
    assert set(accepted) | {"golden"} <= set(logged)
    counts = [float(re.search(r"^modelyard_predictions_total.* (\S+)$", text, re.MULTILINE)[1]) for text in metrics]
    assert counts == sorted(counts), "each worker must tell the sum over all workers"
    assert 'code="400"' in metrics[-1]


def test_serve_tells_a_curl_line_that_works_as_pasted(payments, payments_path, tmp_path):
    with served(payments_path, tmp_path, MODELYARD_LOG="off") as (process, address):
        assert "Ctrl-C" in process.told
        line = next(line for line in process.told.splitlines() if "curl" in line)
        if shutil.which("curl"):
            answer = subprocess.run(["bash", "-c", line], capture_output=True, check=True, text=True).stdout
            assert json.loads(answer) == payments.golden()["response"]
        process.send_signal(signal.SIGINT)
        assert process.wait(40) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/readyz")
    assert read_log(tmp_path) == {}
    assert process.stderr.read() == ""


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


def test_bentoml_by_hand_ends_at_once_with_a_line_when_the_package_is_missing(tmp_path):
    env = os.environ | launch.TELEMETRY_OFF | {"MODELYARD_PACKAGE": str(tmp_path / "no"), "BENTOML_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "bentoml", "serve", "service:Model", "--working-dir", str(ROOT / "services")]
    done = subprocess.run([*command, "--port", str(free_port())], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "does not exist" in done.stderr
    assert "Traceback" not in done.stderr


BLOCKED = """
import sys
HEAVY = {"torch", "pandas", "sklearn", "mlflow", "evidently", "scipy", "lightgbm", "xgboost", "kfp", "onnx"}
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HEAVY:
            raise ImportError(f"serving imports {name}")
sys.meta_path.insert(0, Blocker())
sys.path.insert(0, "services")
import service
from starlette.testclient import TestClient
with TestClient(service.Model.to_asgi()) as client:
    assert client.get("/readyz").status_code == 200
    print(client.post("/predict", json={"x": 1.0}).text)
assert not HEAVY & set(sys.modules), HEAVY & set(sys.modules)
"""


def test_the_service_imports_nothing_that_trains(line, line_path, tmp_path):
    env = os.environ | launch.TELEMETRY_OFF
    env |= {"MODELYARD_PACKAGE": str(line_path), "PYTHONPATH": str(ROOT), "MODELYARD_PREDICTIONS": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", "-c", BLOCKED]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == line.predict([{"x": 1.0}])[0].model_dump()
    assert read_log(tmp_path)["x"] == [1.0]


def test_the_app_imports_neither_bentoml_nor_kfp():
    code = "import sys, modelyard.serving.app, modelyard.serving.launch; print({'bentoml', 'kfp'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
