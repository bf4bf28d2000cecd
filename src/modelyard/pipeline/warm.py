"""Steps of a pipeline on this machine, forked from a process that has imported what they need."""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from modelyard import events
from modelyard.pipeline.forking import BLAS_THREADS, HAND_OVER, READY
from modelyard.registry.quiet import QUIET

if TYPE_CHECKING:
    from modelyard.family import Entry
    from modelyard.settings.family import FamilyConfig

EXECUTOR = "kfp.dsl.executor_main"
RUNTIME = "_KFP_RUNTIME"
"""Set in steps: kfp imports there what steps need."""
KILLED = -int(signal.SIGKILL)
"""Status of a step of which nothing more was heard."""
CAN_FORK = sys.platform == "linux"
"""Elsewhere system libraries do not survive a fork: steps are new interpreters there."""
WITHOUT_THREADS = {BLAS_THREADS: "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""Environment under which no library starts a thread when it is imported."""
SOURCES_READ = "modelyard.stages.run:code_version"
"""Every step asks for the digest of the code: what was read once is known to all of them."""
TRACKING = (
    "mlflow.tracking.client",
    "mlflow.store.tracking.sqlalchemy_store",
    "modelyard.registry.tracking",
)
PAGES = ("jinja2", "matplotlib.figure", "matplotlib.backends.backend_svg", "modelyard.card.page")


def modules_of(entry: Entry[Any], config: FamilyConfig, kind: str) -> list[str]:
    """What the steps of a pipeline import (`MODULE`) or call (`MODULE:FUNCTION`), in the order in
    which they need it."""
    if kind == "monitoring":
        return [EXECUTOR, "modelyard.stages", "scipy.stats", *TRACKING]
    return [
        EXECUTOR,
        "modelyard.stages",
        SOURCES_READ,
        entry.module_of("data"),
        *config.requires(),
        entry.module_of("build"),
        entry.module_of("host"),
        "modelyard.training.loop",
        "modelyard.runtimes.opening",
        "onnxruntime",
        HAND_OVER,
        *PAGES,
        *TRACKING,
    ]


class StepServer:
    """The process that steps are forked from, and the way to ask it for one."""

    def __init__(self, folder: Path, modules: Sequence[str]) -> None:
        self._control, theirs = socket.socketpair()
        self._asking = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "modelyard.pipeline.forking",
                    str(folder),
                    str(theirs.fileno()),
                    *modules,
                ],
                pass_fds=[theirs.fileno()],
                env={**QUIET, **os.environ, **WITHOUT_THREADS, RUNTIME: "true"},
            )

    def run(self, code: str, arguments: Sequence[str], environment: dict[str, str]) -> int | None:
        """Runs a component's code as a step; its exit status, negative for the signal that ended
        it. None: it was not started, because it cannot be forked."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs, self._asking, suppress(OSError):  # the process may have ended
                socket.send_fds(self._control, [b"s"], [theirs.fileno()])
            if ours.recv(1) != READY:
                return None
            own = {}
            if BLAS_THREADS in os.environ:
                own[BLAS_THREADS] = os.environ[BLAS_THREADS]
            request = {
                "code": code,
                "arguments": list(arguments),
                "environment": {**own, **environment},
            }
            ours.sendall(json.dumps(request).encode())
            # The step reads its request until here.
            ours.shutdown(socket.SHUT_WR)
            answer = b""
            while part := ours.recv(64):
                answer += part
        if answer:
            return int(answer)
        return KILLED

    def __enter__(self) -> StepServer:
        return self

    def __exit__(self, *error: object) -> None:
        self._control.close()
        self._process.wait()


def import_kfp_local() -> ModuleType:
    """kfp with `kfp.local` and `kfp.components`, and without its client: the libraries for clusters
    behind that take a second to import.

    kfp leaves the client out where its first import finds the variable that steps have.
    """
    inside = "kfp" not in sys.modules and RUNTIME not in os.environ
    if inside:
        os.environ[RUNTIME] = "true"
    try:
        import kfp
    finally:
        if inside:
            del os.environ[RUNTIME]
    # In this order: kfp's modules import each other in a circle.
    for name in ("kfp.dsl", "kfp.components", "kfp.local.subprocess_task_handler"):
        importlib.import_module(name)
    module: ModuleType = kfp
    return module


@contextmanager
def forked_steps(folder: Path, modules: Sequence[str]) -> Iterator[None]:
    """Within the block kfp.local's steps are forked where that is possible.

    kfp.local has no public place for another way to start a process: its runners are looked up in a
    table of its own. So the one function that starts a step's process is replaced.
    """
    if not CAN_FORK:
        yield
        return
    with StepServer(folder, modules) as server:
        handler = import_kfp_local().local.subprocess_task_handler

        new_interpreter = handler.run_local_subprocess

        def run(full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
            parts = _component(full_command)
            status = None
            if parts is not None:
                status = server.run(*parts, env_vars or {})
            if status is None:
                return int(new_interpreter(full_command, env_vars))
            if status < 0:
                _tell_killed(full_command, -status)
            return status

        handler.run_local_subprocess = run
        try:
            yield
        finally:
            handler.run_local_subprocess = new_interpreter


def _component(command: Sequence[str]) -> tuple[str, list[str]] | None:
    """Code and arguments of a lightweight component that installs nothing; None for any other
    command."""
    # kfp compiles a component to `sh -ec SCRIPT CODE ARGUMENT…`. Where one needs packages, another
    # shell stands in front, whose script installs them.
    shell = len(command) > 4 and command[0] == "sh"
    if not shell or EXECUTOR not in command[2] or "pip install" in command[2]:
        return None
    return command[3], list(command[4:])


def _tell_killed(command: Sequence[str], number: int) -> None:
    """A step that crashed could not say so itself."""
    if number in (signal.SIGTERM, signal.SIGINT):  # it was stopped
        return
    name = signal.Signals(number).name
    cause = ""
    if number == signal.SIGKILL:
        cause = ", as Linux does where memory runs out"
    stage = command[command.index("--function_to_execute") + 1]
    events.emit("failed", stage, kind=name, message=f"{name} ended its process{cause}")
