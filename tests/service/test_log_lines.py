"""What `modelyard serve` writes to standard output where logs are collected as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.charts.helm import ROOT
from tests.charts.test_model_scripts import ready
from tests.service.conftest import build
from tests.service.test_serve import free_port


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("line"), "tests.toy.family:Line")


@pytest.mark.parametrize("workers", [1, 2])
def test_with_json_logs_every_line_is_json_and_none_holds_an_example(package, tmp_path, workers):
    port = free_port()
    environment = os.environ | {
        "MODELYARD_LOG_FORMAT": "json",
        "MODELYARD_PREDICTIONS": str(tmp_path / "log"),
        "PYTHONPATH": str(ROOT),
    }
    command = [
        sys.executable,
        "-m",
        "modelyard",
        "serve",
        str(package),
        "--port",
        str(port),
        "--workers",
        str(workers),
    ]
    (tmp_path / "out").touch()
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.DEVNULL)
        try:
            ready(f"http://127.0.0.1:{port}/readyz", process)
            httpx.post(f"http://127.0.0.1:{port}/predict", json={"x": 1.0}).raise_for_status()
            # The address is written once all workers are ready; one of them may answer before.
            end = time.monotonic() + 60
            while "address" not in (tmp_path / "out").read_text() and time.monotonic() < end:
                time.sleep(0.1)
        finally:
            process.terminate()
            process.wait(40)
    lines = (tmp_path / "out").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    assert told[0]["address"] == f"http://127.0.0.1:{port}"
    assert told[0]["package"]
    example = json.dumps(json.loads((package / "golden.json").read_text())["request"])
    assert example not in "".join(lines)
    assert "curl" not in "".join(lines)
