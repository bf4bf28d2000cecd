"""Values of a chart with their comments, and the table of them in the chart's README.

python -m tests.charts.values_table    # writes the tables anew
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.charts.helm import CHARTS, ROOT

SAID = {"requests": "What is reserved.", "limits": "The most that is granted."}
"""Keys that mean the same everywhere and need no comment."""
BEGIN, END = "<!-- values -->", "<!-- end of values -->"


@dataclass(frozen=True)
class Value:
    """A line of values.yaml."""

    path: str
    """`package.image.tag`."""
    default: str | None
    """As JSON; None for a group."""
    comment: str


def values(chart: str) -> list[Value]:
    """Every key of a chart's values.yaml in its order, with the comment that stands right above
    it."""
    return list(_values((ROOT / "charts" / chart / "values.yaml").read_text()))


def _values(text: str) -> Iterator[Value]:
    parents: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        if (note := re.fullmatch(r"\s*# (.*)", line)) is not None:
            comment.append(note[1])
        elif (key := re.fullmatch(r"( *)([A-Za-z][\w-]*):(.*)", line)) is not None:
            depth = len(key[1])
            parents = [(at, name) for at, name in parents if at < depth] + [(depth, key[2])]
            default = json.dumps(yaml.safe_load(key[3])) if key[3].strip() else None
            path = ".".join(name for _, name in parents)
            yield Value(path, default, " ".join(comment) or SAID.get(key[2], ""))
            comment = []
        else:
            comment = []


def table(chart: str) -> str:
    """Markdown: a table for the keys."""
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for one in values(chart):
        shown = "" if one.default is None else f"`{one.default}`"
        rows.append(f"| `{one.path}` | {shown} | {one.comment.replace('|', chr(92) + '|')} |")
    return "\n".join(rows)


def with_table(chart: str) -> str:
    """The chart's README with a fresh table between its two marks."""
    text = readme(chart).read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(chart)}\n{END}{after}"


def readme(chart: str) -> Path:
    """README.md of a chart."""
    return ROOT / "charts" / chart / "README.md"


def defaults(chart: str) -> dict[str, Any]:
    """values.yaml as data."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "charts" / chart / "values.yaml").read_text())
    return found


if __name__ == "__main__":
    for name in CHARTS:
        readme(name).write_text(with_table(name))
