"""The wheel alone, outside a checkout: it runs, serves and monitors."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]


class Outside:
    """A folder elsewhere in which the installed wheel is the only modelyard."""

    def __init__(self, folder: Path) -> None:
        build = [
            sys.executable,
            "-m",
            "hatchling",
            "build",
            "-t",
            "wheel",
            "-d",
            str(folder / "dist"),
        ]
        subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
        (wheel,) = (folder / "dist").glob("*.whl")
        subprocess.run(
            [sys.executable, "-m", "zipfile", "-e", str(wheel), str(folder / "site")], check=True
        )
        # Else every process that imports it compiles it. The chart is compared file by file.
        compiled = [sys.executable, "-m", "compileall", "-q", "-x", "/charts/"]
        subprocess.run([*compiled, str(folder / "site")], check=True)
        self.work = folder / "work"
        self.work.mkdir()
        self.environment = {**os.environ, "PYTHONPATH": str(folder / "site"), "COLUMNS": "200"}
        self.environment.pop("MODELYARD_HOME", None)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "modelyard", *arguments]

    def __call__(self, *arguments: str) -> str:
        return self.run(self.command(*arguments))

    def asked(self, code: str) -> str:
        """What Python prints there."""
        return self.run([sys.executable, "-c", code]).strip()

    def run(self, command: list[str]) -> str:
        done = subprocess.run(
            command,
            cwd=self.work,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    place = Outside(tmp_path_factory.mktemp("outside"))
    assert "/site/modelyard/" in place.asked("import modelyard; print(modelyard.__file__)")
    place.out = place("run", "tabular", "--set", "model.trees=30")
    return place


def test_it_runs_the_whole_pipeline(outside):
    assert "tabular version 1 is champion" in outside.out
    assert "Next: modelyard serve tabular" in outside.out
    assert list(outside.work.glob("runs/tabular/*/card.html"))


def test_it_deploys_the_chart_that_it_carries(outside):
    ask = (
        "from modelyard.release.values import chart_of\n"
        "from modelyard.settings.serve import ServeSettings\n"
        "print(chart_of(ServeSettings()))"
    )
    carried = Path(outside.asked(ask))
    assert "/site/modelyard/" in str(carried)
    assert _files(carried) == _files(ROOT / "charts" / "model")


def test_it_serves_and_then_monitors_what_it_served(outside):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        outside.command("serve", "tabular", "--port", str(port)),
        cwd=outside.work,
        env=outside.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        golden = next(outside.work.glob("runs/tabular/*/package/golden.json"))
        body = json.loads(golden.read_text())["request"]
        _wait(f"http://127.0.0.1:{port}/readyz", server)
        for _ in range(60):
            assert httpx.post(f"http://127.0.0.1:{port}/predict", json=body).status_code == 200
    finally:
        server.terminate()
        output = server.communicate(timeout=30)[0]
    assert server.returncode == 0, output
    assert "curl" in output
    told = outside("monitor", "tabular")
    assert "drifted" in told, "sixty times the same example is not what the model was judged on"
    assert list(outside.work.glob("runs/monitoring/tabular/*/report.html"))


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def _wait(url: str, server: subprocess.Popen) -> None:
    for _ in range(300):
        assert server.poll() is None, server.communicate()[0]
        try:
            if httpx.get(url, timeout=1).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the service was not ready in 30 s")
