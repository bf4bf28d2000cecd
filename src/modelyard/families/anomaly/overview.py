"""What the card tells about the series."""

from __future__ import annotations

from typing import Any

from modelyard.families.anomaly.parts import Part
from modelyard.families.anomaly.resample import RULE
from modelyard.families.anomaly.schema import Schema
from modelyard.families.anomaly.series import Series
from modelyard.kit.tables import remarks
from modelyard.kit.wording import count_of


def summarize(
    series: list[Series],
    schema: Schema,
    parts: dict[str, Part],
    lost: int,
    constant: list[str],
    read: list[str],
    short: dict[str, int],
    unread: list[str],
) -> dict[str, Any]:
    """Rows by split, what was left out and why, and the tables of splits, series and columns; JSON.

    Args:
        read: notes on how the files were read.
        short: rows by machine that has too few of them for a series.
        unread: columns that no file could be read with.
    """
    counts = {name: len(part.label) for name, part in parts.items()}
    dropped = {
        "with an empty cell": sum(one.empty for one in series),
        "repeating the row before": sum(one.repeated for one in series),
        "between the splits": sum(len(one.x) for one in series) - sum(counts.values()),
        "windows: across a gap": lost,
        "of machines with too few rows": sum(short.values()),
        "columns: constant over the training rows": len(constant),
    }
    if schema.time_column is None:
        apart = "Rows have no time column"
    else:
        column = f"by the column {schema.time_column!r} (dates: in seconds)"
        apart = f"Rows are {schema.step:g} apart {column}"
    rows = sum(counts.values())
    headline = f"{rows:,} rows × {count_of(len(schema.columns), 'column')}, {len(series)} series"
    if schema.time_column is None:
        headline += _untimed(series)
    if schema.most_fill is not None:
        filled, moments = sum(one.filled for one in series), sum(len(one.x) for one in series)
        headline += (
            f", resampled to a step of {schema.step:g} ({filled:,} of {moments:,} filled in)"
        )
    if schema.entity is not None:
        headline += f", one a machine by {schema.entity} (features.entity)"
    notes = [
        f"{apart}; {_division(series, schema)}.",
        "The validation split is two: calibration rows set the threshold and count as normal, the others compare.",
    ]
    if schema.most_fill is not None:
        rule = RULE.format(most=schema.most_fill)
        notes.append(
            f"Rows were resampled: {rule}. Longer times are gaps, which no window crosses."
        )
    if short:
        notes.append(f"Machines with too few rows for a series: {', '.join(short)}.")
    if constant:
        notes.append(f"Left out, constant over the training rows: {', '.join(constant)}.")
    headline += remarks(read)
    return {
        "rows": {
            "train": counts["train"],
            "validation": counts["calibration"] + counts["validation"],
            "test": counts["test"],
        },
        "dropped": {reason: count for reason, count in dropped.items() if count},
        "left_out": [*constant, *unread],
        "headline": headline,
        "labelled": "yes" if schema.labelled else "no",
        "tables": [_parts_table(parts), _series_table(series), _columns_table(schema)],
        "notes": [*notes, *read],
    }


def _division(series: list[Series], schema: Schema) -> str:
    """How rows came into their splits."""
    by_time = f"each series is split by time, with {schema.window} rows unused between the splits"
    drawn = [one.name for one in series if one.drawn]
    if not drawn:
        return by_time
    at_random = "the splits are drawn at random, each label in the same shares"
    if len(drawn) == len(series):
        return at_random
    return f"{by_time}; of {', '.join(drawn)} {at_random}"


def _untimed(series: list[Series]) -> str:
    """A clause on the order of rows without a time, with the setting for the other case."""
    if any(one.drawn for one in series):
        return "; no time: splits are drawn at random (if rows follow each other: --set features.split=time)"
    return "; no time: the later rows test (if rows do not follow each other: --set features.split=random)"


def _parts_table(parts: dict[str, Part]) -> dict[str, Any]:
    rows = []
    for name, part in parts.items():
        ill, unknown = int((part.label == 1).sum()), int((part.label < 0).sum())
        rows.append([name, len(part.label), ill, unknown])
    return {
        "title": "Splits",
        "columns": ["split", "rows", "labelled anomalies", "without a label"],
        "rows": rows,
    }


def _series_table(series: list[Series]) -> dict[str, Any]:
    rows = []
    for one in series:
        ill = int((one.label == 1).sum())
        rows.append([one.name, len(one.x), int(one.breaks.sum()), one.empty, ill])
    columns = ["series", "rows", "gaps", "rows with an empty cell", "labelled anomalies"]
    return {"title": "Series", "columns": columns, "rows": rows}


def _columns_table(schema: Schema) -> dict[str, Any]:
    rows = []
    for column in schema.columns:
        figures = (column.mean, column.spread, column.minimum, column.maximum)
        rows.append([column.name, *(f"{value:.4g}" for value in figures)])
    columns = ["column", "mean", "standard deviation", "least", "largest"]
    return {"title": "Columns, over the training rows", "columns": columns, "rows": rows}
