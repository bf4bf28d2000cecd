"""Files that are copied to an fsspec store, and whether they arrived."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def put(fs: Any, root: str, files: Mapping[str, Path]) -> None:
    """Copies files into the folder `root` of a store, by their names below it."""
    parents = {str(Path(root, name).parent) for name in files}
    for parent in sorted(parents):
        fs.makedirs(parent, exist_ok=True)
    sources = [str(file) for file in files.values()]
    targets = [f"{root}/{name}" for name in files]
    if files:
        fs.put(sources, targets)


def sizes_below(fs: Any, root: str) -> dict[str, int]:
    """Bytes of each file below a folder of a store, by its name there, as the store has it now."""
    # fsspec keeps listings, which may be from before an upload: ours, or another process's.
    fs.invalidate_cache()
    found: dict[str, dict[str, Any]] = fs.find(root, detail=True)
    sizes = {}
    for name, info in found.items():
        sizes[name[len(root) :].lstrip("/")] = int(info["size"])
    return sizes


def differing(fs: Any, root: str, sizes: Mapping[str, int]) -> list[str]:
    """Names of files that are missing below `root`, or of another length."""
    there = sizes_below(fs, root)
    return sorted(name for name, size in sizes.items() if there.get(name) != size)
