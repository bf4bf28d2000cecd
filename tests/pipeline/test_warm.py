"""Steps that are forked from a process that has imported what they need."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from modelyard import events
from modelyard.family import load, names
from modelyard.pipeline import warm
from modelyard.pipeline.forking import HAND_OVER
from modelyard.pipeline.warm import EXECUTOR, StepServer, forked_steps, modules_of

pytestmark = [
    pytest.mark.timed,
    pytest.mark.skipif(not warm.CAN_FORK, reason="steps are forked on Linux"),
]


def component(body: str) -> str:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return f"def step():\n{lines}\n"


def arguments(folder: Path) -> list[str]:
    described = json.dumps({"inputs": {}, "outputs": {"outputFile": str(folder / "out.json")}})
    return ["--executor_input", described, "--function_to_execute", "step"]


def command(body: str, folder: Path) -> list[str]:
    """As the compiled pipeline gives it to kfp.local."""
    script = (
        'program_path=$(mktemp -d)\nprintf "%s" "$0" > "$program_path/ephemeral_component.py"\n'
        f"_KFP_RUNTIME=true {sys.executable} -m {EXECUTOR} --component_module_path "
        '"$program_path/ephemeral_component.py" "$@"\n'
    )
    return ["sh", "-ec", script, component(body), *arguments(folder)]


def run(command: list[str]) -> int:
    from kfp.local import subprocess_task_handler as handler

    return int(handler.run_local_subprocess(command, {"SAID": "by the pipeline"}))


def test_no_library_that_a_family_imports_keeps_its_steps_from_being_forked(tmp_path):
    modules = {}
    for name in names():
        entry = load(name)
        modules |= dict.fromkeys(modules_of(entry, entry.Config(), "training"))
    imported = "import sys\nassert {'torch', 'sklearn', 'mlflow'} <= set(sys.modules)"
    with StepServer(tmp_path, list(modules)) as server:
        until = time.monotonic() + 120
        # A step comes between two imports: one that lacks the last module came too early.
        while (status := server.run(component(imported), arguments(tmp_path), {})) == 1:
            assert time.monotonic() < until
            time.sleep(1)
    assert status == 0  # None: it was refused


def test_a_step_sees_its_environment_and_all_cores_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "temporary").mkdir()
    body = f"""
