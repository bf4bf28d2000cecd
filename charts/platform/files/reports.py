"""Shows the drift reports below a folder or URI over HTTP: reports.py PLACE PORT.

GET / lists them, the newest first, with model, schedule and verdict of each; GET
/<path>/report.html is one; GET /livez answers while the process lives.
"""

from __future__ import annotations

import html
import json
import re
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote, urlsplit

NAME, VERDICT = "report.html", "verdict.json"
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


@dataclass(frozen=True)
class Report:
    """A report, as the list shows it."""

    path: str
    """Below the place."""
    when: str
    model: str
    schedule: str
    verdict: str


class Reports:
    """The reports of a place, listed at most once a minute."""

    def __init__(self, place: str) -> None:
        import fsspec

        self._files, root = fsspec.core.url_to_fs(place)
        self._root = str(root).rstrip("/")
        self._found: dict[tuple[str, str], Report] = {}
        """By path and time of writing."""
        self._until = 0.0

    def listed(self) -> list[Report]:
        """The newest reports, the newest first."""
        if time.monotonic() >= self._until:
            self._files.invalidate_cache()
            found = self._files.glob(f"{self._root}/**/{NAME}", detail=True)
            keys = [(path, _time(info)) for path, info in found.items()]
            keys = sorted(keys, key=lambda key: key[1], reverse=True)[:SHOWN]
            # A step's files come one by one: the verdict may follow its report.
            known = {key: one for key, one in self._found.items() if one.verdict}
            known |= self._read([key for key in keys if key not in known])
            self._found = {key: known[key] for key in keys}
            self._until = time.monotonic() + LOOK_SECONDS
        return list(self._found.values())

    def read(self, name: str) -> bytes | None:
        """The bytes of a report that is listed; None for anything else."""
        if name not in {report.path for report in self.listed()}:
            return None
        content: bytes = self._files.cat_file(f"{self._root}/{name}")
        return content

    def _read(self, keys: list[tuple[str, str]]) -> dict[tuple[str, str], Report]:
        """Reports with what the verdict next to each says, all read at once."""
        places = {key: key[0].removesuffix(NAME) + VERDICT for key in keys}
        texts = self._files.cat(list(places.values()), on_error="return") if keys else {}
        found = {}
        for (path, when), place in places.items():
            said = _verdict(texts.get(place))
            # A verdict of before models were named has family and package.
            before = f"{said.get('family', '')} {said.get('package', '')}".strip()
            model = said.get("model") or before
            words = (model, said.get("schedule", ""), said.get("reason", ""))
            found[path, when] = Report(path[len(self._root) + 1 :], when, *map(str, words))
        return found


def _verdict(text: Any) -> dict[str, Any]:
    """A verdict's content; empty for one that is missing or damaged: its report is shown all the same."""
    try:
        found = json.loads(text)
    except (TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


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


def listing(reports: list[Report]) -> str:
    """The page that lists reports."""
    rows = ""
    for report in reports:
        said = (report.when, report.model, report.schedule, report.verdict)
        cells = "".join(f"<td>{html.escape(text)}</td>" for text in said)
        link = f'<a href="/{quote(report.path)}">{html.escape(report.path)}</a>'
        rows += f"<tr>{cells}<td>{link}</td></tr>"
    names = ("time (UTC)", "model", "schedule", "verdict", "report")
    titles = "".join(f"<th>{name}</th>" for name in names)
    style = (
        "body{font:16px system-ui;margin:2rem}th,td{padding:.2rem 1rem .2rem 0;text-align:left;"
        "vertical-align:top}td:last-child{overflow-wrap:anywhere;font-size:.8rem}"
    )
    head = f"<!doctype html><meta charset=utf-8><title>Drift reports</title><style>{style}</style>"
    table = f"<tr>{titles}</tr>{rows}" if reports else "<tr><td>none yet</td></tr>"
    return f"{head}<h1>Drift reports</h1><table>{table}</table>"


def handler(reports: Reports) -> type[BaseHTTPRequestHandler]:
    """Answers requests over some reports."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """One of the three paths."""
            path = unquote(urlsplit(self.path).path)
            if path == "/livez":
                return self._answer(200, b"ok", LISTING)
            if path == "/":
                return self._answer(200, listing(reports.listed()).encode(), LISTING)
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
