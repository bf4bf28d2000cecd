"""Commands in a pod, as `kubectl exec` and the Python client ask for them: a WebSocket with a
channel a stream."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455, section 1.3."""
_BINARY, _CLOSE = 0x82, 0x88
_STDOUT, _STATUS = 1, 3
"""Channels of the protocol v4.channel.k8s.io."""


def exec_over_websocket(
    handler: BaseHTTPRequestHandler, run: Callable[[str, list[str]], str]
) -> None:
    """Answers a request to execute: what the command printed, then that it succeeded."""
    url = urlsplit(handler.path)
    pod = re.search(r"/pods/([^/]+)/exec$", url.path)
    assert pod is not None
    key = handler.headers["Sec-WebSocket-Key"]
    accept = base64.b64encode(
        hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()
    ).decode()
    handler.send_response(101)
    for name, value in {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": accept,
        "Sec-WebSocket-Protocol": "v4.channel.k8s.io",
    }.items():
        handler.send_header(name, value)
    handler.end_headers()
    said = run(pod[1], parse_qs(url.query)["command"])
    handler.wfile.write(_frame(_BINARY, bytes([_STDOUT]) + said.encode()))
    handler.wfile.write(
        _frame(_BINARY, bytes([_STATUS]) + json.dumps({"status": "Success"}).encode())
    )
    handler.wfile.write(_frame(_CLOSE, struct.pack("!H", 1000)))
    handler.close_connection = True


def _frame(kind: int, content: bytes) -> bytes:
    if len(content) < 126:
        return bytes([kind, len(content)]) + content
    return bytes([kind, 126]) + struct.pack("!H", len(content)) + content
