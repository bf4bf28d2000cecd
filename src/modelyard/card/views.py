"""What the template shows, computed: rows of tables with their texts ready."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
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
    numeric = _is_number(value) or _WRITTEN_NUMBER.fullmatch(shown) is not None
    return replace(_cut(shown), numeric=numeric)


def _name(name: str) -> Cell:
    return _cut(clean(str(name)))


def _cut(shown: str) -> Cell:
    short = cut(shown)
    return Cell(short, shown if short != shown else "")


def metrics(evaluation: Evaluation, gate: str) -> list[MetricRow]:
    """All metrics, the main one first."""
    names = sorted(evaluation.metrics, key=lambda name: name != evaluation.main)
    return [_metric(evaluation, name, gate) for name in names]


def _metric(evaluation: Evaluation, name: str, gate: str) -> MetricRow:
    value, baseline = evaluation.metrics[name], evaluation.baseline.get(name)
    difference = better = None
    if baseline is not None:
        difference = value - baseline
        if difference:
            better = evaluation.better(name, value, baseline)
    return MetricRow(
        name=clean(name),
        value=number(value),
        baseline=number(baseline),
        direction=evaluation.directions[name],
        difference=signed(difference),
        better=better,
        main=name == evaluation.main,
        gate=name == gate,
    )


def confusion(counts: Confusion) -> ConfusionView:
    """The whole matrix for a few classes, the most frequent confusions for many."""
    labels = [Cell(cut(clean(label), 24), clean(label)) for label in counts.labels]
    totals = [sum(row) for row in counts.matrix]
    worst = _worst(counts, totals) if len(labels) > 2 else None
    if len(labels) > MOST_LABELS:
        return ConfusionView(labels, [], [], worst)
    cells = []
    for actual, row in enumerate(counts.matrix):
        shares = []
        for predicted, count in enumerate(row):
            shares.append(_share(count, totals[actual], actual == predicted))
        cells.append(shares)
    return ConfusionView(labels, cells, [f"{total:,}" for total in totals], worst)


def _share(count: int, total: int, diagonal: bool) -> tuple[str, str, float, bool]:
    share = count / total if total else 0.0
    return f"{count:,}", percent(share) if count else "", round(share, 3), diagonal


def _worst(counts: Confusion, totals: Sequence[int]) -> Table | None:
    """Off-diagonal cells by count."""
    found = []
    for actual, row in enumerate(counts.matrix):
        for predicted, count in enumerate(row):
            if count and actual != predicted:
                found.append((count, actual, predicted))
    found.sort(key=lambda entry: -entry[0])
    # Next to a matrix that is written out, half as many will do.
    most = MOST_CONFUSIONS if len(totals) > MOST_LABELS else MOST_CONFUSIONS // 2
    rows = []
    for count, actual, predicted in found[:most]:
        share = percent(count / totals[actual])
        names = [_name(counts.labels[actual]), _name(counts.labels[predicted])]
        rows.append([*names, Cell(f"{count:,}", numeric=True), Cell(share, numeric=True)])
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
    cells = []
    for row in rows[:MOST_ROWS]:
        cells.append([cell(value) for value in row])
    # A family's rows may be of unequal length: a column ends with the shortest.
    width = min(map(len, rows), default=0)
    columns = []
    for place, name in enumerate(raw.get("columns", ())):
        numeric = place < width and all(_aligns_right(row[place]) for row in cells)
        columns.append(Cell(cut(plain(name), 40), numeric=numeric))
    if bars:
        for place in range(min(width, len(columns))):
            if all(_is_number(row[place]) for row in rows):
                columns[place] = replace(columns[place], bar=0.0)
                _draw_bars(cells, rows, place)
                break
    note = ""
    if len(rows) > MOST_ROWS:
        note = f"{MOST_ROWS:,} of {len(rows):,} rows."
    return Table(clean(str(raw.get("title", ""))), columns, cells, note)


def _aligns_right(shown: Cell) -> bool:
    """Whether a cell is a number, or nothing among numbers."""
    return shown.numeric or shown.text in ("", text.NOTHING)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _draw_bars(cells: list[list[Cell]], rows: Sequence[Sequence[Any]], column: int) -> None:
    values = [float(row[column]) for row in rows[: len(cells)]]
    finite = [value for value in values if math.isfinite(value)]
    # Of zeros only the bars have no length.
    most = max(map(abs, finite), default=0.0) or 1.0
    both = min(values, default=0.0) < 0
    for row, value in zip(cells, values, strict=True):
        share = round(value / most, 3) if math.isfinite(value) else 0.0
        row[column] = Cell(row[column].text, numeric=True, bar=share, both=both)


def counted(title: str, counts: Mapping[str, float], column: str) -> Table:
    """Counts by name with their share of the whole; the longest bar is the largest count."""
    total = sum(counts.values()) or 1
    most = max(counts.values(), default=1) or 1
    columns = [Cell(column), Cell("rows", numeric=True), Cell("share", numeric=True, bar=0.0)]
    rows = []
    for name, count in counts.items():
        share = Cell(percent(count / total), numeric=True, bar=count / most)
        rows.append([_name(name), Cell(number(count), numeric=True), share])
    return Table(title, columns, rows)


def classes(raw: Any) -> Table | None:
    """Class counts: `{class: count}`, or `{class or split: {split or class: count}}`."""
    if not isinstance(raw, Mapping) or not raw:
        return None
    if all(isinstance(inner, Mapping) for inner in raw.values()):
        # A split may lack a class, so the columns are those of all rows.
        names = list(dict.fromkeys(chain.from_iterable(raw.values())))
        rows = []
        for name, inner in raw.items():
            rows.append([name, *map(inner.get, names)])
        return table({"title": "Classes", "columns": ["", *names], "rows": rows})
    if all(isinstance(count, int | float) for count in raw.values()):
        return counted("Classes", raw, "class")
    return None


def facts(summary: Mapping[str, Any], known: Iterable[str]) -> list[tuple[str, Cell]]:
    """The single values of a summary that no section of its own shows."""
    skip = set(known)
    found = []
    for name, value in summary.items():
        is_single = isinstance(value, str | int | float | bool) and value != ""
        if is_single and name not in skip:
            found.append((words(name), cell(value)))
    return found
