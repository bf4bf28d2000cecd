"""Paths as a person reads them."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape


def shown(path: Path) -> str:
    """A path from the working folder where it lies in it, else whole; for rich, to which `[old]`
    in the name of a folder would be markup."""
    path = Path(path).absolute()
    if path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return escape(str(path))
