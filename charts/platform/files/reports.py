"""Shows the drift reports below a folder or URI over HTTP: reports.py PLACE PORT.

GET / lists them, the newest first; GET /<path>/report.html is one; GET /livez answers while the
process lives.
"""

from __future__ import annotations

import html
import re
import sys
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote, urlsplit

NAME = "report.html"
SHOWN = 500
LOOK_SECONDS = 60.0
"""How long a listing is good for: an object store takes its time to list."""
LISTING = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
CLOSED = "sandbox; default-src 'none'; img-src data:; font-src data:; style-src 'unsafe-inline'"
"""Of a report without a policy of its own: what was written before reports had one is shown
without its scripts."""
_OWN = re.compile(
    rb'\s*<!doctype html><html lang="en"><head><meta charset="utf-8">'
    rb"<meta http-equiv=\"Content-Security-Policy\" content=\"(default-src 'none'[-A-Za-z0-9+/=;: ']*)\">",
    re.IGNORECASE,
)
_SCRIPTS = re.compile(r"script-src('sha256-[A-Za-z0-9+/]{43}=')+")
_OTHERS = {
    "default-src",
    "script-src",
    "style-src",
    "img-src",
    "font-src",
    "base-uri",
    "form-action",
}


def policy(report: bytes) -> str:
    """The policy that a report is shown under: the one it begins with, in a sandbox that reaches
    no other page."""
    own = _OWN.match(report)
    rules = own[1].decode().split("; ") if own is not None else []
    scripts = [rule for rule in rules if rule.startswith("script-src")]
    named = all(_SCRIPTS.fullmatch(rule.replace(" ", "")) for rule in scripts)
    if own is None or not named or not {rule.partition(" ")[0] for rule in rules} <= _OTHERS:
        return CLOSED
    return f"sandbox allow-scripts; {own[1].decode()}; frame-ancestors 'none'"


class Reports:
    """The reports of a place, listed at most once a minute."""

    def __init__(self, place: str) -> None:
        import fsspec

        self._files, root = fsspec.core.url_to_fs(place)
        self._root = str(root).rstrip("/")
        self._found: dict[str, Any] = {}
        self._until = 0.0

    def names(self) -> list[tuple[str, str]]:
        """Path below the place, and time of writing, the newest first."""
        if time.monotonic() >= self._until:
            self._files.invalidate_cache()
            found = self._files.glob(f"{self._root}/**/{NAME}", detail=True)
            times = {path: _time(info) for path, info in found.items()}
            self._found = dict(sorted(times.items(), key=lambda one: one[1], reverse=True)[:SHOWN])
            self._until = time.monotonic() + LOOK_SECONDS
        return [(path[len(self._root) + 1 :], when) for path, when in self._found.items()]

    def read(self, name: str) -> bytes | None:
        """The bytes of a report that is listed; None for anything else."""
        if name not in dict(self.names()):
            return None
        content: bytes = self._files.cat_file(f"{self._root}/{name}")
        return content


def _time(info: dict[str, Any]) -> str:
    when = (
        info.get("LastModified")
        or info.get("mtime")
        or info.get("updated")
        or info.get("created")
        or 0
    )
    if isinstance(when, int | float):
        when = datetime.fromtimestamp(when, UTC)
    return str(when)[:19]


def listing(names: list[tuple[str, str]]) -> str:
    """The page that lists reports."""
    rows = "".join(
        f'<tr><td>{html.escape(when)}</td><td><a href="/{quote(name)}">{html.escape(name)}</a></td></tr>'
        for name, when in names
    )
    style = "body{font:16px system-ui;margin:2rem}td{padding:.2rem 1rem .2rem 0}"
    head = f"<!doctype html><meta charset=utf-8><title>Drift reports</title><style>{style}</style>"
    return f"{head}<h1>Drift reports</h1><table>{rows or '<tr><td>none yet</td></tr>'}</table>"


def handler(reports: Reports) -> type[BaseHTTPRequestHandler]:
    """Answers requests over some reports."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """One of the three paths."""
            path = unquote(urlsplit(self.path).path)
            if path == "/livez":
                return self._answer(200, b"ok", LISTING)
            if path == "/":
                return self._answer(200, listing(reports.names()).encode(), LISTING)
            content = reports.read(path.removeprefix("/"))
            if content is None:
                return self._answer(404, b"no such report", LISTING)
            return self._answer(200, content, policy(content))

        def _answer(self, status: int, content: bytes, allowed: str) -> None:
            self.send_response(status)
            headers = {
                "content-type": "text/html; charset=utf-8",
                "content-length": str(len(content)),
            }
            headers |= {"x-content-type-options": "nosniff", "content-security-policy": allowed}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Says nothing: probes would fill the log."""

    return Handler


def serve(place: str, port: int) -> ThreadingHTTPServer:
    """A server over the reports of a place, not started yet."""
    return ThreadingHTTPServer(("", port), handler(Reports(place)))


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2])).serve_forever()
