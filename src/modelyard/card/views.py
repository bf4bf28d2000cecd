"""What the template shows, computed: rows of tables with their texts ready."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from modelyard.card import text
from modelyard.card.text import clean, cut, number, percent, plain, signed, words
from modelyard.judging.evaluation import Confusion, Evaluation

MOST_ROWS = 5_000
"""Of a table, in a box that scrolls; a page is no place for more."""
MOST_LABELS = 12
"""Classes of a confusion matrix that is written out; larger ones show the most frequent
confusions."""
MOST_CONFUSIONS = 12

_WRITTEN_NUMBER = re.compile(r"[-+−]?\d[\d,.]*(e[-+]?\d+)?( ?[%×]| m?s)?")


@dataclass(frozen=True)
class Cell:
    """One cell. `full` is the whole text where `text` is cut; `bar` a share in [-1, 1] drawn
    next to the number; `both`: from a zero in the middle."""

    text: str
    full: str = ""
    numeric: bool = False
    bar: float | None = None
    both: bool = False


@dataclass(frozen=True)
class Table:
    """A table of the page."""

    title: str
    columns: list[Cell]
    rows: list[list[Cell]]
    note: str = ""


@dataclass(frozen=True)
class MetricRow:
    """A metric next to its baseline."""

    name: str
    value: str
    baseline: str
    direction: str
    difference: str
    better: bool | None
    main: bool
    gate: bool


@dataclass(frozen=True)
class ConfusionView:
    """Counts and row shares; `cells[actual][predicted]` is (count, per cent, share, on the
    diagonal)."""

    labels: list[Cell]
    cells: list[list[tuple[str, str, float, bool]]]
    totals: list[str]
    worst: Table | None = None


def cell(value: Any) -> Cell:
    """A JSON value as a cell, cut where it is long."""
    shown = plain(value)
    short = cut(shown)
    numeric = _is_number(value)
    return Cell(
        short, shown if short != shown else "", numeric or bool(_WRITTEN_NUMBER.fullmatch(shown))
    )


def _name(name: str) -> Cell:
    shown = clean(str(name))
    short = cut(shown)
    return Cell(short, shown if short != shown else "")


def metrics(evaluation: Evaluation, gate: str) -> list[MetricRow]:
    """All metrics, the main one first."""
    names = sorted(evaluation.metrics, key=lambda name: name != evaluation.main)
    return [_metric(evaluation, name, gate) for name in names]


def _metric(evaluation: Evaluation, name: str, gate: str) -> MetricRow:
    value, baseline = evaluation.metrics[name], evaluation.baseline.get(name)
    difference = None if baseline is None else value - baseline
    if baseline is None or value == baseline:
        better = None
    else:
        better = evaluation.better(name, value, baseline)
    return MetricRow(
        clean(name),
        number(value),
        number(baseline),
        evaluation.directions[name],
        signed(difference),
        better,
        name == evaluation.main,
        name == gate,
    )


def confusion(counts: Confusion) -> ConfusionView:
    """The whole matrix for a few classes, the most frequent confusions for many."""
    labels = [Cell(cut(clean(label), 24), clean(label)) for label in counts.labels]
    totals = [sum(row) for row in counts.matrix]
    worst = _worst(counts, totals) if len(labels) > 2 else None
    if len(labels) > MOST_LABELS:
        return ConfusionView(labels, [], [], worst)
    cells = [
        [_share(count, total, i == j) for j, count in enumerate(row)]
        for i, (row, total) in enumerate(zip(counts.matrix, totals, strict=True))
    ]
    return ConfusionView(labels, cells, [f"{total:,}" for total in totals], worst)


def _share(count: int, total: int, diagonal: bool) -> tuple[str, str, float, bool]:
    share = count / total if total else 0.0
    return f"{count:,}", percent(share) if count else "", round(share, 3), diagonal


def _worst(counts: Confusion, totals: Sequence[int]) -> Table | None:
    """Off-diagonal cells by count."""
    found = [
        (count, counts.labels[i], counts.labels[j], count / totals[i])
        for i, row in enumerate(counts.matrix)
        for j, count in enumerate(row)
        if i != j and count
    ]
    found.sort(key=lambda entry: -entry[0])
    if len(totals) > MOST_LABELS:
        most = MOST_CONFUSIONS
    else:
        most = MOST_CONFUSIONS // 2
    rows = [
        [
            _name(actual),
            _name(predicted),
            Cell(f"{count:,}", numeric=True),
            Cell(percent(share), numeric=True),
        ]
        for count, actual, predicted, share in found[:most]
    ]
    columns = [
        Cell("actual"),
        Cell("predicted as"),
        Cell("count", numeric=True),
        Cell("of actual", numeric=True),
    ]
    if rows:
        return Table("Most frequent confusions", columns, rows)
    return None


def table(raw: Mapping[str, Any], *, bars: bool = False) -> Table:
    """A family's own `{"title", "columns", "rows"}`; `bars` draws its first numeric column."""
    rows = [list(row) for row in raw.get("rows", ())]
    cells = [[cell(value) for value in row] for row in rows[:MOST_ROWS]]
    numeric = [
        all(row[i].numeric or row[i].text in ("", text.NOTHING) for row in cells)
        for i in range(_width(cells))
    ]
    columns = [
        Cell(cut(plain(name), 40), numeric=i < len(numeric) and numeric[i])
        for i, name in enumerate(raw.get("columns", ()))
    ]
    numbers: list[int] = []
    for place in range(len(columns)):
        if rows and all(_is_number(row[place]) for row in rows):
            numbers.append(place)
    if bars and numbers:
        drawn = numbers[0]
        columns[drawn] = replace(columns[drawn], bar=0.0)
        _draw_bars(cells, rows, drawn)
    if len(rows) > MOST_ROWS:
        note = f"{MOST_ROWS:,} of {len(rows):,} rows."
    else:
        note = ""
    return Table(clean(str(raw.get("title", ""))), columns, cells, note)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _width(cells: Sequence[Sequence[Cell]]) -> int:
    return min(map(len, cells), default=0)


