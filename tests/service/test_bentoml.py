"""The service under BentoML: `bentoml serve` in processes of its own, and what it needs to
import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx

from modelyard.predictions.log import read_log
from tests.service.test_serve import free_port

ROOT = Path(__file__).parents[2]


def bentoml(port: int, home: Path, **env: str) -> subprocess.Popen[str]:
    environ = os.environ | {"BENTOML_HOME": str(home), "PYTHONPATH": str(ROOT)} | env
    command = [
        sys.executable,
        "-m",
        "bentoml",
        "serve",
        "service:Model",
        "--working-dir",
        str(ROOT / "services"),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    return subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_bentoml_serves_the_app_itself_and_drains(payments, payments_path, tmp_path):
    port = free_port()
    env = {"MODELYARD_PACKAGE": str(payments_path), "MODELYARD_PREDICTIONS": str(tmp_path / "log")}
    process = bentoml(port, tmp_path / "home", **env)
    try:
        address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{address}/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        reply = httpx.post(f"{address}/predict", json=payments.golden()["request"])
        assert reply.json() == payments.golden()["response"]
        assert reply.headers["x-modelyard-package"] == payments.info.version
        assert httpx.get(f"{address}/livez").status_code == 200
        assert httpx.get(f"{address}/docs.json").status_code == 404
        assert "modelyard_requests_total" in httpx.get(f"{address}/metrics").text
    finally:
        process.terminate()
        process.communicate(timeout=40)
    assert len(read_log(tmp_path / "log")["_id"]) == 1


def test_bentoml_ends_at_once_with_a_line_when_the_package_is_missing(tmp_path):
    process = bentoml(free_port(), tmp_path, MODELYARD_PACKAGE=str(tmp_path / "no"))
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "does not exist" in said
    assert "Traceback" not in said


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
    env = dict(os.environ)
    env |= {
        "MODELYARD_PACKAGE": str(line_path),
        "PYTHONPATH": str(ROOT),
        "MODELYARD_PREDICTIONS": str(tmp_path),
    }
    command = [sys.executable, "-W", "ignore", "-c", BLOCKED]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == line.predict([{"x": 1.0}])[0].model_dump()
    assert read_log(tmp_path)["x"] == [1.0]