import json, os, sys
names = ("SAID", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
found = {{name: os.environ.get(name) for name in names}} | {{"parent": os.getppid()}}
open({str(tmp_path / "seen.json")!r}, "w").write(json.dumps(found))
"""
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with forked_steps(tmp_path, [EXECUTOR]):
        assert run(command(body, tmp_path)) == 0
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert (seen["SAID"], seen["OPENBLAS_NUM_THREADS"]) == ("by the pipeline", None)
    assert not list((tmp_path / "temporary").iterdir())
    assert not Path(f"/proc/{seen['parent']}").exists()  # the process that steps were forked from


@pytest.mark.parametrize(
    ("body", "status"),
    [("import sys\nsys.exit(3)", 3), ("raise ValueError('no')", 1), ("import os\nos._exit(7)", 7)],
)
def test_a_step_that_fails_has_its_own_exit_status(tmp_path, body, status):
    with forked_steps(tmp_path, [EXECUTOR]):
        assert run(command(body, tmp_path)) == status


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_step_that_crashes_is_told_with_its_signal(tmp_path, monkeypatch, number):
    monkeypatch.setenv(events.VARIABLE, str(tmp_path / "events.jsonl"))
    body = f"import os\nos.kill(os.getpid(), {int(number)})"
    with forked_steps(tmp_path, [EXECUTOR]):
        assert run(command(body, tmp_path)) == -number
        assert run(command("pass", tmp_path)) == 0
    ((_, event),) = events.read(tmp_path / "events.jsonl")
    assert (event["event"], event["stage"], event["kind"]) == ("failed", "step", number.name)
    assert ("memory" in event["message"]) == (number == signal.SIGKILL)


def test_where_an_import_starts_a_thread_steps_are_new_interpreters(tmp_path, monkeypatch):
    (tmp_path / "threaded.py").write_text(
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with StepServer(tmp_path, ["threaded"]) as server:
        time.sleep(2)
        assert server.run(component("pass"), arguments(tmp_path), {}) is None
    body = f"import sys\nopen({str(tmp_path / 'begun')!r}, 'w').write(' '.join(sys.orig_argv))"
    for modules, module in (([], "modelyard.pipeline.forking"), (["threaded"], EXECUTOR)):
        with forked_steps(tmp_path, modules):
            time.sleep(2)
            assert run(command(body, tmp_path)) == 0
        assert f"-m {module}" in (tmp_path / "begun").read_text()


def a_slow_import(folder: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module `slow` that imports until the file `go` is there, or for half a minute."""
    (folder / "slow.py").write_text(
        "import time\n"
        "from pathlib import Path\n"
        f"go = Path({str(folder / 'go')!r})\n"
        "go.with_name('importing').touch()\n"
        f"until = time.monotonic() + 30\nwhile not go.is_file() and time.monotonic() < until:\n"
        f"    time.sleep(0.05)\n{body}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))


KNOWS = "import sys\nsys.exit(10 + ('slow' in sys.modules))"


def test_a_step_does_not_wait_for_an_import_that_comes_after_the_handing_over(
    tmp_path, monkeypatch
):
    a_slow_import(tmp_path, "", monkeypatch)
    with StepServer(tmp_path, [EXECUTOR, HAND_OVER, "slow"]) as server:
        until = time.monotonic() + 60
        while not (tmp_path / "importing").is_file():
            assert time.monotonic() < until
            time.sleep(0.05)
        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(
                server.run, component("import time\ntime.sleep(3)"), arguments(tmp_path), {}
            )
            assert server.run(component(KNOWS), arguments(tmp_path), {}) == 10
            (tmp_path / "go").touch()
            while server.run(component(KNOWS), arguments(tmp_path), {}) == 10:
                assert time.monotonic() < until
            assert working.result() == 0  # by the process that has handed over


def test_where_the_import_of_the_rest_fails_hard_steps_go_on_without_it(tmp_path, monkeypatch):
    a_slow_import(tmp_path, "import os\nos.abort()", monkeypatch)
    (tmp_path / "go").touch()
    with StepServer(tmp_path, [EXECUTOR, HAND_OVER, "slow"]) as server:
        for _ in range(3):
            assert server.run(component(KNOWS), arguments(tmp_path), {}) == 10
            time.sleep(1)


def test_no_process_is_left_that_still_imports_what_nobody_will_use(tmp_path, monkeypatch):
    a_slow_import(tmp_path, "", monkeypatch)
    with StepServer(tmp_path, [EXECUTOR, HAND_OVER, "slow"]) as server:
        assert server.run(component(KNOWS), arguments(tmp_path), {}) == 10
        while not (tmp_path / "importing").is_file():
            time.sleep(0.05)
    left = [one for one in psutil.process_iter(["cmdline"]) if str(tmp_path) in str(one.info)]
    assert left == []


def test_steps_at_a_time_do_not_wait_for_each_other(tmp_path):
    body = "import time\ntime.sleep(3)"
    with StepServer(tmp_path, [EXECUTOR]) as server, ThreadPoolExecutor(4) as pool:
        assert server.run(component("pass"), arguments(tmp_path), {}) == 0
        begun = time.monotonic()
        ended = [
            pool.submit(server.run, component(body), arguments(tmp_path), {}) for _ in range(4)
        ]
        assert [one.result() for one in ended] == [0] * 4
        assert time.monotonic() - begun < 9


def test_a_step_ends_while_one_that_began_later_still_works(tmp_path):
    with StepServer(tmp_path, [EXECUTOR]) as server, ThreadPoolExecutor(2) as pool:
        assert server.run(component("pass"), arguments(tmp_path), {}) == 0
        first = pool.submit(
            server.run, component("import time\ntime.sleep(1)"), arguments(tmp_path), {}
        )
        time.sleep(0.5)
        later = pool.submit(
            server.run, component("import time\ntime.sleep(6)"), arguments(tmp_path), {}
        )
        begun = time.monotonic()
        assert first.result() == 0
        assert time.monotonic() - begun < 4
        assert later.result() == 0


def test_the_process_of_steps_ends_with_the_one_that_asked_for_it(tmp_path):
    script = (
        "import os, sys, signal; from pathlib import Path\n"
        "from modelyard.pipeline.warm import StepServer\n"
        f"server = StepServer(Path({str(tmp_path)!r}), [])\n"
        "print(server._process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=False
    )
    until = time.monotonic() + 20
    while Path(f"/proc/{int(done.stdout)}/cmdline").exists() and _alive(int(done.stdout)):
        assert time.monotonic() < until
        time.sleep(0.1)


def _alive(pid: int) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "orchestrated"


def test_a_pipeline_runs_without_loading_the_stages_of_which_it_may_hold_none(tmp_path):
    shutil.copytree(BENCHMARK, tmp_path / "work")
    subprocess.run([sys.executable, "empty_kfp.py"], cwd=tmp_path / "work", check=True)
    body = "import runpy, sys\nrunpy.run_path('by_modelyard.py')\nprint('modelyard.stages' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", body], cwd=tmp_path / "work", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("number", [5, pytest.param(200, marks=pytest.mark.slow)])
def test_pipelines_in_a_row_leave_no_process_and_no_temporary_folder(tmp_path, monkeypatch, number):
    shutil.copytree(BENCHMARK, tmp_path / "work")
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    subprocess.run([sys.executable, "empty_kfp.py"], check=True)
    for _ in range(number):
        done = subprocess.run(
            [sys.executable, "by_modelyard.py"], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout.count("finished with status") == 8
    assert list((tmp_path / "temporary").iterdir()) == []
    here = [one.pid for one in psutil.process_iter(["cwd"]) if one.info["cwd"] == str(Path.cwd())]
    assert here == [os.getpid()]


def test_a_step_ends_as_an_interpreter_does_its_exit_functions_run_and_its_threads_end(tmp_path):
    body = (
        "import atexit, threading, time\n"
        f"atexit.register(open({str(tmp_path / 'exit')!r}, 'w').write, 'ran')\n"
        "def late():\n"
        "    time.sleep(0.5)\n"
        f"    open({str(tmp_path / 'thread')!r}, 'w').close()\n"
        "threading.Thread(target=late).start()\n"
        "print('said at the end', end='')"
    )
    with StepServer(tmp_path, [EXECUTOR]) as server:
        assert server.run(component(body), arguments(tmp_path), {}) == 0
    assert (tmp_path / "thread").exists()
    assert (tmp_path / "exit").read_text() == "ran"


LIGHT = {
    "modelyard.kit.sklearn": "torch",
    "modelyard.pipeline.local": "modelyard.stages",
    "modelyard.pipeline.pipelines": "pydantic",
    "modelyard.pipeline.process": "kfp.client",
    "modelyard.pipeline.warm": "pydantic",
}
"""Modules, and what none of them may load."""


@pytest.mark.parametrize("module", LIGHT)
def test_a_run_does_not_pay_for_what_it_does_not_use(module):
    script = (
        f"import sys, {module}\n"
        "from modelyard.pipeline.warm import import_kfp_local\n"
        "import_kfp_local().local.SubprocessRunner\n"
        if module != "modelyard.kit.sklearn"
        else f"import sys, {module}\n"
    )
    script += f"sys.exit({LIGHT[module]!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_every_estimator_of_scikit_learn_is_still_trusted_by_skops():
    script = (
        "import modelyard.kit.sklearn\n"
        "from skops.io._trusted_types import SKLEARN_ESTIMATOR_TYPE_NAMES as ours\n"
        "import sys\n"
        "from sklearn.utils import all_estimators\n"
        "print(len(ours), len(all_estimators()))\n"
        "import sklearn.externals.array_api_compat.torch"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    trusted, known = done.stdout.split()
    assert int(trusted) >= 0.9 * int(known) > 100
