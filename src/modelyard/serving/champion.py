"""Which package is champion: a cheap look shows whether it may have changed, and only then the
registry's client runs.

The client is MLflow's, whose import takes seconds of a core; the look is one small request to
the server, or the dates of the database's files.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import sys
import time
import urllib.error
from pathlib import Path

from modelyard.home import slug, tracking_uri
from modelyard.registry import direct
from modelyard.registry.tracking import database
from modelyard.registry.version import CHAMPION

log = logging.getLogger("modelyard.serving")

BLIND_SECONDS = 600.0
"""Where a change cannot be seen cheaply, the client runs this often."""
_RESOLVE = (
    "import sys; from modelyard.registry.versions import resolve; print(resolve(sys.argv[1]))"
)


class Champion:
    """The champion of one registered name."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._mark: str | None = None
        self._folder: str | None = None
        self._next = 0.0

    @property
    def is_near(self) -> bool:
        """Whether a look costs next to nothing: the registry is a file on this machine."""
        return database(tracking_uri()) is not None

    async def folder(self) -> str | None:
        """Where its package lies on this machine; None where there is none, or the registry does
        not say."""
        try:
            mark = await asyncio.to_thread(mark_of, self._name)
        except (OSError, http.client.HTTPException, ValueError) as error:
            log.warning("the registry does not say who is champion of %s: %s", self._name, error)
            return self._folder
        # Two marks of None say nothing: then the client runs, if its time has come.
        is_trusted = mark is not None or time.monotonic() < self._next
        if mark == self._mark and is_trusted:
            return self._folder
        folder = await _resolved(self._name)
        # The mark is stored only with its folder: after a failed look the next one tries again.
        if folder is not None:
            self._mark, self._folder = mark, folder
            self._next = time.monotonic() + BLIND_SECONDS
        return self._folder


def mark_of(name: str) -> str | None:
    """A text that changes when the champion does; None where that cannot be seen cheaply.

    Raises:
        OSError, HTTPException, ValueError: the registry does not answer, or not in JSON.
    """
    uri = tracking_uri()
    if (file := database(uri)) is not None:
        if (found := direct.find(slug(name), CHAMPION)) is not None:
            return f"version {found.version}"
        # SQLite's write-ahead log changes first: the date of the database itself may stay.
        wal = file.with_name(f"{file.name}-wal")
        return f"{_dated(file)}|{_dated(wal)}"
    if not uri.startswith(("http://", "https://")):
        return None
    try:
        return json.dumps(direct.ask(direct.ALIAS, name=slug(name), alias=CHAMPION))
    except urllib.error.HTTPError as error:
        if error.code == 404:  # nothing of that name, or no champion yet
            return "none"
        if error.code in (401, 403):  # the client may know another way in
            return None
        raise


def _dated(file: Path) -> str:
    try:
        stat = file.stat()
    except FileNotFoundError:
        return "-"
    return f"{stat.st_mtime_ns}:{stat.st_size}"


async def _resolved(name: str) -> str | None:
    """In a process of its own, which ends with this one: a registry's client has no place here."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _RESOLVE,
        name,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        answered, said = await process.communicate()
    finally:
        # Still running only where this task was cancelled: the service stops.
        if process.returncode is None:
            process.kill()
    if process.returncode != 0:
        lines = said.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        log.warning("the registry does not say who is champion of %s: %s", name, lines[-1])
        return None
    # Libraries may print of their own before it.
    return answered.decode().strip().splitlines()[-1]
