"""The process that steps are forked from:
`python -m modelyard.pipeline.forking RUN_FOLDER FD PREPARATION...`

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
HAND_OVER = "|"
"""Among what is to be imported: from here on a copy of the process does it, so that no step waits for
the end of a long import. The copy takes the requests when it has imported everything."""


class Server:
    """Forks a step for each request on `control`, and imports between requests."""

    def __init__(self, control: socket.socket, preparations: list[str]) -> None:
        self.control = control
        self.waiting = list(preparations)
        """Modules to import, functions to call (`MODULE:FUNCTION`), and HAND_OVER."""
        self.steps: dict[int, tuple[int, socket.socket]] = {}
        """By process: its pidfd, and where to answer how it ended."""
        self.successor: tuple[int, socket.socket] | None = None
        """The copy that imports the rest, and the line to it."""
        self.serving = True
        """False once the successor takes the requests."""

    def serve(self) -> None:
        """Until the other end of `control` is closed."""
        while True:
            readable = self._wait()
            if self.control in readable and not self._take_request():
                break
            if self.successor and self.successor[1] in readable:
                self._hear(*self.successor)
            for pid, (pidfd, _) in list(self.steps.items()):
                if pidfd in readable:
                    self._tell_end(pid)
            if self.waiting and not readable:
                self._prepare()
        if self.successor:  # it still imports, for nobody
            os.kill(self.successor[0], signal.SIGKILL)
            os.waitpid(self.successor[0], 0)

    def _wait(self) -> list[Any]:
        watched: list[Any] = [pidfd for pidfd, _ in self.steps.values()]
        if self.serving:
            watched.append(self.control)
        if self.successor:
            watched.append(self.successor[1])
        readable, _, _ = select.select(watched, [], [], 0 if self.waiting else None)
        return readable

    def _take_request(self) -> bool:
        """Forks a step; False where nobody will ask any more."""
        _, received, _, _ = socket.recv_fds(self.control, 1, 1)
        if not received:
            return False
        step = socket.socket(fileno=received[0])
        if _threads() > 1:
            step.close()
            self.waiting.clear()
        elif (pid := os.fork()) == 0:
            self.control.close()
            _leave(_run(step))
        else:
            self.steps[pid] = os.pidfd_open(pid), step
        return True

    def _tell_end(self, pid: int) -> None:
        pidfd, step = self.steps.pop(pid)
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(OSError):  # nobody listens any more
            step.sendall(str(os.waitstatus_to_exitcode(status)).encode())
            # Steps that were forked since hold copies of it: closing alone ends nothing.
            step.shutdown(socket.SHUT_RDWR)
        step.close()
        os.close(pidfd)

    def _prepare(self) -> None:
        what = self.waiting.pop(0)
        if what == HAND_OVER:
            self._fork_successor()
            return
        name, _, function = what.partition(":")
        # What cannot be imported is said by the step that needs it.
        with contextlib.suppress(Exception):
            module = importlib.import_module(name)
            if function:
                getattr(module, function)()

    def _fork_successor(self) -> None:
        if _threads() > 1:
            return
        ours, theirs = socket.socketpair()
        if (pid := os.fork()) == 0:
            ours.close()
            _leave(self._succeed(theirs))
        theirs.close()
        self.successor = pid, ours
        self.waiting.clear()

    def _succeed(self, predecessor: socket.socket) -> int:
        """What the copy does: it imports, and serves once the process before it lets go."""
        # They are children of the process before, and only a parent can wait for them.
        for pidfd, step in self.steps.values():
            os.close(pidfd)
            step.close()
        self.steps.clear()
        while self.waiting:
            self._prepare()
        if _threads() == 1:
            predecessor.sendall(READY)
            if predecessor.recv(1) == READY:
                self.serve()
        return 0

    def _hear(self, successor: int, line: socket.socket) -> None:
        """The successor is ready; or it has ended: after the last request, or by a failure."""
        if line.recv(1) == READY:
            self.serving = False
            line.sendall(READY)
            return
        line.close()
        os.waitpid(successor, 0)
        self.successor = None
        self.serving = True


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
    # OpenBLAS was loaded with one thread, and lets itself be given more.
    if "threadpoolctl" in sys.modules:
        from threadpoolctl import threadpool_limits

        from modelyard.runtimes.cores import available_cores

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


def main(descriptor: str, *preparations: str) -> int:
    # Steps get the same signal as this process, which waits for them. See pipeline.process.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    Server(socket.socket(fileno=int(descriptor)), list(preparations)).serve()
    return 0


if __name__ == "__main__":
    _leave(main(*sys.argv[2:]))
