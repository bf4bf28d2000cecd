"""A headless Chromium, driven over its own protocol, for tests of pages."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
WAIT = 20.0


class Browser:
    """One tab. Calling it evaluates JavaScript in the page that is open."""

    def __init__(self, tab: ClientConnection) -> None:
        self._tab, self._numbers = tab, itertools.count(1)
        self.said: list[str] = []
        """What the page logged, threw, or had refused by its policy, since `open`."""
        for domain in ("Runtime", "Log", "Page"):
            self.do(f"{domain}.enable")

    def __call__(self, expression: str) -> Any:
        reply = self.do("Runtime.evaluate", expression=expression, returnByValue=True)
        # A page that is just going away answers with an error.
        return reply["result"]["result"].get("value") if "result" in reply else None

    def do(self, method: str, **given: Any) -> dict[str, Any]:
        """The reply to a command of the protocol."""
        number = next(self._numbers)
        self._tab.send(json.dumps({"id": number, "method": method, "params": given}))
        while (reply := json.loads(self._tab.recv(WAIT))).get("id") != number:
            self._heard(reply)
        return reply

    def open(self, address: str) -> None:
        """Opens a page and waits until it is loaded."""
        for place in ("about:blank", address):
            self.said.clear()
            self.do("Page.navigate", url=place)
            wait_for(
                lambda place=place: (
                    self("location.href + document.readyState") == f"{place}complete"
                )
            )

    def _heard(self, event: dict[str, Any]) -> None:
        given = event.get("params", {})
        if event.get("method") == "Log.entryAdded":
            self.said.append(given["entry"]["text"])
        if event.get("method") == "Runtime.exceptionThrown":
            thrown = given["exceptionDetails"]
            self.said.append(thrown.get("exception", {}).get("description") or thrown["text"])
        if event.get("method") == "Page.javascriptDialogOpening":
            self.said.append(f"dialog: {given['message']}")
            self._tab.send(
                json.dumps(
                    {"id": 0, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
                )
            )


@contextmanager
def started(profile: Path) -> Iterator[Browser]:
    """A browser with a profile of its own."""
    assert CHROMIUM is not None, "tests that need a browser are skipped where there is none"
    process = subprocess.Popen(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            "about:blank",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with connect(_tab(profile / "DevToolsActivePort"), proxy=None, max_size=None) as tab:
            yield Browser(tab)
    finally:
        process.terminate()
        process.wait()


def _tab(file: Path) -> str:
    wait_for(lambda: file.is_file() and file.read_text().count("\n") == 1)
    port = file.read_text().splitlines()[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as reply:
        (tab,) = (one for one in json.load(reply) if one["type"] == "page")
    return str(tab["webSocketDebuggerUrl"])


def wait_for(condition: Callable[[], Any]) -> None:
    """Returns once the condition holds."""
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
