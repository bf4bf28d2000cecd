"""What sets each cluster apart from the rest, and what its rows are like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.kit.columns.encode import Encoder
from modelyard.kit.columns.schema import Column, ColumnSchema

if TYPE_CHECKING:
    import pandas as pd

APART = 0.5
"""Deviations of a column by which a cluster's mean must differ from that of all rows to be named."""
NAMED, SHOWN_COLUMNS, SHOWN_CLUSTERS = 2, 25, 8


def effects(x: np.ndarray, labels: np.ndarray, clusters: int) -> np.ndarray:
    """By how many deviations the mean of an input in a cluster differs from that of all rows,
    float64 (clusters, inputs)."""
    x = x.astype(np.float64)
    spread = x.std(axis=0)
    spread[spread == 0] = 1.0
    found = np.zeros((clusters, x.shape[1]))
    for cluster in range(clusters):
        inside = labels == cluster
        if inside.any():
            found[cluster] = (x[inside].mean(axis=0) - x.mean(axis=0)) / spread
    return found


def words_of(encoder: Encoder, schema: ColumnSchema) -> np.ndarray:
    """Which inputs say whether a cell holds a certain word, or nothing; bool (inputs,)."""
    found = np.zeros(len(encoder.names), bool)
    for column in schema.inputs:
        places = encoder.groups[column.name]
        if column.role == "numeric":
            places = places[1:]
        elif column.role == "time":
            if encoder.parts[column.name].indicator:
                places = places[-1:]
            else:
                places = []
        found[places] = True
    return found


def names_of(found: np.ndarray, encoder: Encoder, schema: ColumnSchema) -> list[str]:
    """A name for each cluster: the columns that set it apart most, such as `high age, low income`;
    one more where two would be called the same."""
    described = [_traits(row, encoder, schema) for row in found]
    for count in range(NAMED, NAMED + 3):
        names = [", ".join(traits[:count]) or "like the average row" for traits in described]
        if len(set(names)) == len(names):
            break
    return names


def _traits(row: np.ndarray, encoder: Encoder, schema: ColumnSchema) -> list[str]:
    """In words, the strongest first, at most one a column."""
    ranked: list[tuple[float, str]] = []
    for column in schema.inputs:
        places = encoder.groups[column.name]
        strong = []
        for place in places:
            words = _words(column, encoder.names[place], row[place])
            if words and abs(row[place]) >= APART:
                strong.append((abs(row[place]), words))
        if strong:
            ranked.append(max(strong))
    ranked.sort(key=lambda trait: -trait[0])
    return [words for _, words in ranked]


def _words(column: Column, name: str, effect: float) -> str:
    """What an input that is higher or lower says of a column; empty where it says little."""
    higher = effect > 0
    if name == column.name:
        if column.boolean:
            return f"{name}={'true' if higher else 'false'}"
        return f"{'high' if higher else 'low'} {name}"
    if name.endswith(": age in days"):
        return f"{'early' if higher else 'late'} {column.name}"
    if name.endswith(": rank"):
        return f"{'high' if higher else 'low'} {column.name}"
    if column.role == "time" and not name.endswith(" is missing"):
        # A weekday, or the sine of one, says little by itself.
        return ""
    if higher:
        return name
    return ""


def profile_table(
    frame: pd.DataFrame,
    schema: ColumnSchema,
    encoder: Encoder,
    labels: np.ndarray,
    found: np.ndarray,
) -> dict[str, Any]:
    """Mean or most frequent value of each column, in all rows and in the largest clusters; columns
    that differ most between clusters first."""
    clusters = range(min(len(found), SHOWN_CLUSTERS))
    strength = {}
    for column in schema.inputs:
        apart = np.abs(found[:, encoder.groups[column.name]])
        strength[column.name] = apart.max(initial=0.0)
    ordered = sorted(schema.inputs, key=lambda column: -strength[column.name])
    rows = []
    for column in ordered[:SHOWN_COLUMNS]:
        places = encoder.groups[column.name]
        cells = [column.name, _typical(column, frame[column.name])]
        for cluster in clusters:
            said = _typical(column, frame[column.name][labels == cluster])
            apart = found[cluster, places]
            if len(apart):
                strongest = apart[np.abs(apart).argmax()]
            else:
                strongest = 0.0
            cells.append(f"{said} {_mark(column, float(strongest))}")
        rows.append(cells)
    names = [f"cluster {cluster}" for cluster in clusters]
    return {
        "title": "What the clusters are like: mean, or most frequent value and its share. ▲ ▼ ◆: apart by "
        f"{APART:g} deviations or more",
        "columns": ["column", "all rows", *names],
        "rows": rows,
    }


def _mark(column: Column, effect: float) -> str:
    if abs(effect) < APART:
        return "·"
    if column.role != "numeric" or column.boolean:
        return "◆"
    if effect > 0:
        return "▲"
    return "▼"


def _typical(column: Column, cells: pd.Series[Any]) -> str:
    """Of a column of words among numbers, that of the numbers."""
    if column.words:
        cells = cells[~cells.isin(column.words)].astype(float)
    there = cells.dropna()
    if not len(there):
        return "-"
    if column.role == "numeric" and not column.boolean:
        return f"{there.astype(float).mean():.4g}"
    if column.role == "time":
        return str(there.astype("datetime64[us]").mean())[:10]
    if column.role == "text":
        return f"{there.str.len().mean():.0f} characters"
    counts = there.value_counts()
    value = str(counts.index[0])[:30]
    if column.boolean:
        value = value.lower()
    return f"{value} ({100 * counts.iloc[0] / len(there):.0f} %)"
