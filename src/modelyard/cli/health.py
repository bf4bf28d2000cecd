"""What works on this machine and what to type where something does not."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.table import Table

from modelyard import __version__

Level = Literal["ok", "off", "bad"]
MARKS = {"ok": "[green]✓[/]", "off": "[dim]–[/]", "bad": "[red]✗[/]"}

ROLES = {
    "pipeline": ("kfp", "run pipelines here and on Kubeflow"),
    "serve": ("uvicorn", "serve models"),
    "track": ("mlflow", "track runs, keep the registry"),
    "monitor": ("evidently", "draw drift reports"),
    "data": ("dvc", "data from Git and DVC"),
    "torch": ("torch", "train neural networks"),
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    what: str
    seen: str


def report() -> int:
    """Prints the findings; exit code 1 when something needed is broken."""
    table = Table(show_header=False, box=None, pad_edge=False)
    found = [finding for check in CHECKS for finding in check()]
    for finding in found:
        table.add_row(MARKS[finding.level], finding.what, finding.seen)
    Console(highlight=False).print(table)
    return 1 if any(finding.level == "bad" for finding in found) else 0


def _python() -> list[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    return [Finding("ok", "modelyard", f"{__version__} on Python {version}")]


def _extras() -> list[Finding]:
    rows = []
    for extra, (module, purpose) in ROLES.items():
        there = importlib.util.find_spec(module) is not None
        seen = purpose if there else f"not installed ({purpose}): pip install 'modelyard\\[{extra}]'"
        rows.append(Finding("ok" if there else "off", extra, seen))
    return rows


def _families() -> list[Finding]:
    from modelyard.errors import ModelyardError
    from modelyard.family import make, names
    from modelyard.run import check_requirements

    rows = []
    for name in names():
        try:
            check_requirements(make(name))
            rows.append(Finding("ok", f"family {name}", "ready"))
        except ModelyardError as error:
            rows.append(Finding("off", f"family {name}", str(error).replace("[", "\\[")))
    return rows


def _home() -> list[Finding]:
    from modelyard.home import home, tracking_uri

    folder = home()
    existing = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = shutil.disk_usage(existing).free / 1e9
    level: Level = "ok" if os.access(existing, os.W_OK) and free > 1 else "bad"
    seen = f"{folder}, {free:.0f} GB free" + ("" if level == "ok" else ": not writable or full; set MODELYARD_HOME")
    return [Finding(level, "runs", seen), Finding("ok", "tracking", tracking_uri())]


def _kubeflow() -> list[Finding]:
    from modelyard.errors import ModelyardError

    if not os.environ.get("KFP_HOST"):
        return [Finding("off", "kubeflow", "KFP_HOST is not set: pipelines run on this machine")]
    from modelyard.launch.pipelines import connect

    try:
        connect(None)
    except ModelyardError as error:
        return [Finding("bad", "kubeflow", str(error).replace("[", "\\["))]
    return [Finding("ok", "kubeflow", f"answers at {os.environ['KFP_HOST']}")]


CHECKS: tuple[Callable[[], list[Finding]], ...] = (_python, _extras, _families, _home, _kubeflow)
