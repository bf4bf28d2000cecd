"""The process that steps are forked from:
`python -m modelyard.pipeline.forking RUN_FOLDER FD MODULE...`

A step of a pipeline is a process of its own, and a new interpreter spends most of a short step
importing. This process imports while steps work, and each step begins as a copy of it.

It has one thread, at all times: a lock that another thread held during a fork would stay locked in
the copy. A module that starts a thread while it is imported ends the forking: the steps after it
are new interpreters.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import select
import signal
import socket
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Any, NoReturn

BLAS_THREADS = "OPENBLAS_NUM_THREADS"
"""OpenBLAS starts its threads when it is loaded: here it gets none, and a step takes them back."""
READY = b"r"
"""A step says that it was forked, and reads what it is to do; without this it was refused."""


def main(control: socket.socket, modules: list[str]) -> int:
    """Serves until the other end is closed."""
    # Steps get the same signal as this process, which waits for them. See pipeline.process.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    steps: dict[int, tuple[int, socket.socket]] = {}
    """By process: its pidfd, and where to answer how it ended."""
    waiting = list(modules)
    while True:
        watched: list[Any] = [control, *(pidfd for pidfd, _ in steps.values())]
        readable, _, _ = select.select(watched, [], [], 0 if waiting else None)
        if control in readable:
            _, received, _, _ = socket.recv_fds(control, 1, 1)
            if not received:
                return 0
            step = socket.socket(fileno=received[0])
            if _threads() > 1:
                step.close()
                waiting.clear()
            elif (pid := os.fork()) == 0:
                control.close()
                _leave(_run(step))
            else:
                steps[pid] = os.pidfd_open(pid), step
        for pid, (pidfd, step) in list(steps.items()):
            if pidfd in readable:
                _, status = os.waitpid(pid, 0)
                with contextlib.suppress(OSError):  # nobody listens any more
                    step.sendall(str(os.waitstatus_to_exitcode(status)).encode())
                    # Steps that were forked since hold copies of it: closing alone ends nothing.
                    step.shutdown(socket.SHUT_RDWR)
                step.close()
                os.close(pidfd)
                del steps[pid]
        if waiting and not readable:
            # What cannot be imported is said by the step that needs it.
            with contextlib.suppress(Exception):
                importlib.import_module(waiting.pop(0))


def _leave(status: int) -> NoReturn:
    """Ends the process as an interpreter ends, but for taking its modules apart, which takes longer
    than a short step works."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def _run(step: socket.socket) -> int:
    """The step itself, in the copy."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    step.sendall(READY)
    request = json.loads(_read(step))
    os.environ.pop(BLAS_THREADS, None)
    os.environ.update(request["environment"])
    _use_all_cores()
    with tempfile.TemporaryDirectory(prefix="modelyard-step-") as folder:
        file = Path(folder) / "ephemeral_component.py"
        file.write_text(request["code"])
        sys.argv = ["executor", "--component_module_path", str(file), *request["arguments"]]
        return _execute()


def _read(step: socket.socket) -> bytes:
    """What the other end sent before it closed its sending half."""
    parts = []
    while part := step.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def _use_all_cores() -> None:
    if "threadpoolctl" in sys.modules:
        from threadpoolctl import threadpool_limits

        from modelyard.runtimes.onnx import available_cores

        threadpool_limits(available_cores(), "blas")


def _execute() -> int:
    from kfp.dsl.executor_main import executor_main

    try:
        executor_main()
    except SystemExit as ended:
        return _status(ended.code)
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def _status(code: Any) -> int:
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return 1


if __name__ == "__main__":
    _, _, descriptor, *names = sys.argv
    _leave(main(socket.socket(fileno=int(descriptor)), names))
