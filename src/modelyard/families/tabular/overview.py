"""What the card tells about a table."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.errors import option
from modelyard.families.tabular.divide import Rows
from modelyard.families.tabular.schema import TableSchema
from modelyard.kit.columns.overview import overview_of
from modelyard.kit.columns.schema import Column

if TYPE_CHECKING:
    import pandas as pd

ALMOST_ALL, ALMOST_EQUAL = 0.999, 0.9999


def summarize(
    frame: pd.DataFrame,
    schema: TableSchema,
    y: np.ndarray,
    rows: Rows,
    outputs: int,
    dropped: dict[str, int],
    notes: list[str],
) -> dict[str, Any]:
    """Rows by split, what was left out, classes, and a table of the columns; JSON.

    Args:
        outputs: inputs of the model that the columns become.
    """
    classes = {}
    for index, name in enumerate(schema.classes or []):
        classes[name] = int((y == index).sum())
    if classes:
        kind = f"{len(classes)} classes"
    else:
        kind = "regression"
    positive = ""
    if schema.classes is not None and len(schema.classes) == 2:
        positive = schema.classes[1]
    given = _determining(frame, schema, y)
    summary = overview_of(frame, schema, rows, _splits_table(schema, y, rows))
    summary["headline"] += f", {kind}{_named(given, schema)}"
    summary["warnings"] += _giveaways(given, schema)
    return summary | {
        "dropped": dropped,
        "outputs": outputs,
        "target": schema.target,
        "positive": positive,
        "task": schema.task,
        "classes": classes,
        "notes": notes,
    }


def _splits_table(schema: TableSchema, y: np.ndarray, rows: Rows) -> dict[str, Any]:
    target = schema.target
    names = schema.classes or [f"least {target}", f"mean {target}", f"largest {target}"]
    body: list[list[Any]] = []
    for split, part in rows.items():
        own = y[part]
        if schema.classes:
            shares = [(own == index).mean() for index in range(len(schema.classes))]
            figures = [f"{100 * share:.1f} %" for share in shares]
        else:
            figures = [f"{own.min():.4g}", f"{own.mean():.4g}", f"{own.max():.4g}"]
        body.append([split, len(part), *figures])
    return {"title": "Splits", "columns": ["split", "rows", *names], "rows": body}


def _determining(frame: pd.DataFrame, schema: TableSchema, y: np.ndarray) -> list[str]:
    """Columns that determine the target by themselves: often the answer in another word."""
    found = []
    for column in schema.inputs:
        cells = frame[column.name]
        there = cells.notna().to_numpy()
        if column.words or there.sum() < len(y) / 2:
            continue
        if _determines(column, cells[there], y[there], schema):
            found.append(column.name)
    return found


def _giveaways(names: list[str], schema: TableSchema) -> list[str]:
    found = []
    for name in names:
        found.append(
            f"{name} by itself determines {schema.target}: if it is only known afterwards, "
            f"leave it out ({option('features.drop', [name])})"
        )
    return found


def _named(names: list[str], schema: TableSchema) -> str:
    if not names:
        return ""
    return f"; by itself determines {schema.target}: {', '.join(names[:4])} (known beforehand?)"


def _determines(column: Column, cells: pd.Series[Any], y: np.ndarray, schema: TableSchema) -> bool:
    import pandas as pd

    seen = cells.nunique()
    if column.role == "category" or column.boolean:
        # With fewer than ten rows a category, one class each may be chance.
        if schema.classes is None or not 2 <= seen <= len(cells) / 10:
            return False
        pairs = pd.DataFrame({"cell": cells.astype(str).to_numpy(), "y": y})
        return len(pairs.drop_duplicates()) == seen
    if column.role != "numeric" or seen < 2:
        return False
    return _orders(cells, y, len(schema.classes or ()))


def _orders(cells: pd.Series[Any], y: np.ndarray, classes: int) -> bool:
    """Whether a quantity tells the target by its order only.

    Of two classes: an area under the ROC curve of .999 or more, or as little. Of more: each class
    has an interval of its own. Of a regression: a rank correlation of .9999 or more.
    """
    from scipy.stats import rankdata

    values = cells.to_numpy(np.float64)
    seen = np.unique(y)
    if len(seen) < 2:
        return False
    if not classes:
        # Spearman's correlation is Pearson's of the ranks.
        correlation = np.corrcoef(rankdata(values), rankdata(y))[0, 1]
        return bool(abs(correlation) >= ALMOST_EQUAL)
    if classes == 2:
        # The area under the curve is the U statistic over the number of pairs (Hanley, McNeil 1982).
        positive = y == seen[1]
        hits, others = positive.sum(), (~positive).sum()
        area = (rankdata(values)[positive].sum() - hits * (hits + 1) / 2) / (hits * others)
        return bool(max(area, 1 - area) >= ALMOST_ALL)
    spans = []
    for code in seen:
        own = values[y == code]
        spans.append((own.min(), own.max()))
    spans.sort()
    return all(lower[1] < upper[0] for lower, upper in itertools.pairwise(spans))
