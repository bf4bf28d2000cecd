"""What a competition lays next to the rows to learn from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import PurePosixPath

from modelyard.kit.splits import SPLIT_NAMES


def beside_training(columns: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Files that hold no rows to learn from, and why: samples of a submission, and next to `train` a
    `test` that lacks some of its columns, such as the target, and other tables, such as one of the shops.
    `columns` has those of each file; where nothing else is there, none is left out."""
    found = {}
    for name in columns:
        if "submission" in name.lower():
            found[name] = "it is a sample of a submission"
    others = {}
    for name in columns.keys() - found.keys():
        # Up to the first dot, for endings such as .csv.gz.
        stem = PurePosixPath(name).name.lower().split(".")[0]
        others[stem] = name
    if not others:
        return {}
    train = others.pop("train", None)
    if train is None:
        return found
    for stem, name in sorted(others.items()):
        lacking = [column for column in columns[train] if column not in columns[name]]
        is_part = set(columns[name]) < set(columns[train])
        is_rest = stem == "test" and is_part
        # Rows that merely lack a column may be meant to be read: they are refused, and named.
        is_other = stem not in SPLIT_NAMES and not is_part
        if lacking and (is_rest or is_other):
            found[name] = f"it lacks {', '.join(lacking[:5])}, which {train} has"
    return found
