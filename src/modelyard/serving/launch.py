"""`modelyard serve`: one process that answers, or a few under one that watches them.

Uvicorn runs the app directly: BentoML's supervisor and worker each load BentoML, which is most of
its start, and there is nothing of BentoML's between the socket and the app to gain.
`services/service.py` serves the same app for those who build and ship with BentoML.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelyard import home
from modelyard.card import pages
from modelyard.errors import MissingExtra, UsageError
from modelyard.packages.package import PackageInfo, verify
from modelyard.packages.trust import Trust
from modelyard.serving.follow import CHAMPION
from modelyard.serving.workers import Workers
from modelyard.store.artifact import write_text

LONGEST_PASTED = 2_000
"""Characters of an example that stands in the curl line itself."""


def serve(
    package: Path,
    host: str,
    port: int,
    workers: int = 1,
    device: str | None = None,
    follow: str | None = None,
) -> int:
    """Serves a package until Ctrl-C or SIGTERM, then drains; returns the exit code.

    `device` is where the model computes: see `ServingSettings.device`; None: the environment's.
    `follow` is a registered name: its next champion takes over, where the environment names nothing
    else to follow.

    Raises:
        MissingExtra: uvicorn is not installed.
        BrokenArtifact: `package` is not a whole package.
        UsageError: the port is taken, or the service does not start: the cause.
    """
    if importlib.util.find_spec("uvicorn") is None:
        raise MissingExtra("serving", "serve")
    info = check(package)
    check_port(host, port)
    environ = environment(package, info, workers)
    if device is not None:
        environ["MODELYARD_DEVICE"] = device
    if follow is not None:
        environ.setdefault("MODELYARD_FOLLOW", f"{CHAMPION}{follow}")
    with _listening(host, port) as listener:
        if workers == 1:
            from modelyard.serving.server import run

            run(listener, environ, lambda: _announce(package, info, host, port))
            return 0
        with tempfile.TemporaryDirectory(
            prefix="modelyard-serve-", ignore_cleanup_errors=True
        ) as work:
            several = environ | {"PROMETHEUS_MULTIPROC_DIR": work}
            several.setdefault("MODELYARD_FOLLOW", str(Path(work) / "pointer"))
            Workers(listener, several, workers, Path(work)).run(
                lambda: _announce(package, info, host, port)
            )
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
    hint = ""
    for other in range(port + 1, min(port + 200, 65_536)):
        if _refusal(host, other) is None:
            hint = f" Type: --port {other}"
            break
    raise UsageError(f"port {port} on {host} cannot be used: {cause}.{hint}")


def environment(package: Path, info: PackageInfo, workers: int) -> dict[str, str]:
    """This process's environment with what the service reads; paths are absolute."""
    place = os.environ.get("MODELYARD_PREDICTIONS") or str(home.predictions(info.family))
    if "://" not in place:
        place = str(Path(place).resolve())
    # A family from outside is found there by the path that found it here.
    entries = [str(Path(entry).resolve()) for entry in sys.path]
    return os.environ | {
        "MODELYARD_PACKAGE": str(package.resolve()),
        "MODELYARD_PREDICTIONS": place,
        "MODELYARD_WORKERS": str(workers),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(entries)),
    }


def _announce(package: Path, info: PackageInfo, host: str, port: int) -> None:
    from rich.console import Console
    from rich.markup import escape

    address = f"http://{_reachable(host)}:{port}"
    if os.environ.get("MODELYARD_LOG_FORMAT") == "json":
        from modelyard.serving.logs import line_of

        # Who collects logs takes every line as JSON, and an example is data that no log should
        # hold.
        print(line_of(f"{info.subject} serves", package=info.version, address=address), flush=True)
        return
    console = Console(soft_wrap=True, highlight=False)
    subject = escape(pages.clean(info.subject))
    console.print(
        f"[bold]{subject}[/] {info.version} serves at [link={address}]{address}[/]  (Ctrl-C stops)"
    )
    body = pasted_example(package, info.version)
    console.print(
        f"\n  curl -H 'content-type: application/json' -d {escape(body)} {address}/predict\n"
    )


def pasted_example(package: Path, version: str) -> str:
    """What curl sends: the package's example, or a file with it where it is longer than a line
    that a person pastes."""
    body = json.dumps(json.loads((package / "golden.json").read_text())["request"])
    if len(body) <= LONGEST_PASTED:
        return shlex.quote(body)
    file = home.home() / "examples" / f"{version}.json"
    try:
        write_text(file, body)
    except OSError:
        # A read-only service still answers; its page shows the example.
        return "@example.json"
    if file.is_relative_to(Path.cwd()):
        shown = file.relative_to(Path.cwd())
    else:
        shown = file
    return shlex.quote(f"@{shown}")


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
        # A port stays taken for a minute by closed connections (TIME_WAIT), as after a restart.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        # Several workers wake for one connection, and all but one find none to accept.
        listener.setblocking(False)
        yield listener


def _reachable(host: str) -> str:
    """The name this machine reaches the service by."""
    # A wildcard is an address to listen on, none to call.
    if host == "::":
        return "[::1]"
    if host in ("0.0.0.0", "localhost"):  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    if ":" in host:
        return f"[{host}]"
    return host
