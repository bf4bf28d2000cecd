"""Follows what names the package that should serve: a file that holds its path, or the
registry's champion."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from modelyard.errors import ModelyardError
from modelyard.serving.champion import Champion
from modelyard.serving.traffic import Traffic

log = logging.getLogger("modelyard.serving")

CHAMPION = "champion:"
BREAKING = "breaking"
"""Second line of a pointer file whose package may refuse requests that are answered now."""
REGISTRY_SECONDS = 30.0
"""A registry on a server is not read more often."""


async def follow(traffic: Traffic, source: str, seconds: float) -> None:
    """Lets each newly named package take over; a bad one is refused once and the old one goes
    on. Never ends."""
    seen = None
    if source.startswith(CHAMPION):
        registry = Champion(source.removeprefix(CHAMPION))
    else:
        registry = None
    while True:
        if registry is None:
            named = _pointed(Path(source))
        else:
            named = await registry.folder()
        if named is not None and named != seen:
            seen = named
            folder, _, options = named.partition("\n")
            try:
                await traffic.swap(Path(folder), breaking=options.strip() == BREAKING)
            except ModelyardError:
                pass  # said and counted by swap; tried again when another is named
            except Exception:
                log.exception("%s cannot be opened", named)
        far = registry is not None and not registry.is_near
        await asyncio.sleep(max(seconds, REGISTRY_SECONDS) if far else seconds)


def point(file: Path, package: Path, breaking: bool = False) -> None:
    """Names a package in a pointer file, in one step; `breaking` is its second line."""
    part = file.with_name(f".{file.name}.new")
    part.write_text(f"{package}\n{BREAKING}\n" if breaking else f"{package}\n")
    part.replace(file)


def _pointed(file: Path) -> str | None:
    """What the file names; relative to the file's own folder. None where there is no file, or
    nothing in it."""
    try:
        named = file.read_text().strip()
    except OSError:
        return None
    if named:
        return str(file.parent / named)
    return None
