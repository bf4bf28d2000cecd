"""No library reports on anybody, nor keeps reports to send later."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from modelyard import TELEMETRY_OFF

RUN = """
from modelyard.runtimes.onnx import OnnxRuntime
import onnx.parser
graph = onnx.parser.parse_model(
    '<ir_version: 8, opset_import: ["": 17]> '
    'g (float[N] x) => (float[N] y) { y = Identity(x) }'
)
OnnxRuntime({"model": graph.SerializeToString()})
"""


def test_onnx_runtime_leaves_no_reports_in_the_home_folder(tmp_path: Path):
    env = {name: value for name, value in os.environ.items() if name not in TELEMETRY_OFF}
    env |= {"HOME": str(tmp_path)}
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        env.pop(name, None)
    subprocess.run([sys.executable, "-c", RUN], env=env, check=True)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_an_operator_may_still_choose(tmp_path: Path):
    code = "import modelyard, os; print(os.environ['DO_NOT_TRACK'])"
    env = os.environ | {"DO_NOT_TRACK": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "0"
