"""The service as BentoML's users know it: `bentoml serve`, `bentoml build` and BentoML's own
client, in processes of their own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import bentoml
import httpx
import pytest
from bentoml.exceptions import BentoMLException

from modelyard import TELEMETRY_OFF
from modelyard.predictions.log import read_log
from tests.service.test_serve import free_port

ROOT = Path(__file__).parents[2]
SERVICES = ROOT / "services"


def environment(home: Path, **more: str) -> dict[str, str]:
    own = {"BENTOML_HOME": str(home), "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    without = {name: value for name, value in os.environ.items() if name != "MODELYARD_PACKAGE"}
    return without | own | more


def bentoml_command(*words: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bentoml", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)


@contextlib.contextmanager
def served(*what: str, env: dict[str, str]) -> Iterator[str]:
    """The address of `bentoml serve`, stopped at the end by SIGTERM."""
    port = free_port()
    command = [sys.executable, "-m", "bentoml", "serve", *what]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(address, process)
        yield address
    finally:
        process.terminate()
        process.communicate(timeout=40)


def wait_until_ready(address: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{address}/readyz").status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError("bentoml serve did not become ready")


def test_bentoml_serves_a_typed_api_that_its_client_reads(payments, payments_path, tmp_path):
    log = tmp_path / "log"
    env = environment(
        tmp_path / "home", MODELYARD_PACKAGE=str(payments_path), MODELYARD_PREDICTIONS=str(log)
    )
    golden = payments.golden()
    with served("service:Model", "--working-dir", str(SERVICES), env=env) as address:
        with bentoml.SyncHTTPClient(address) as client:
            answers = client.predict([golden["request"]] * 3)
            assert answers == [golden["response"]] * 3
            with pytest.raises(BentoMLException) as refused:
                client.predict([golden["request"], {"amount": "lots"}])
            with pytest.raises(BentoMLException, match="field 'amuont' is unknown"):
                client.predict([golden["request"] | {"amuont": 1.0}])
        assert refused.value.error_code == 400
        said = json.loads(str(refused.value))
        assert said["error"].startswith("field 'amount' must be a number from 0")
        assert (said["field"], said["index"]) == ("amount", 1)

        (route,) = httpx.get(f"{address}/schema.json").json()["routes"]
        assert (route["name"], route["route"]) == ("predict", "/predict")
        (asked,) = route["input"]["$defs"].values()
        assert asked["properties"] == payments.host.Request.model_json_schema()["properties"]
        assert asked["required"] == ["amount"]
        (answered,) = route["output"]["$defs"].values()
        assert answered["properties"].keys() == golden["response"].keys()
        assert route["input"]["type"] == route["output"]["type"] == "array"

        reply = httpx.post(f"{address}/predict", json=golden["request"])
        assert reply.json() == golden["response"]
        assert reply.headers["x-modelyard-package"] == payments.info.version
        assert httpx.post(f"{address}/predict", content=b"[").status_code == 415
        counters = httpx.get(f"{address}/metrics").text
        version = payments.info.version
        assert f'modelyard_predictions_total{{package="{version}"}} 4.0' in counters
        assert httpx.get(f"{address}/nowhere").status_code == 404
        assert "nowhere" not in httpx.get(f"{address}/metrics").text
    assert len(read_log(log)["_id"]) == 4


def test_bentoml_reads_no_body_over_the_limit_and_asks_for_the_token(line_path, tmp_path):
    env = environment(
        tmp_path / "home",
        MODELYARD_PACKAGE=str(line_path),
        MODELYARD_PREDICTIONS=str(tmp_path / "log"),
        MODELYARD_MAX_BODY_BYTES="1000",
        MODELYARD_TOKEN="secret",
        MODELYARD_WORKERS="2",
    )
    with served("service:Model", "--working-dir", str(SERVICES), env=env) as address:
        assert httpx.get(f"{address}/schema.json").status_code == 401
        with bentoml.SyncHTTPClient(address, token="secret") as client:
            assert len(client.predict([{"x": 1.0}])) == 1
            with pytest.raises(BentoMLException, match="more than 1,000 bytes") as refused:
                client.predict([{"x": 1.0}] * 200)
            assert refused.value.error_code == 413
        # Summed over both workers, whichever is asked.
        counted = re.findall(
            r'modelyard_requests_total\{code="(\d+)".*route="predict"\} (\S+)',
            httpx.get(f"{address}/metrics").text,
        )
        assert sorted(counted) == [("200", "1.0"), ("413", "1.0")]


def test_a_bento_carries_its_package_and_serves_it(payments, payments_path, tmp_path):
    package = tmp_path / "package"
    shutil.copytree(payments_path, package)
    env = environment(tmp_path / "home", MODELYARD_PREDICTIONS=str(tmp_path / "log"))
    stored = subprocess.run(
        [sys.executable, str(SERVICES / "store.py"), str(package)],
        env=env,
        capture_output=True,
        text=True,
    )
    assert stored.returncode == 0, stored.stderr
    tag = stored.stdout.strip()
    built = bentoml_command("build", str(SERVICES), "--arg", f"model={tag}", "-o", "tag", env=env)
    assert built.returncode == 0, built.stderr
    bento = built.stdout.strip().removeprefix("__tag__:")
    shutil.rmtree(package)
    golden = payments.golden()
    with (
        served(bento, env=env) as address,
        bentoml.SyncHTTPClient(address) as client,
    ):
        assert client.predict([golden["request"]]) == [golden["response"]]
        assert httpx.get(f"{address}/package").json()["version"] == payments.info.version
    listed = bentoml_command("get", bento, "-o", "json", env=env)
    assert tag in listed.stdout


def test_bentoml_ends_at_once_with_a_line_when_the_package_is_missing(tmp_path):
    env = environment(tmp_path, MODELYARD_PACKAGE=str(tmp_path / "no"))
    done = bentoml_command("serve", "service:Model", "--working-dir", str(SERVICES), env=env)
    assert done.returncode == 1
    assert "does not exist" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["serve", "build"])
def test_a_command_that_would_report_its_use_ends_in_a_line(line_path, tmp_path, command):
    env = environment(tmp_path, MODELYARD_PACKAGE=str(line_path), __BENTOML_DEBUG_USAGE="True")
    for name in TELEMETRY_OFF:
        env.pop(name, None)
    done = bentoml_command(command, str(SERVICES), env=env)
    assert done.returncode == 2
    assert done.stderr.endswith("Type: export BENTOML_DO_NOT_TRACK=True\n")
    assert "Tracking" not in done.stdout + done.stderr


BLOCKED = """
import sys
HEAVY = {"torch", "pandas", "sklearn", "mlflow", "evidently", "scipy", "lightgbm", "xgboost", "kfp", "onnx"}
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HEAVY:
            raise ImportError(f"serving imports {name}")
