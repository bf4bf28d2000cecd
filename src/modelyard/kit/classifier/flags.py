"""Columns of 0 and 1 of a table, one for each label, as one column of lists."""

from __future__ import annotations

import json
from collections.abc import Sequence

from modelyard.kit.classifier.listed import FLAGS

LABELS_COLUMN = "labels"
"""The column that stands for them."""


def flags_of(columns: dict[str, list[str | None]], allowed: Sequence[str]) -> list[str]:
    """The columns that hold 0 and 1 only, where they are two or more. `allowed` names labels; empty:
    any."""
    found = []
    for name, cells in columns.items():
        is_flag = bool(cells) and all((cell or "").lower() in FLAGS for cell in cells)
        if is_flag and (not allowed or name in allowed):
            found.append(name)
    # One column of 0 and 1 is a label of two classes, called 0 and 1.
    return found if len(found) > 1 else []


def join_flags(columns: dict[str, list[str | None]], flags: Sequence[str]) -> None:
    """Puts one column, a JSON list of labels, in the place of the flags."""
    count = len(columns[flags[0]])
    lists: list[list[str]] = [[] for _ in range(count)]
    for name in sorted(flags):
        for row, cell in enumerate(columns.pop(name)):
            if FLAGS[(cell or "").lower()]:
                lists[row].append(name)
    columns[LABELS_COLUMN] = [json.dumps(names) for names in lists]
