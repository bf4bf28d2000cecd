"""The looks at a model, one after another: their verdicts, kept in `monitoring/<name>/<look>/`."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from modelyard.drift.quality import Quality
from modelyard.errors import UsageError, choices
from modelyard.home import home, slug

REPORTS = 100
"""So many of the newest looks keep their report; a verdict is some kilobytes, a report a megabyte."""
MOST_COLUMNS = 8
"""Columns whose effects are shown over time: those that drifted most often."""


@dataclass(frozen=True)
class Look:
    """One comparison of traffic with a package's reference."""

    folder: Path
    at: datetime
    """When it looked: the end of its window."""
    model: str
    """What it looked at: `churn@3`, or the package's version where it was not registered."""
    rows: int
    status: str
    retrains: bool
    effects: dict[str, float]
    """The effect in each column, largest first."""
    drifted: frozenset[str]
    """Columns that drifted."""
    quality: Quality | None = None
    """How good the answers were whose label came; None where none came."""

    @classmethod
    def read(cls, file: Path) -> Look:
        """Out of a `verdict.json`, also one of an earlier version.

        Raises:
            ValueError, KeyError, TypeError: it is none.
        """
        verdict = json.loads(file.read_text())
        columns = sorted(verdict["columns"], key=lambda entry: -float(entry["effect"]))
        return cls(
            folder=file.parent,
            at=datetime.fromisoformat(verdict["window"]["until"]),
            model=str(verdict.get("model") or verdict["package"]),
            rows=int(verdict["rows_current"]),
            status=str(verdict["status"]),
            retrains=bool(verdict.get("retrain")),
            effects={entry["name"]: float(entry["effect"]) for entry in columns},
            drifted=frozenset(entry["name"] for entry in columns if entry["drifted"]),
            quality=_quality(verdict.get("quality")),
        )


def _quality(found: Any) -> Quality | None:
    """None where no label came, or none that fits."""
    if found is None:
        return None
    quality = Quality.model_validate(found)
    return quality if quality.rows else None


@dataclass(frozen=True)
class History:
    """All looks at a model that are kept, oldest first."""

    name: str
    looks: list[Look]
    unreadable: list[Path] = field(default_factory=list)
    """Verdicts that could not be read: half-written by an earlier version, or edited."""

    @property
    def columns(self) -> list[str]:
        """Columns that drifted, those that did so most often first."""
        times: Counter[str] = Counter()
        for look in self.looks:
            times.update(look.drifted)
        return sorted(times, key=lambda name: (-times[name], name))


def place(name: str) -> Path:
    """Where the looks at a registered name are kept on this machine."""
    return home() / "monitoring" / slug(name).replace("/", "-").replace("@", "-")


def keep(verdict: Path, report: Path | None, name: str, look: str) -> Path:
    """Copies a verdict and its report among the looks at a name, whole or not at all; old reports
    go. The same look twice is one."""
    target = place(name) / look
    # Killed before the rename it leaves a hidden folder, which `history` passes over.
    part = target.with_name(f".{look}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    shutil.copyfile(verdict, part / "verdict.json")
    if report is not None:
        shutil.copyfile(report, part / "report.html")
    # A rename does not replace a folder that holds files.
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)
    for old in sorted(place(name).glob("*/report.html"))[:-REPORTS]:
        old.unlink(missing_ok=True)
    return target


def history(name: str) -> History:
    """The kept looks at a registered name.

    Raises:
        UsageError: nobody has looked at it on this machine.
    """
    looks, unreadable = [], []
    for file in sorted(place(name).glob("*/verdict.json")):
        if file.parent.name.startswith("."):
            continue
        try:
            looks.append(Look.read(file))
        except (ValueError, KeyError, TypeError):
            unreadable.append(file)
    if not looks and not unreadable:
        folders = sorted(place(name).parent.glob("*"))
        known = [folder.name for folder in folders if folder.is_dir()]
        problem = f"nobody has looked at {name}"
        if known:
            problem = choices("watched model", name, known)
        raise UsageError(f"{problem}. Type: modelyard monitor {name}, or modelyard watch {name}")
    looks.sort(key=lambda look: look.at)
    return History(name, looks, unreadable)