sys.meta_path.insert(0, Blocker())
sys.path.insert(0, "services")
import bentoml
import service
from starlette.testclient import TestClient
with TestClient(service.Model.to_asgi()) as client:
    assert client.get("/readyz").status_code == 200
    print(client.post("/predict", json={"x": 1.0}).text)
    model = bentoml.get_current_service()
    examples = [service.Request(x=1.0)]
    (answer,) = client.portal.call(model.predict.local, examples)
    print(answer.model_dump_json())
    try:
        client.portal.call(model.predict.local, examples * 2000)
    except bentoml.exceptions.InvalidArgument as error:
        print(error)
assert not HEAVY & set(sys.modules), HEAVY & set(sys.modules)
"""


def test_the_service_imports_nothing_that_trains_and_answers_code_in_its_process(
    line, line_path, tmp_path
):
    env = environment(
        tmp_path / "home",
        MODELYARD_PACKAGE=str(line_path),
        MODELYARD_PREDICTIONS=str(tmp_path / "log"),
    )
    command = [sys.executable, "-W", "ignore", "-c", BLOCKED]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    over_http, in_process, refused = done.stdout.splitlines()
    expected = line.predict([{"x": 1.0}])[0].model_dump()
    assert json.loads(over_http) == json.loads(in_process) == expected
    assert refused == "2000 examples in one request; allowed are 1 to 1000"
    assert read_log(tmp_path / "log")["x"] == [1.0, 1.0]
