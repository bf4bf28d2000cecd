"""Follows what names the package that should serve: a file that holds its path, or the
registry's champion."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import NamedTuple

from modelyard.errors import ModelyardError
from modelyard.serving.champion import Champion
from modelyard.serving.traffic import Traffic

log = logging.getLogger("modelyard.serving")

CHAMPION = "champion:"
BREAKING = "breaking"
"""Second line of a pointer file whose package may refuse requests that are answered now."""
REGISTRY_SECONDS = 30.0
"""A registry on a server is not read more often."""


class Named(NamedTuple):
    """A package that should serve."""

    package: Path
    breaking: bool
    """Whether it may refuse requests that are answered now."""


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
            named = pointed(Path(source))
        else:
            named = await _champion(registry)
        if named is not None and named != seen:
            seen = named
            try:
                await traffic.swap(named.package, breaking=named.breaking)
            except ModelyardError:
                pass  # said and counted by swap; tried again when another is named
            except Exception:
                log.exception("%s cannot be opened", named.package)
        pause = seconds
        if registry is not None and not registry.is_near:
            pause = max(seconds, REGISTRY_SECONDS)
        await asyncio.sleep(pause)


def point(file: Path, package: Path, breaking: bool = False) -> None:
    """Names a package in a pointer file, in one step."""
    # Readers take a relative path from the pointer's folder, which is not where we run.
    lines = [str(package.absolute())]
    if breaking:
        lines.append(BREAKING)
    # Workers read the file while it is written: a rename shows them the old text or the new one.
    part = file.with_name(f".{file.name}.new")
    part.write_text("\n".join(lines) + "\n", errors="surrogateescape")
    part.replace(file)


def pointed(file: Path) -> Named | None:
    """What a pointer file names, its path relative to the file's own folder. None where there is
    no file, or nothing in it."""
    try:
        # Paths need not be UTF-8, and nobody must be able to end the following with a bad file.
        lines = file.read_text(errors="surrogateescape").strip().split("\n")
    except OSError:
        return None
    package = lines[0].strip()
    if not package:
        return None
    options = [line.strip() for line in lines[1:]]
    return Named(file.parent / package, BREAKING in options)


async def _champion(registry: Champion) -> Named | None:
    folder = await registry.folder()
    if folder is None:
        return None
    return Named(Path(folder), breaking=False)