def _draw_bars(cells: list[list[Cell]], rows: Sequence[Sequence[Any]], column: int) -> None:
    values = [float(row[column]) for row in rows[: len(cells)]]
    most = max((abs(value) for value in values if math.isfinite(value)), default=0.0) or 1.0
    both = min(values, default=0.0) < 0
    for row, value in zip(cells, values, strict=True):
        if math.isfinite(value):
            share = round(value / most, 3)
        else:
            share = 0.0
        row[column] = Cell(row[column].text, numeric=True, bar=share, both=both)


def counted(title: str, counts: Mapping[str, float], column: str) -> Table:
    """Counts by name with their share of the whole; the longest bar is the largest count."""
    total = sum(counts.values()) or 1
    most = max(counts.values(), default=1) or 1
    rows = [
        [
            _name(name),
            Cell(number(count), numeric=True),
            Cell(percent(count / total), numeric=True, bar=count / most),
        ]
        for name, count in counts.items()
    ]
    return Table(
        title,
        [Cell(column), Cell("rows", numeric=True), Cell("share", numeric=True, bar=0.0)],
        rows,
    )


def classes(raw: Any) -> Table | None:
    """Class counts: `{class: count}`, or `{class or split: {split or class: count}}`."""
    if isinstance(raw, Mapping) and raw:
        if all(isinstance(inner, Mapping) for inner in raw.values()):
            inner_names = list(dict.fromkeys(name for inner in raw.values() for name in inner))
            rows = [
                [name, *(inner.get(column) for column in inner_names)]
                for name, inner in raw.items()
            ]
            return table({"title": "Classes", "columns": ["", *inner_names], "rows": rows})
        if all(isinstance(count, int | float) for count in raw.values()):
            return counted("Classes", raw, "class")
    return None


def facts(summary: Mapping[str, Any], known: Iterable[str]) -> list[tuple[str, Cell]]:
    """The single values of a summary that no section of its own shows."""
    skip = set(known)
    return [
        (words(name), cell(value))
        for name, value in summary.items()
        if name not in skip and isinstance(value, str | int | float | bool) and value != ""
    ]
