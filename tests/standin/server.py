"""The HTTP half: enough of the Kubernetes REST API for its Python client, with faults to order."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import yaml

from tests.standin.discovery import access, discovery
from tests.standin.execute import exec_over_websocket
from tests.standin.listening import Listening
from tests.standin.patches import merge, strategic_merge
from tests.standin.store import Kind, Object, Refused, Store

_PATH = re.compile(
    r"^/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+)/(?P<version>[^/]+))"
    r"(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>[^/]+))?$"
)
CORE = [
    Kind("", "v1", "pods", "Pod"),
    Kind("", "v1", "events", "Event"),
    Kind("", "v1", "secrets", "Secret"),
]
SERVICE = Kind("", "v1", "services", "Service")
METADATA_ONLY = "as=PartialObjectMetadataList"
_PROXY = re.compile(
    r"^/api/v1/namespaces/([^/]+)/services/(?:https?:)?([^/:]+)(?::([^/]+))?/proxy(/.*)$"
)


@dataclass
class Fault:
    """An answer in place of the real one, so many times, to requests whose `METHOD /path?query`
    the pattern finds."""

    pattern: str
    refused: Refused
    times: int = 1


@dataclass
class Line:
    """A line of a container's log."""

    stamp: str
    text: str


@dataclass
class Api:
    """The cluster: its objects, its logs, the requests it saw, and how it misbehaves."""

    store: Store = field(default_factory=Store)
    logs: dict[str, list[Line]] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    """Pods whose container ended: following their log ends."""
    requests: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    token: str = ""
    """Where set, requests must bring it."""
    cut_log_after: list[int] = field(default_factory=list)
    """A log stream ends after so many lines, in the middle of the next; one entry a stream."""
    cut_cleanly: bool = False
    """Such a stream ends as a complete one does, rather than break."""
    denied: set[str] = field(default_factory=set)
    """What the account may not do, as `verb resource`, or for reviews `verb resource in
    NAMESPACE`: `get pods/log`."""
    behind: dict[str, str] = field(default_factory=dict)
    """What answers behind a service that is reached through the API, by its name:
    `http://127.0.0.1:3000`."""
    on_exec: Callable[[str, list[str]], str] | None = None
    """Runs a command in a pod of this name; what it prints."""
    on_delete: Callable[[Kind, str, str, str], bool] | None = None
    """Takes over a deletion, by kind, namespace, name and propagation policy: True when it did."""
    before: Callable[[str], None] | None = None
    """Sees every request before it takes effect."""
    streams: set[socket.socket] = field(default_factory=set)
    url: str = ""

    def start(self) -> Listening:
        handler = type("BoundHandler", (Handler,), {"api": self})
        server = Listening(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        self.store.register(*CORE)
        return server

    def kubeconfig(self, file: Path, namespace: str) -> Path:
        """Writes a kubeconfig for this cluster."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": self.url}}],
            "users": [{"name": "me", "user": {"token": self.token or "any"}}],
            "contexts": [
                {
                    "name": "here",
                    "context": {"cluster": "here", "user": "me", "namespace": namespace},
                }
            ],
        }
        file.write_text(yaml.safe_dump(config))
        return file

    def refuse(self, pattern: str, code: int, message: str, times: int = 1, **headers: str) -> None:
        """Orders an answer for the next requests that fit."""
        reasons = {
            401: "Unauthorized",
            403: "Forbidden",
            404: "NotFound",
            409: "Conflict",
            410: "Expired",
        }
        refused = Refused(code, reasons.get(code, "InternalError"), message, headers)
        self.faults.append(Fault(pattern, refused, times))

    def cut_streams(self) -> int:
        """Breaks every open stream, as a restarted load balancer does."""
        cut = list(self.streams)
        for one in cut:
            with suppress(OSError):  # closed by now
                one.shutdown(socket.SHUT_RDWR)
        return len(cut)

    def asked(self, pattern: str) -> int:
        """How many requests fit a pattern so far."""
        return sum(bool(re.search(pattern, one)) for one in self.requests)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    api: Api
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base's name
        pass

    def do_GET(self) -> None:
        self._answer(self._read)

    def do_POST(self) -> None:
        self._answer(self._create)

    def do_PUT(self) -> None:
        self._answer(self._replace)

    def do_PATCH(self) -> None:
        self._answer(self._patch)

    def do_DELETE(self) -> None:
        self._answer(self._delete)

    def _answer(self, act: Callable[[], Object | None]) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body: Object = json.loads(self.rfile.read(length) or b"{}")
        self.api.requests.append(f"{self.command} {self.path}")
        try:
            if self.api.before is not None:
                self.api.before(f"{self.command} {self.path}")
            self._check()
            special = self._special(urlsplit(self.path).path)
            result = special if special is not None else act() if self._found() else None
            if result:
                self._send(201 if self.command == "POST" else 200, result)
        except Refused as refused:
            with suppress(ConnectionError):  # who asked waited no longer
                self._send(
                    refused.code,
                    refused.body() if refused.reason else refused.message,
                    refused.headers,
                )
        except (BrokenPipeError, ConnectionError):
            self.close_connection = True

    def _check(self) -> None:
        if self.api.token and self.headers.get("Authorization") != f"Bearer {self.api.token}":
            raise Refused(401, "Unauthorized", "Unauthorized")
        for fault in self.api.faults:
            if fault.times and re.search(fault.pattern, f"{self.command} {self.path}"):
                fault.times -= 1
                raise fault.refused

    def _found(self) -> bool:
        """Which objects the request is about."""
        url = urlsplit(self.path)
        self.query = dict(parse_qsl(url.query))
        found = _PATH.match(url.path)
        kind = self.api.store.kinds.get((found["group"] or "", found["plural"])) if found else None
        if found is None or kind is None or kind.version != (found["core"] or found["version"]):
            raise Refused(
                404, "", "404 page not found\n"
            )  # a path that nobody serves: no Status object
        self.kind, self.namespace = kind, found["namespace"] or ""
        self.name, self.sub = found["name"] or "", found["sub"] or ""
        if (
            self.command == "GET"
            and (refused := f"list {kind.plural}") in self.api.denied
            and not self.name
        ):
            raise Refused(
                403, "Forbidden", f'{kind.qualified} is forbidden: User "me" cannot {refused}'
            )
        return True

    def _special(self, path: str) -> Object | None:
        """Answers that are no objects of the store: discovery, rights, what lies behind a
        service."""
        if path.endswith("/exec") and self.api.on_exec is not None:
            exec_over_websocket(self, self.api.on_exec)
            return {}
        if path == "/openapi/v2":
            self._send(
                200, ""
            )  # an empty document as protobuf: no kind is known, so none is checked
            return {}
        if (found := discovery(path, list(self.api.store.kinds.values()))) is not None:
            return found
        if path.endswith("/selfsubjectaccessreviews"):
            return access(self.body, self.api.denied)
        if (through := _PROXY.match(path)) is not None:
            return self._proxy(*through.groups())
        return None

    def _proxy(self, namespace: str, service: str, port: str, path: str) -> Object:
        """Passes a request on, and the answer back with its headers; the caller's own
        credentials stay here."""
        if service not in self.api.behind:
            there = self.api.store.find(SERVICE, namespace, fields=f"metadata.name={service}")
            if not there:
                raise Refused(404, "NotFound", f'services "{service}" not found')
            raise Refused(
                503, "ServiceUnavailable", f'no endpoints available for service "{service}"'
            )
        body = json.dumps(self.body).encode() if self.command == "POST" else None
        request = urllib.request.Request(  # noqa: S310
            self.api.behind[service] + path, body, {"content-type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as reply:  # noqa: S310
                status, headers, content = reply.status, reply.headers, reply.read()
        except urllib.error.HTTPError as error:
            status, headers, content = error.code, error.headers, error.read()
        except OSError as error:
            raise Refused(
                503, "ServiceUnavailable", f"error trying to reach service: {error}"
            ) from None
        kept = {name: value for name, value in headers.items() if name.lower().startswith("x-")}
        self._send(status, content.decode(), kept)
        return {}

    def _read(self) -> Object | None:
        store = self.api.store
        if self.sub == "log":
            return self._log()
        if self.name:
            return store.get(self.kind, self.namespace, self.name)
        labels, fields = self.query.get("labelSelector", ""), self.query.get("fieldSelector", "")
        if self.query.get("watch") in ("true", "True"):
            return self._watch(labels, fields)
        items, at = store.list_at(self.kind, self.namespace, labels, fields)
        version = {"resourceVersion": str(at)}
        if "limit" in self.query:
            start, limit = int(self.query.get("continue") or 0), int(self.query["limit"])
            version |= {"continue": str(start + limit)} if len(items) > start + limit else {}
            items = items[start : start + limit]
        if METADATA_ONLY in self.headers.get("Accept", ""):
            items = [{"metadata": one["metadata"]} for one in items]
        return {
            "kind": f"{self.kind.kind}List",
            "apiVersion": self.kind.api_version,
            "metadata": version,
            "items": items,
        }

    def _create(self) -> Object:
        strict = self.query.get("fieldValidation") == "Strict"
        return self.api.store.create(self.kind, self.namespace, self.body, strict)

    def _replace(self) -> Object:
        def edit(thing: Object) -> None:
            kept = {
                name: thing["metadata"][name] for name in ("uid", "creationTimestamp", "namespace")
            }
            thing.clear()
            thing.update(self.body)
            thing["metadata"] |= kept

        return self.api.store.change(self.kind, self.namespace, self.name, edit)

    def _patch(self) -> Object:
        act = strategic_merge if "strategic" in self.headers.get("Content-Type", "") else merge
        known = (self.body.get("metadata") or {}).get("resourceVersion")

        def edit(thing: Object) -> None:
            if known and known != thing["metadata"]["resourceVersion"]:
                raise Refused(
                    409,
                    "Conflict",
                    f'Operation cannot be fulfilled on {self.kind.qualified} "{self.name}": the object '
                    "has been modified; please apply your changes to the latest version and try again",
                )
            act(thing, self.body)

        return self.api.store.change(self.kind, self.namespace, self.name, edit)

    def _delete(self) -> Object:
        store = self.api.store
        thing = store.get(self.kind, self.namespace, self.name)
        how = self.query.get("propagationPolicy", "Background")
        taken = self.api.on_delete and self.api.on_delete(self.kind, self.namespace, self.name, how)
        if not taken:
            store.remove(self.kind, self.namespace, self.name)
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Success",
            "details": {"uid": thing["metadata"]["uid"]},
        }

    def _watch(self, labels: str, fields: str) -> None:
        until = time.monotonic() + float(self.query.get("timeoutSeconds", 60))
        version = int(self.query.get("resourceVersion") or 0)
        with _Stream(self) as send:
            on = lambda: time.monotonic() < until  # noqa: E731
            for event in self.api.store.watch(
                self.kind, self.namespace, version, labels, fields, on
            ):
                send((json.dumps(event) + "\n").encode() if event else b"")

    def _log(self) -> None:
        pod = self.api.store.get(self.kind, self.namespace, self.name)
        status = pod.get("status", {})
        containers = [
            *status.get("initContainerStatuses", []),
            *status.get("containerStatuses", []),
        ]
        states = [one.get(state, {}) for one in containers for state in ("state", "lastState")]
        if not any("running" in state or "terminated" in state for state in states):
            raise Refused(
                400, "BadRequest", f'container "node" in pod "{self.name}" is waiting to start'
            )
        follow, since = self.query.get("follow") == "true", self.query.get("sinceTime", "")
        own = f"{self.name}/{self.query.get('container')}"
        lines = (
            self.api.logs[own] if own in self.api.logs else self.api.logs.setdefault(self.name, [])
        )
        cut = self.api.cut_log_after.pop(0) if self.api.cut_log_after and follow else -1
        sent = 0
        with _Stream(self) as send:
            while True:
                over = self.name in self.api.ended
                for line in lines[sent:]:
                    sent += 1
                    stamp = f"{line.stamp} " if self.query.get("timestamps") == "true" else ""
                    text = f"{stamp}{line.text}\n".encode()
                    if line.stamp[:19] + "Z" >= since:
                        if cut == 0:
                            send(text[: len(text) - 3])
                            if self.api.cut_cleanly:
                                return
                            raise ConnectionResetError
                        cut -= 1
                        send(text)
                if over or not follow:
                    return
                send(b"")
                time.sleep(0.01)

    def _send(self, code: int, body: Object | str, headers: dict[str, str] | None = None) -> None:
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        kind = "text/plain" if isinstance(body, str) else "application/json"
        self.send_response(code)
        for name, value in {"Content-Type": kind, **(headers or {})}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class _Stream:
    """A chunked answer; an exception within breaks the connection without the last chunk."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler

    def __enter__(self) -> Callable[[bytes], None]:
        self.handler.send_response(200)
        self.handler.send_header("Content-Type", "application/json")
        self.handler.send_header("Transfer-Encoding", "chunked")
        self.handler.end_headers()
        self.handler.api.streams.add(self.handler.connection)
        return self._send

    def _send(self, data: bytes) -> None:
        if data:
            self.handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def __exit__(self, kind: Any, *rest: object) -> None:
        self.handler.api.streams.discard(self.handler.connection)
        if kind is None:
            self.handler.wfile.write(b"0\r\n\r\n")
        else:
            with suppress(OSError):  # the other side was quicker
                self.handler.connection.shutdown(socket.SHUT_RDWR)
