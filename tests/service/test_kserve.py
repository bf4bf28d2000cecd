"""KServe's own client, unchanged, from an environment of its own: its pins do not go with the
rest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from modelyard.serving.app import create_app
from tests.service.test_streaming import listening

CLIENT = Path(sys.prefix) / "clients" / "kserve" / "bin" / "python"
LINE = "tests-toy-family-line"

ASKED = """
import asyncio, json, sys
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

async def ask(address, model):
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    told = {
        "live": await client.is_server_live(address),
        "ready": await client.is_server_ready(address),
        "model": await client.is_model_ready(address, model),
    }
    x = InferInput("x", [3, 1], "FP32")
    x.set_data_from_numpy(np.array([[1.0], [-2.0], [0.5]], np.float32), binary_data=sys.argv[3] == "binary")
    answer = await client.infer(address, InferRequest(model, [x], request_id="mine"), model_name=model)
    told["y"] = answer.outputs[0].as_numpy().ravel().tolist()
    told["id"] = answer.id
    print(json.dumps(told))

asyncio.run(ask(sys.argv[1], sys.argv[2]))
"""


@pytest.mark.parametrize("form", ["binary", "json"])
def test_kserves_client_finds_the_service_alive_and_ready_and_infers(line, form):
    assert CLIENT.is_file(), "KServe's client is not installed. Type: make test"
    with listening(create_app(line, None)) as address:
        command = [str(CLIENT), "-c", ASKED, address, f"{LINE}.line", form]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["live"], told["ready"], told["model"], told["id"]) == (True, True, True, "mine")
    expected = line.run("line", {"x": np.array([[1.0], [-2.0], [0.5]], np.float32)})["y"]
    assert told["y"] == pytest.approx(expected.ravel().tolist())
