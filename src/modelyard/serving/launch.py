"""`modelyard serve`: BentoML in a process of its own, quiet unless it fails."""

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
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelyard import artifact, home
from modelyard.errors import BrokenArtifact, MissingExtra, UsageError
from modelyard.package import PackageInfo, read_info

START_SECONDS = 300.0
"""Longest wait for a model to be ready."""
DRAIN_SECONDS = 30
"""Longest wait for accepted requests and the prediction log when stopping."""
TELEMETRY_OFF = {"BENTOML_DO_NOT_TRACK": "True", "DO_NOT_TRACK": "1"}
_FAILED = ("Application startup failed", "Traceback (most recent call last)")


def serve(package: Path, host: str, port: int, workers: int = 1) -> int:
    """Serves a package until Ctrl-C or SIGTERM, then drains; returns the exit code.

    Raises:
        MissingExtra: BentoML is not installed.
        BrokenArtifact: `package` is not a whole package.
        UsageError: the port is taken, or the service does not start: the cause.
    """
    if importlib.util.find_spec("bentoml") is None:
        raise MissingExtra("serving", "serve")
    info = check(package)
    check_port(host, port)
    with tempfile.TemporaryDirectory(prefix="modelyard-serve-") as work, _stop_signals() as stop:
        output = Path(work) / "bentoml.log"
        process = _start(package, info, host, port, workers, Path(work), output)
        try:
            if not _wait_ready(process, f"http://{_reachable(host)}:{port}/readyz", output, stop):
                return 0
            _tell(package, info, host, port)
            while not stop.wait(0.2):
                if process.poll() is not None:
                    raise UsageError(f"the service ended by itself: {_cause(output)}")
        finally:
            _end(process)
    return 0


def check(package: Path) -> PackageInfo:
    """The info of a whole, unchanged package.

    Raises:
        BrokenArtifact: incomplete, changed, or not a package.
    """
    manifest = artifact.verify(package)
    if manifest.kind != "package":
        raise BrokenArtifact(f"{package} is a {manifest.kind}, not a package. Give the folder that 'package' made")
    return read_info(package)


def check_port(host: str, port: int) -> None:
    """Raises UsageError when the port cannot be listened on, naming the next free one."""
    cause = _refusal(host, port)
    if cause is None:
        return
    free = next((other for other in range(port + 1, min(port + 200, 65_536)) if not _refusal(host, other)), None)
    hint = f" Type: --port {free}" if free else ""
    raise UsageError(f"port {port} on {host} cannot be used: {cause}.{hint}")


def service_file() -> Path:
    """`services/service.py` in a checkout, or the copy that the wheel carries."""
    import modelyard

    inside = Path(modelyard.__file__).parent
    places = [inside / "_adapters" / "services" / "service.py", inside.parents[1] / "services" / "service.py"]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise UsageError(f"service.py is missing; looked in {' and '.join(str(place) for place in places)}")
    return found


def environment(package: Path, info: PackageInfo, workers: int) -> dict[str, str]:
    """This process's environment with what the service reads; paths are absolute, for BentoML changes folders."""
    predictions = Path(os.environ.get("MODELYARD_PREDICTIONS") or home.predictions(info.family)).resolve()
    return os.environ | TELEMETRY_OFF | {
        "MODELYARD_PACKAGE": str(package.resolve()),
        "MODELYARD_PREDICTIONS": str(predictions),
        "MODELYARD_WORKERS": str(workers),
        # A family from outside is found there by the path that found it here.
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(str(Path(entry).resolve()) for entry in sys.path)),
    }  # fmt: skip


def _start(
    package: Path, info: PackageInfo, host: str, port: int, workers: int, work: Path, output: Path
) -> subprocess.Popen[bytes]:
    # BentoML empties the metrics folder of its home when it starts: two services must not share one.
    env = environment(package, info, workers) | {"BENTOML_HOME": str(work / "bentoml")}
    command = [sys.executable, "-m", "bentoml", "serve", "service:Model", "--working-dir", str(service_file().parent),
               "--host", "127.0.0.1" if host == "localhost" else host, "--port", str(port),
               "--timeout-graceful-shutdown", str(DRAIN_SECONDS // 2)]  # fmt: skip
    with output.open("wb") as stream:
        # In a session of its own, so that Ctrl-C reaches it once, through us.
        return subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True
        )


def _wait_ready(process: subprocess.Popen[bytes], url: str, output: Path, stop: threading.Event) -> bool:
    """Whether the service became ready before it was asked to stop."""
    from rich.console import Console

    deadline = time.monotonic() + START_SECONDS
    with Console(stderr=True).status("starting the service"):
        while time.monotonic() < deadline:
            if stop.wait(0.05):
                return False
            if _answers(url):
                return True
            if process.poll() is not None or any(sign in _read(output) for sign in _FAILED):
                raise UsageError(f"the service did not start: {_cause(output)}")
    raise UsageError(f"the service was not ready after {START_SECONDS:.0f} s: {_cause(output)}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as reply:  # noqa: S310 - our own http address
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _tell(package: Path, info: PackageInfo, host: str, port: int) -> None:
    from rich.console import Console
    from rich.markup import escape

    address = f"http://{_reachable(host)}:{port}"
    golden = json.loads((package / "golden.json").read_text())["request"]
    body = shlex.quote(json.dumps(golden))
    console = Console(soft_wrap=True, highlight=False)
    console.print(
        f"[bold]{escape(info.title)}[/] {info.version} serves at [link={address}]{address}[/]  (Ctrl-C stops)"
    )
    console.print(f"\n  curl -H 'content-type: application/json' -d {escape(body)} {address}/predict\n")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(DRAIN_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; their former handlers return at the end."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _cause(output: Path) -> str:
    """The line that tells most: our own `error:`, else the last one that names an exception, else the last one."""
    lines = [line.strip() for line in _read(output).splitlines() if line.strip()]
    ours = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    named = [line for line in lines if line.split(":")[0].rpartition(".")[2].endswith(("Error", "Exception"))]
    return next(iter([*ours[-1:], *named[-1:], *lines[-1:]]), "it said nothing")


def _read(output: Path) -> str:
    return output.read_text(errors="replace")


def _refusal(host: str, port: int) -> str | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            return getattr(error, "strerror", None) or str(error)
    return None


def _reachable(host: str) -> str:
    """The name this machine reaches the service by."""
    if host in ("0.0.0.0", "::", "localhost"):  # noqa: S104 - compared, not bound
        return "127.0.0.1" if host != "::" else "[::1]"
    return f"[{host}]" if ":" in host else host
