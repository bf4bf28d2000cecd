"""Several processes that answer on one socket, and the one that watches them."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from modelyard.errors import UsageError
from modelyard.serving import logs
from modelyard.serving.follow import pointed

START_SECONDS = 300.0
"""Longest wait for a model to be ready."""
STOP_SECONDS = 30.0
"""Longest wait for accepted requests and the prediction log when stopping."""
TRIES = 5
"""Where so many starts in a row fail and no worker is left, the command ends with the cause."""
_LOOK_SECONDS = 0.05
_LONGEST_PAUSE = 30.0
_LINES = 200
"""Last lines of a worker's output that are searched for the cause of its end."""

log = logging.getLogger("modelyard.serving")


class Worker:
    """One process that answers. Its output goes to ours from the moment it is ready; until then
    it is the cause."""

    def __init__(
        self,
        listener: socket.socket,
        lifeline: int,
        environ: Mapping[str, str],
        work: Path,
        number: int = 0,
    ) -> None:
        self.is_ready, self.number = False, number
        self._lines: deque[str] = deque(maxlen=_LINES)
        # Ours as long as the worker lives: a worker that finds it closed has lost its command.
        self._ready, write = os.pipe()
        os.set_blocking(self._ready, False)
        inherited = [listener.fileno(), write, lifeline]
        command = [
            sys.executable,
            "-m",
            "modelyard.serving.server",
            *map(str, inherited),
            str(work),
        ]
        # In a session of its own, so that Ctrl-C reaches it once, through us.
        self.process = subprocess.Popen(
            command,
            env={**environ, "MODELYARD_WORKER": str(number)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=inherited,
        )
        os.close(write)
        # Read all the time: a worker that fills the pipe would block at its next line.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self.process.poll() is not None

    def became_ready(self) -> bool:
        """Whether it has become ready since the last call."""
        if self.is_ready:
            return False
        try:
            self.is_ready = os.read(self._ready, 1) == b"1"
        except BlockingIOError:
            return False
        if self.is_ready:
            for line in list(self._lines):
                sys.stderr.write(line)
        return self.is_ready

    def close(self) -> str:
        """Lets go of a worker that has ended; returns the cause."""
        os.close(self._ready)
        self._reader.join(1.0)
        return _cause(self._lines)

    def cause(self) -> str:
        """The most telling line of its output."""
        return _cause(self._lines)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for raw in output:
                line = raw.decode(errors="replace")
                self._lines.append(line)
                if self.is_ready:
                    sys.stderr.write(line)
                    sys.stderr.flush()


class Workers:
    """Processes that share a socket. One that ends by itself is replaced at once; one that does
    not become ready is started again after a pause that doubles. When this process is gone,
    however it went, they end: each waits for the end of a pipe that this one holds."""

    def __init__(
        self, listener: socket.socket, environ: Mapping[str, str], number: int, work: Path
    ) -> None:
        self._listener = listener
        self._environ = dict(environ)
        self._number = number
        self._work = work
        self._workers: list[Worker] = []
        self._stopping = False
        self._failures = 0
        self._next_start = 0.0

    def run(self, ready: Callable[[], None]) -> None:
        """Until a signal; `ready` is called when all are ready.

        Raises:
            UsageError: the workers do not start: the cause.
        """
        logs.configure(self._environ.get("MODELYARD_LOG_FORMAT") or "text")
        # No worker inherits `held`, so the system closes the pipe when this process is gone.
        lifeline, held = os.pipe()
        try:
            with self._stopped_by_signals():
                for _ in range(self._number):
                    self._workers.append(self._started(lifeline))
                if self._all_ready():
                    ready()
                while not self._stopping:
                    self._replace(lifeline)
                    time.sleep(_LOOK_SECONDS)
        finally:
            self._end()
            os.close(lifeline)
            os.close(held)

    def _started(self, lifeline: int) -> Worker:
        environ = dict(self._environ)
        pointer = self._work / "pointer"
        if environ.get("MODELYARD_FOLLOW") == str(pointer):
            named = pointed(pointer)
            # After a swap a new worker begins with the package that the others serve.
            if named is not None:
                environ["MODELYARD_PACKAGE"] = str(named.package)
        # One that replaces another takes its number, and with it its GPU.
        taken = {worker.number for worker in self._workers}
        number = min(set(range(self._number)) - taken)
        return Worker(self._listener, lifeline, environ, self._work, number)

    def _all_ready(self) -> bool:
        """Whether all became ready before a signal came."""
        deadline = time.monotonic() + START_SECONDS
        while not self._stopping:
            for worker in self._workers:
                worker.became_ready()
                if worker.has_ended:
                    self._workers.remove(worker)
                    raise UsageError(f"the service did not start: {worker.close()}")
            waiting = [worker for worker in self._workers if not worker.is_ready]
            if not waiting:
                return True
            if time.monotonic() > deadline:
                cause = waiting[0].cause()
                raise UsageError(f"the service was not ready after {START_SECONDS:.0f} s: {cause}")
            time.sleep(_LOOK_SECONDS)
        return False

    def _replace(self, lifeline: int) -> None:
        for worker in list(self._workers):
            if worker.became_ready():
                self._failures = 0
            if worker.has_ended:
                self._lose(worker)
        while len(self._workers) < self._number and time.monotonic() >= self._next_start:
            self._workers.append(self._started(lifeline))

    def _lose(self, worker: Worker) -> None:
        self._workers.remove(worker)
        cause = worker.close()
        # What the dead one had waiting is gone.
        for gauge in self._work.glob(f"gauge_live*_{worker.process.pid}.db"):
            gauge.unlink()
        log.warning(
            "a worker ended with code %s and is replaced: %s", worker.process.returncode, cause
        )
        if worker.is_ready:
            return
        self._failures += 1
        pause = min(2.0 ** (self._failures - 1), _LONGEST_PAUSE)
        self._next_start = time.monotonic() + pause
        is_nobody_left = not any(other.is_ready for other in self._workers)
        if self._failures >= TRIES and is_nobody_left:
            raise UsageError(f"no worker is left and {TRIES} in a row did not start: {cause}")

    def _end(self) -> None:
        for worker in self._workers:
            if not worker.has_ended:
                worker.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for worker in self._workers:
            try:
                worker.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            worker.close()

    @contextmanager
    def _stopped_by_signals(self) -> Iterator[None]:
        def stop(*_: object) -> None:
            self._stopping = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _cause(output: deque[str]) -> str:
    """Our own last `error:`, else the last line that names an exception, else the last line."""
    last = named = None
    # A copy: the thread that reads may add a line meanwhile.
    for line in reversed(list(output)):
        line = line.strip()
        if line.startswith("error: "):
            return line.removeprefix("error: ").removeprefix("the service did not start: ")
        # `package.SomeError: why`, the last line of a traceback.
        kind = line.split(":")[0].rpartition(".")[2]
        if named is None and kind.endswith(("Error", "Exception")):
            named = line
        if last is None and line:
            last = line
    return named or last or "it said nothing"
