"""`modelyard serve`: one process that answers, or a few under one that watches them.

Uvicorn runs the app directly: BentoML's supervisor and worker each load BentoML, which is most of its start, and there
is nothing of BentoML's between the socket and the app to gain. `services/service.py` serves the same app for those
who build and ship with BentoML.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from modelyard import home
from modelyard.errors import MissingExtra, UsageError
from modelyard.package import PackageInfo, verify
from modelyard.trust import Trust

START_SECONDS = 300.0
"""Longest wait for a model to be ready."""
STOP_SECONDS = 30.0
"""Longest wait for accepted requests and the prediction log when stopping."""
TELEMETRY_OFF = {"BENTOML_DO_NOT_TRACK": "True", "DO_NOT_TRACK": "1"}
_RESTART_SECONDS = 1.0


def serve(package: Path, host: str, port: int, workers: int = 1) -> int:
    """Serves a package until Ctrl-C or SIGTERM, then drains; returns the exit code.

    Raises:
        MissingExtra: uvicorn is not installed.
        BrokenArtifact: `package` is not a whole package.
        UsageError: the port is taken, or the service does not start: the cause.
    """
    if importlib.util.find_spec("uvicorn") is None:
        raise MissingExtra("serving", "serve")
    info = check(package)
    check_port(host, port)
    with _listening(host, port) as listener, tempfile.TemporaryDirectory(prefix="modelyard-serve-") as work:
        environ = environment(package, info, workers)
        if workers == 1:
            from modelyard.serving.server import run

            run(listener, environ, lambda: _tell(package, info, host, port))
        else:
            several = environ | {"PROMETHEUS_MULTIPROC_DIR": work}
            several.setdefault("MODELYARD_FOLLOW", str(Path(work) / "pointer"))
            _Workers(listener, several, workers, Path(work)).run(lambda: _tell(package, info, host, port))
    return 0


def check(package: Path) -> PackageInfo:
    """The info of a whole, unchanged package.

    Raises:
        BrokenArtifact: incomplete, changed, or not a package.
        UsageError: its family is code from outside that nobody named.
    """
    trust = Trust.from_environment()
    info = verify(package, trust).info
    trust.family(info.family)
    return info


def check_port(host: str, port: int) -> None:
    """Raises UsageError when the port cannot be listened on, naming the next free one."""
    cause = _refusal(host, port)
    if cause is None:
        return
    free = next((other for other in range(port + 1, min(port + 200, 65_536)) if not _refusal(host, other)), None)
    hint = f" Type: --port {free}" if free else ""
    raise UsageError(f"port {port} on {host} cannot be used: {cause}.{hint}")


def environment(package: Path, info: PackageInfo, workers: int) -> dict[str, str]:
    """This process's environment with what the service reads; paths are absolute."""
    place = os.environ.get("MODELYARD_PREDICTIONS") or str(home.predictions(info.family))
    return os.environ | TELEMETRY_OFF | {
        "MODELYARD_PACKAGE": str(package.resolve()),
        "MODELYARD_PREDICTIONS": place if "://" in place else str(Path(place).resolve()),
        "MODELYARD_WORKERS": str(workers),
        # A family from outside is found there by the path that found it here.
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(str(Path(entry).resolve()) for entry in sys.path)),
    }  # fmt: skip


