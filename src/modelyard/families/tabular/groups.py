"""Rows that belong together, such as those of one patient: they stay in one split."""

from __future__ import annotations

import re

import numpy as np

from modelyard.errors import BadData
from modelyard.kit.splits import keys_of
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


def groups_of(table: Table, column: str, seed: int) -> np.ndarray:
    """A number of the group of every row, uint64 (rows,), which its name decides; a row whose cell
    is empty is a group of its own.

    Raises:
        BadData: too few groups to divide.
    """
    names = texts(table, column)
    found = keys_of(
        (f"empty {row}" if name is None else f"group {name}" for row, name in enumerate(names)),
        seed,
    )
    count = len(np.unique(found))
    if count < LEAST_GROUPS:
        problem = f"holds {count} groups to divide; at least {LEAST_GROUPS} are needed"
        raise BadData(
            problem, file=table.file, column=column, hint="Type: --set features.group=null"
        )
    return found


def likely_group(table: Table, target: str) -> str:
    """The column whose rows of one value are likely of one person or thing, or empty."""
    for name in table.names:
        if name == target or not NAMED.fullmatch(name.strip()):
            continue
        groups = len(set(texts(table, name)))
        if groups >= LEAST_GROUPS and table.rows >= LEAST_REPEATED * groups:
            return name
    return ""
