"""Rows that belong together, such as those of one patient: they stay in one split."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from modelyard.errors import BadData
from modelyard.families.tabular.config import TabularFeatures
from modelyard.families.tabular.divide import Rows
from modelyard.kit.tables import Table, texts

LEAST_GROUPS = 10
"""Fewer could not fill three splits in anything like their shares."""
LEAST_REPEATED = 2
"""Rows a group has on average where a column is taken for one that names groups."""
NAMED = re.compile(
    r"(.*[_ ])?(patient|subject|participant|person|user|customer|client|student|employee|household"
    r"|animal|device|machine|vehicle|session)[_ ]?(id|nr|no|number|code|name)?",
    re.IGNORECASE,
)
"""What a column is called whose rows of one value are of one person or thing."""


def group_numbers(table: Table, column: str) -> np.ndarray:
    """The group of every row, int64 (rows,); a row whose cell is empty is a group of its own.

    Raises:
        BadData: too few groups to divide.
    """
    numbers: dict[str, int] = {}
    found = np.empty(table.rows, np.int64)
    for row, name in enumerate(texts(table, column)):
        key = f"empty {row}" if name is None else f"group {name}"
        found[row] = numbers.setdefault(key, len(numbers))
    if len(numbers) < LEAST_GROUPS:
        problem = f"holds {len(numbers)} groups to divide; at least {LEAST_GROUPS} are needed"
        raise BadData(
            problem, file=table.file, column=column, hint="Type: --set features.group=null"
        )
    return found


def by_group(
    settings: TabularFeatures, groups: np.ndarray, classes: np.ndarray | None, seed: int
) -> Rows:
    """Groups go, the largest first, where they fill most of what is lacking by class.

    Args:
        groups: the group of every row, int64 (rows,).
        classes: the class of every row; None for a regression.
    """
    generator = np.random.default_rng(seed)
    _, groups = np.unique(groups, return_inverse=True)
    y = np.zeros(len(groups), np.int64) if classes is None else classes
    counts = np.zeros((groups.max() + 1, y.max() + 1))
    np.add.at(counts, (groups, y), 1)
    test, validation = settings.test_share, settings.validation_share
    quota = np.outer([1 - test - validation, validation, test], np.maximum(counts.sum(axis=0), 1))
    lacking = quota.copy()
    split_of = np.empty(len(counts), np.int64)
    mixed = generator.permutation(len(counts))
    for group in mixed[np.argsort(-counts[mixed].sum(axis=1), kind="stable")]:
        best = int(np.argmax((counts[group] * lacking / quota).sum(axis=1)))
        lacking[best] -= counts[group]
        split_of[group] = best
    order = generator.permutation(len(groups))
    splits = split_of[groups[order]]
    return {name: order[splits == at] for at, name in enumerate(("train", "validation", "test"))}


def likely_group(table: Table, target: str) -> str:
    """The column whose rows of one value are likely of one person or thing, or empty."""
    for name in table.names:
        if name == target or not NAMED.fullmatch(name.strip()):
            continue
        groups = len(set(texts(table, name)))
        if groups >= LEAST_GROUPS and table.rows >= LEAST_REPEATED * groups:
            return name
    return ""


def save_groups(features: Path, split: str, groups: np.ndarray) -> None:
    """The groups of a split's rows, int64 (rows,)."""
    np.save(_file(features, split), groups, allow_pickle=False)


def load_groups(features: Path, split: str) -> np.ndarray | None:
    """The groups of a split's rows, int64 (rows,); None where rows are not grouped."""
    file = _file(features, split)
    return np.load(file, allow_pickle=False) if file.is_file() else None


def _file(features: Path, split: str) -> Path:
    return Path(features) / f"{split}.groups.npy"