class _Workers:
    """Processes that share a socket. One that ends by itself is started again; when this process is gone, however it
    went, they end: each waits for the end of a pipe that this one holds."""

    def __init__(self, listener: socket.socket, environ: Mapping[str, str], number: int, work: Path) -> None:
        self._listener, self._environ, self._number = listener, dict(environ), number
        self._output = work / "workers.log"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._stopping = False

    def run(self, tell: Callable[[], None]) -> None:
        """Until a signal; `tell` is called when all are ready."""
        lifeline, held = os.pipe()
        try:
            with self._stopped_by_signals():
                ready = [self._start(lifeline) for _ in range(self._number)]
                if self._wait(ready):
                    tell()
                while not self._stopping:
                    self._mend(lifeline)
                    time.sleep(0.2)
        finally:
            self._end()
            for end in (lifeline, held):
                os.close(end)

    def _start(self, lifeline: int) -> int:
        read, write = os.pipe()
        command = [sys.executable, "-m", "modelyard.serving.server"]
        inherited = [self._listener.fileno(), write, lifeline]
        with self._output.open("ab") as stream:
            # In a session of its own, so that Ctrl-C reaches it once, through us.
            process = subprocess.Popen(
                [*command, *map(str, inherited)], env=self._environ, stdin=subprocess.DEVNULL, stdout=stream,
                stderr=stream, start_new_session=True, pass_fds=inherited,
            )  # fmt: skip
        os.close(write)
        self._processes.append(process)
        return read

    def _wait(self, ready: list[int]) -> bool:
        """Whether all became ready before a signal came; a worker that ends before it is has the cause."""
        deadline = time.monotonic() + START_SECONDS
        for pipe in ready:
            os.set_blocking(pipe, False)
        waiting = list(ready)
        while waiting and not self._stopping:
            if any(process.poll() is not None for process in self._processes):
                raise UsageError(f"the service did not start: {_cause(self._output)}")
            if time.monotonic() > deadline:
                raise UsageError(f"the service was not ready after {START_SECONDS:.0f} s: {_cause(self._output)}")
            waiting = [pipe for pipe in waiting if not _written(pipe)]
            time.sleep(0.02)
        for pipe in ready:
            os.close(pipe)
        return not waiting

    def _mend(self, lifeline: int) -> None:
        gone = [process for process in self._processes if process.poll() is not None]
        for process in gone:
            self._processes.remove(process)
            for gauge in self._output.parent.glob(f"gauge_live*_{process.pid}.db"):
                gauge.unlink()  # what the dead one had waiting is gone
            sys.stderr.write(f"a worker ended with code {process.returncode}: {_cause(self._output)}\n")
            time.sleep(_RESTART_SECONDS)
            os.close(self._start(lifeline))

    def _end(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for process in self._processes:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

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


def _written(pipe: int) -> bool:
    try:
        return os.read(pipe, 1) == b"1"
    except BlockingIOError:
        return False


def _tell(package: Path, info: PackageInfo, host: str, port: int) -> None:
    from rich.console import Console
    from rich.markup import escape

    address = f"http://{_reachable(host)}:{port}"
    if os.environ.get("MODELYARD_LOG_FORMAT") == "json":
        from modelyard.serving.logs import line_of

        # Who collects logs takes every line as JSON, and an example is data that no log should hold.
        print(line_of(f"{info.title} serves", package=info.version, address=address), flush=True)
        return
    golden = json.loads((package / "golden.json").read_text())["request"]
    body = shlex.quote(json.dumps(golden))
    console = Console(soft_wrap=True, highlight=False)
    console.print(
        f"[bold]{escape(info.title)}[/] {info.version} serves at [link={address}]{address}[/]  (Ctrl-C stops)"
    )
    console.print(f"\n  curl -H 'content-type: application/json' -d {escape(body)} {address}/predict\n")


def _cause(output: Path) -> str:
    """The line that tells most: our own `error:`, else the last one that names an exception, else the last one."""
    text = output.read_text(errors="replace") if output.is_file() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    ours = [line.removeprefix("error: ").removeprefix("the service did not start: ")
            for line in lines if line.startswith("error: ")]  # fmt: skip
    named = [line for line in lines if line.split(":")[0].rpartition(".")[2].endswith(("Error", "Exception"))]
    return next(iter([*ours[-1:], *named[-1:], *lines[-1:]]), "it said nothing")


def _refusal(host: str, port: int) -> str | None:
    try:
        with _listening(host, port):
            return None
    except (OSError, OverflowError) as error:
        return getattr(error, "strerror", None) or str(error)


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.setblocking(False)
        yield listener


def _reachable(host: str) -> str:
    """The name this machine reaches the service by."""
    if host in ("0.0.0.0", "::", "localhost"):  # noqa: S104 - compared, not bound
        return "127.0.0.1" if host != "::" else "[::1]"
    return f"[{host}]" if ":" in host else host
