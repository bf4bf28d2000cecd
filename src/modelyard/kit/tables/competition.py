"""What a competition lays next to the rows to learn from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import PurePosixPath


def beside_training(columns: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Files that hold no rows to learn from, and why: samples of a submission, and next to `train` a
    `test` that lacks some of its columns, such as the target. `columns` has those of each file; where
    nothing else is there, none is left out."""
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
    if others.keys() == {"train", "test"}:
        train, test = columns[others["train"]], columns[others["test"]]
        lacking = [column for column in train if column not in test]
        if lacking and set(test) < set(train):
            found[others["test"]] = (
                f"it lacks {', '.join(lacking[:5])}, which {others['train']} has"
            )
    return found
