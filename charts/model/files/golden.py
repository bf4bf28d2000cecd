"""Sends a package's own example to the service and compares the answer: golden.py URL PACKAGE
[TOLERANCE]."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from modelyard.judging.compare import difference
from modelyard.packages.package import read_info

TRIES = 50
"""Requests until the version in question answers; others may share the Service."""


def ask(url: str, request: Any) -> tuple[str, Any]:
    """The version that answered, and its answer."""
    headers = {"content-type": "application/json"}
    if token := os.environ.get("MODELYARD_TOKEN"):
        headers["authorization"] = f"Bearer {token}"
    body = json.dumps(request).encode()
    call = urllib.request.Request(f"{url}/predict", body, headers)  # noqa: S310 - the release's own address
    with urllib.request.urlopen(call, timeout=60) as reply:  # noqa: S310
        return reply.headers["x-modelyard-package"], json.load(reply)


def check(url: str, package: Path, tolerance: float) -> str:
    """What is wrong; empty when the service gives the package's own answer."""
    golden, version = json.loads((package / "golden.json").read_text()), read_info(package).version
    seen: set[str] = set()
    try:
        for _ in range(TRIES):
            answered, answer = ask(url, golden["request"])
            if answered == version:
                return difference(golden["response"], answer, tolerance)
            seen.add(answered)
    except urllib.error.HTTPError as error:
        return f"{url}/predict answers {error.code}: {error.read(300).decode(errors='replace')}"
    except OSError as error:
        return f"{url}/predict does not answer: {error}"
    return f"{url} serves {', '.join(sorted(seen))}; version {version} did not answer once in {TRIES} requests"


def main(url: str, package: str, tolerance: str = "0.001") -> int:
    """The exit code: 0 when the answers are the same."""
    wrong = check(url, Path(package), float(tolerance))
    print(wrong or "the service gives the package's own answer")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
