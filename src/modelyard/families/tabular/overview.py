"""What the card tells about a table."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.families.tabular.divide import Rows
from modelyard.families.tabular.schema import MOST_CHOICES, Column, TableSchema

if TYPE_CHECKING:
    import pandas as pd

ALMOST_ALL, ALMOST_EQUAL = 0.999, 0.9999


def with_ranges(schema: TableSchema, train: pd.DataFrame) -> TableSchema:
    """The schema with examples, ranges and choices as the training rows show them."""
    columns = [c if c.role == "drop" else _with_range(c, train[c.name]) for c in schema.columns]
    return schema.model_copy(update={"columns": columns})


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
    classes = {name: int((y == index).sum()) for index, name in enumerate(schema.classes or [])}
    kind = f"{len(classes)} classes" if classes else "regression"
    given = _determining(frame, schema, y)
    tables = [_columns_table(frame, schema), _splits_table(schema, y, rows)]
    if schema.dropped:
        tables.append(
            {
                "title": "Columns left out",
                "columns": ["column", "why"],
                "rows": [[name, why] for name, why in schema.dropped.items()],
            }
        )
    return {
        "rows": {split: len(part) for split, part in rows.items()},
        "dropped": dropped,
        "left_out": list(schema.dropped),
        "columns": len(schema.inputs),
        "outputs": outputs,
        "target": schema.target,
        "positive": schema.classes[1] if schema.classes and len(schema.classes) == 2 else "",
        "task": schema.task,
        "classes": classes,
        "tables": tables,
        "headline": f"{len(frame):,} rows × {len(schema.inputs)} columns, {kind}"
        + _named(given, schema),
        "notes": notes,
        "warnings": [*_duplicates(frame, rows), *_giveaways(given, schema)],
    }


def _with_range(column: Column, cells: pd.Series[Any]) -> Column:
    there = _measured(column, cells).dropna()
    update: dict[str, Any] = {
        "examples": [_plain(value) for value in there.iloc[:200].unique()[:3]]
    }
    if column.role == "numeric" and not column.boolean and len(there):
        update |= {"minimum": float(there.min()), "maximum": float(there.max())}
    if column.role == "category" and not (column.transform == "ordinal" and column.choices):
        update["choices"] = [str(name) for name in there.value_counts().index[:MOST_CHOICES]]
    return column.model_copy(update=update)


def _measured(column: Column, cells: pd.Series[Any]) -> pd.Series[Any]:
    """The cells, of numbers and words the numbers."""
    return cells[~cells.isin(column.words)].astype(float) if column.words else cells


def _plain(value: Any) -> float | bool | str:
    """A cell as JSON holds it, cut to 80 characters."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, float, np.number)):
        return float(value)
    if isinstance(value, np.datetime64) or hasattr(value, "isoformat"):
        return str(np.datetime64(value, "s"))
    return str(value)[:80]


def _columns_table(frame: pd.DataFrame, schema: TableSchema) -> dict[str, Any]:
    rows = []
    for column in schema.inputs:
        cells = frame[column.name]
        role = "boolean" if column.boolean else str(column.role)
        if column.words:
            role = "numeric or a word"
        example = str(column.examples[0]) if column.examples else ""
        missing = f"{100 * cells.isna().mean():.1f}"
        rows.append(
            [column.name, role, column.transform or "", missing, int(cells.nunique()), example]
        )
    return {
        "title": "Columns",
        "columns": ["column", "role", "transform", "missing %", "distinct", "example"],
        "rows": rows,
    }


def _splits_table(schema: TableSchema, y: np.ndarray, rows: Rows) -> dict[str, Any]:
    body: list[list[Any]] = []
    for split, part in rows.items():
        own = y[part]
        figures = [f"{value:.4g}" for value in (own.min(), own.mean(), own.max())]
        if schema.classes:
            figures = [
                f"{100 * (own == index).mean():.1f} %" for index in range(len(schema.classes))
            ]
        body.append([split, len(part), *figures])
    names = schema.classes or [f"{what} {schema.target}" for what in ("least", "mean", "largest")]
    return {"title": "Splits", "columns": ["split", "rows", *names], "rows": body}


def _duplicates(frame: pd.DataFrame, rows: Rows) -> list[str]:
    """Says how many validation and test rows are also in training: they flatter the figures."""
    import pandas as pd

    hashes = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    known = hashes[rows["train"]]
    found = {
        split: int(np.isin(hashes[rows[split]], known).sum()) for split in ("validation", "test")
    }
    if not any(found.values()):
        return []
    each = " and ".join(f"{count:,} {split}" for split, count in found.items() if count)
    said = f"{each} rows are exact copies of training rows and flatter the figures"
    if sum(found.values()) == 1:
        said = f"{each} row is an exact copy of a training row and flatters the figures"
    return [f"{said}. If they are the same event, remove the copies from the data"]


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
    return [
        f"{name} by itself determines {schema.target}: if it is only known afterwards, "
        f"leave it out (--set features.drop=[{name}])"
        for name in names
    ]


def _named(names: list[str], schema: TableSchema) -> str:
    if not names:
        return ""
    return f"; by itself determines {schema.target}: {', '.join(names[:4])} (known beforehand?)"


def _determines(column: Column, cells: pd.Series[Any], y: np.ndarray, schema: TableSchema) -> bool:
    import pandas as pd

    if column.role == "category" or column.boolean:
        seen = cells.nunique()
        pairs = pd.DataFrame({"cell": cells.astype(str).to_numpy(), "y": y})
        return bool(
            schema.classes and 2 <= seen <= len(cells) / 10 and len(pairs.drop_duplicates()) == seen
        )
    return (
        column.role == "numeric"
        and cells.nunique() > 1
        and _orders(cells, y, len(schema.classes or ()))
    )


def _orders(cells: pd.Series[Any], y: np.ndarray, classes: int) -> bool:
    """Whether a quantity tells the target by its order only.

    Of two classes: an area under the ROC curve of .999 or more, or as little. Of more: each class
    has an interval of its own. Of a regression: a rank correlation of .9999 or more.
    """
    from scipy.stats import rankdata

    values = cells.to_numpy(np.float64)
    if not classes:
        # Spearman's correlation is Pearson's of the ranks.
        correlation = np.corrcoef(rankdata(values), rankdata(y))[0, 1]
        return bool(abs(correlation) >= ALMOST_EQUAL)
    seen = np.unique(y)
    if len(seen) < 2:
        return False
    if classes == 2:
        # The area under the curve is the U statistic over the number of pairs (Hanley, McNeil 1982).
        positive = y == seen[1]
        hits, others = positive.sum(), (~positive).sum()
        area = (rankdata(values)[positive].sum() - hits * (hits + 1) / 2) / (hits * others)
        return bool(max(area, 1 - area) >= ALMOST_ALL)
    spans = sorted((values[y == code].min(), values[y == code].max()) for code in seen)
    return all(high < low for (_, high), (low, _) in itertools.pairwise(spans))
