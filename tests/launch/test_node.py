"""What a node runs: real torchrun, real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from tests.launch.conftest import until

pytest.importorskip("torch")
START = """
import sys
from pathlib import Path
from modelyard.launch import node
node.LAST_WORD = Path(sys.argv[1])
sys.exit(node.main(["--job", "s3://bucket/job"], worker="worker"))
"""
WORKERS = {
    "fine": "print('rank', os.environ['RANK'], 'of', os.environ['WORLD_SIZE'], sys.argv[1:])",
    "user error": """
        if os.environ['RANK'] == '1':
            print('error: no such column', file=sys.stderr)
            sys.exit(2)
        time.sleep(60)
    """,
    "preempted": "sys.exit(75)",
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "waits": """
        signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), os._exit(75)))
        print('ready', flush=True)
        time.sleep(60)
    """,
}


@pytest.fixture
def node(tmp_path):
    """Starts a node whose workers do as named; the process, and the file of its last word."""

    def start(worker: str, processes: int = 2) -> tuple[subprocess.Popen[str], object]:
        (tmp_path / "worker.py").write_text(
            "import os, signal, sys, time\n" + textwrap.dedent(WORKERS[worker])
        )
        word = tmp_path / "termination-log"
        word.touch()
        env = os.environ | {
            "PYTHONPATH": str(tmp_path),
            "PET_NNODES": "1",
            "PET_NPROC_PER_NODE": str(processes),
        }
        command = [sys.executable, "-c", START, str(word)]
        return subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ), word

    return start


def test_every_worker_runs_and_the_first_one_speaks(node):
    process, _ = node("fine")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "rank 0 of 2 ['--job', 's3://bucket/job']" in said
    assert "rank 1" not in said


def test_a_user_error_of_any_worker_is_the_nodes_last_word_and_its_exit_code(node):
    process, word = node("user error")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert said.splitlines()[-1] == "error: no such column"
    assert word.read_text() == "error: no such column"


@pytest.mark.parametrize(("worker", "code"), [("preempted", 75), ("killed", 137)])
def test_the_workers_exit_code_is_the_nodes(node, worker, code):
    process, word = node(worker, processes=1)
    process.communicate(timeout=60)
    assert process.returncode == code
    assert f"exited with code {code}" in word.read_text()


def test_a_node_that_is_told_to_stop_lets_its_workers_save(node, tmp_path):
    process, _ = node("waits", processes=1)
    lines: list[str] = []
    while not any("ready" in line for line in lines):
        lines.append(process.stdout.readline())
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    until(lambda: process.poll() is not None, seconds=30)
    assert process.returncode == 75
    assert "saved" in process.stdout.read()
