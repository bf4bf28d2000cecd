"""MLflow as charts/platform starts it, its files in a store that speaks S3: the probe and the
client see what fails."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from modelyard.errors import Unavailable
from modelyard.registry import tracking
from tests.charts.helm import Case, objects
from tests.service.test_serve import free_port
from tests.standin.s3 import store

pytestmark = pytest.mark.slow
NO_DRIVER = "raise ModuleNotFoundError(\"No module named 'boto3'\", name='boto3')\n"


class Server:
    """MLflow's process, and how the kubelet sees it."""

    def __init__(self, url: str, container: dict, process: subprocess.Popen) -> None:
        self.url, self.process = url, process
        self.probes = {
            name: container[f"{name}Probe"]["httpGet"]
            for name in ("startup", "readiness", "liveness")
        }

    def settled(self, name: str) -> int:
        """The status that a probe gets once it is answered: the first one loads the store's
        driver."""
        until = time.monotonic() + 120
        while (status := self.probe(name)) == 0:
            assert time.monotonic() < until
        return status

    def probe(self, name: str) -> int:
        """The status that a probe gets; 0 while nothing answers. The kubelet calls a pod by its
        address."""
        asked = self.probes[name]
        host = {one["name"].lower(): one["value"] for one in asked.get("httpHeaders", [])}
        try:
            return httpx.get(
                self.url + asked["path"], headers={"host": "10.0.0.7:5000"} | host, timeout=10
            ).status_code
        except httpx.TransportError:
            return 0


@contextmanager
def mlflow(folder: Path, bucket: str, environment: dict[str, str]) -> Iterator[Server]:
    """MLflow by the chart's own command with `mlflow.artifactsUri: s3://BUCKET/mlflow`, once it
    is alive."""
    given = ("--set", f"mlflow.artifactsUri=s3://{bucket}/mlflow")
    found = objects(Case("platform", "external"), *given)
    deployment = next(
        one
        for one in found
        if one["metadata"]["name"] == "payments-mlflow" and "template" in one["spec"]
    )
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    port = free_port()
    own = {"--host": "127.0.0.1", "--port": str(port)}
    words = [
        f"{word.partition('=')[0]}={own.get(word.partition('=')[0]) or word.partition('=')[2]}"
        if "=" in word
        else word
        for word in container["args"]
    ]
    environment = (
        os.environ | environment | {"MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder}/mlflow.db"}
    )
    command = [str(Path(sys.executable).parent / "mlflow"), *container["command"][1:], *words]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT
        )
        server = Server(f"http://127.0.0.1:{port}", container, process)
        try:
            until = time.monotonic() + 240
            while server.probe("liveness") != 200:
                assert process.poll() is None, (folder / "log").read_text()[-3000:]
                assert time.monotonic() < until
                time.sleep(0.5)
            yield server
        finally:
            process.terminate()
            process.wait(60)


def refusal(server: Server, file: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a person reads who stores a file with a run."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    file.write_text("x")
    client = tracking.client()
    run = client.create_run(client.create_experiment(f"e{time.monotonic_ns()}"))
    with pytest.raises(Unavailable) as caught, tracking.server():
        client.log_artifact(run.info.run_id, str(file))
    return str(caught.value)


def test_with_its_store_mlflow_starts_and_keeps_files_there(tmp_path, monkeypatch):
    with store() as environment:
        bucket = f"{environment['AWS_ENDPOINT_URL']}/models"
        assert httpx.put(bucket).status_code == 200
        with mlflow(tmp_path, "models", environment) as server:
            assert {name: server.settled(name) for name in server.probes} == dict.fromkeys(
                server.probes, 200
            )
            monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
            (tmp_path / "card.html").write_text("a card")
            client = tracking.client()
            run = client.create_run(client.create_experiment("e"))
            client.log_artifact(run.info.run_id, str(tmp_path / "card.html"))
            assert "card.html" in httpx.get(f"{bucket}?list-type=2").text


def test_without_its_bucket_mlflow_does_not_become_ready_and_the_client_says_the_servers_words(
    tmp_path, monkeypatch
):
    with store() as environment, mlflow(tmp_path, "no-such-bucket", environment) as server:
        assert server.settled("startup") == 404
        said = refusal(server, tmp_path / "card.html", monkeypatch)
    assert (
        f"MLflow at {server.url}: it does not store files. It says: Failed to list artifacts in s3://no-such-"
        in said
    )
    assert "The specified bucket does not exist" in said


def test_without_the_stores_driver_mlflow_does_not_become_ready_and_the_client_says_where_to_look(
    tmp_path, monkeypatch
):
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "boto3.py").write_text(NO_DRIVER)
    with store() as environment:
        without = environment | {"PYTHONPATH": str(tmp_path / "hidden")}
        with mlflow(tmp_path, "models", without) as server:
            assert server.settled("startup") == 500
            said = refusal(server, tmp_path / "card.html", monkeypatch)
    assert (
        "it does not store files. It answers 500; why, only its log says: kubectl logs deployment/"
        in said
    )
    assert "No module named 'boto3'" in (tmp_path / "log").read_text()
