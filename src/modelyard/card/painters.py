"""One function a kind of plot: data to a matplotlib figure. Call inside `canvas.style()`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.card.canvas import MUTED, colour, dashes, new_figure
from modelyard.card.text import clean, cut
from modelyard.judging.evaluation import Plot, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEIGHT = 225
MOST_POINTS = 1_000
"""Scatter points drawn of a series, evenly chosen."""
MOST_BARS = 30
MOST_CELLS = 40
"""Rows or columns of a heatmap; larger ones are averaged in blocks."""
MOST_BINS = 60
WRITTEN = 0.55
"""Strongest shade of a cell with a number in it: the ink stays readable in light and dark."""

Floats = np.ndarray[Any, np.dtype[np.float64]]


def _axes(plot: Plot, height: float = HEIGHT) -> tuple[Figure, Axes]:
    figure = new_figure(height)
    axes = figure.subplots()
    axes.set_xlabel(cut(clean(plot.x_label)))
    axes.set_ylabel(cut(clean(plot.y_label), 40))
    return figure, axes


def line(plot: Plot, mark: float | None = None) -> tuple[Figure, list[str]]:
    """Lines over numbers or names; `mark` draws a vertical line."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = _axes(plot)
    axes.grid(axis="y")
    names = _categories(plot)
    for number, series in enumerate(plot.series):
        x = np.arange(len(series.x), dtype=float) if names else _numbers(series.x)
        if series.high:
            # Along the lower edge and back along the upper one.
            edge = np.concatenate([_numbers(series.y), _numbers(series.high)[::-1]])
            around = np.concatenate([x, x[::-1]])
            axes.fill(around, edge, color=colour(number), alpha=0.25, lw=0)
            continue
        # A line through one point is nothing.
        marker = "o" if len(series.y) == 1 else None
        pattern = dashes(number, len(plot.series))
        axes.plot(
            x,
            _numbers(series.y),
            color=colour(number),
            ls=(0, pattern) if pattern else "-",
            marker=marker,
            ms=4,
        )
    if names:
        _name_ticks(axes, names)
    if mark is not None:
        axes.axvline(mark, color=MUTED, lw=1, ls=(0, (2, 2)))
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    if plot.diagonal:
        _diagonal(axes, plot)
    return figure, []


def scatter(plot: Plot) -> tuple[Figure, list[str]]:
    """Points; a large cloud is thinned out evenly. Points over one name stand above each other."""
    figure, axes = _axes(plot)
    axes.grid()
    notes: list[str] = []
    places: dict[str, int] = {}
    for series in plot.series:
        for name in series.x:
            if isinstance(name, str):
                places.setdefault(clean(name), len(places))
    for number, series in enumerate(plot.series):
        if places:
            x = np.array([places[clean(str(name))] for name in series.x], float)
        else:
            x = _numbers(series.x)
        y = _numbers(series.y)
        keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), MOST_POINTS)).astype(int))
        if len(keep) < len(x):
            notes.append(f"{len(keep):,} of {len(x):,} points of {clean(series.name)} are drawn.")
        axes.scatter(x[keep], y[keep], color=colour(number), alpha=0.45, s=14, lw=0)
    if places:
        _name_ticks(axes, list(places))
    if plot.diagonal:
        _diagonal(axes, plot)
    return figure, notes


def _diagonal(axes: Axes, plot: Plot) -> None:
    """y = x over the range that both axes share with the data, behind it."""
    parts = []
    for series in plot.series:
        parts += [_numbers(series.x), _numbers(series.y)]
    values = np.concatenate(parts)
    finite = values[np.isfinite(values)]
    if len(finite):
        ends = [finite.min(), finite.max()]
        axes.plot(ends, ends, color=MUTED, lw=1, ls=(0, (3, 3)), zorder=1)


def bar(plot: Plot) -> tuple[Figure, list[str]]:
    """Bars side by side, lying where the names are long or many."""
    names = _categories(plot)
    if not names:
        return _number_bars(plot), []
    notes = []
    if len(names) > MOST_BARS:
        notes.append(f"The first {MOST_BARS} of {len(names):,} are drawn.")
    names = names[:MOST_BARS]
    if len(names) > 8 or sum(map(len, names)) > 48:
        return _lying_bars(plot, names), notes
    figure, axes = _axes(plot)
    axes.grid(axis="y")
    width = 0.74 / len(plot.series)
    for number, series in enumerate(plot.series):
        places = np.arange(len(series.y)) + _offset(number, len(plot.series)) * width
        axes.bar(places, _numbers(series.y), width * 0.94, color=colour(number))
    _name_ticks(axes, names)
    return figure, notes


def _offset(number: int, of: int) -> float:
    """How many widths a bar lies to the right of the middle of its group."""
    return number - (of - 1) / 2


def _lying_bars(plot: Plot, names: list[str]) -> Figure:
    """Bars from left to right, first on top: long or many names stay readable."""
    count = len(plot.series)
    figure, axes = _axes(plot, height=64 + len(names) * (14 + 4 * count))
    axes.set_xlabel(cut(clean(plot.y_label)))
    axes.set_ylabel(cut(clean(plot.x_label), 40))
    axes.grid(axis="x")
    for number, series in enumerate(plot.series):
        lengths = _numbers(series.y)[: len(names)]
        places = np.arange(len(lengths)) + _offset(number, count) * 0.76 / count
        axes.barh(places, lengths, 0.7 / count, color=colour(number))
    axes.set_yticks(range(len(names)), [cut(name, 28) for name in names])
    # From the larger number up to the smaller one: the first name is on top.
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)
    return figure


def _number_bars(plot: Plot) -> Figure:
    figure, axes = _axes(plot)
    axes.grid(axis="y")
    places = np.unique(np.concatenate([_numbers(series.x) for series in plot.series]))
    # As wide as the nearest two places allow.
    gap = float(np.diff(places).min()) if len(places) > 1 else 1.0
    width = 0.86 * gap / len(plot.series)
    for number, series in enumerate(plot.series):
        shift = _offset(number, len(plot.series)) * width
        axes.bar(_numbers(series.x) + shift, _numbers(series.y), width, color=colour(number))
    return figure


def histogram(plot: Plot) -> tuple[Figure, list[str]]:
    """Areas over bins that all series share."""
    if names := _categories(plot):
        assert all(series.y for series in plot.series), (
            f"plot {plot.title!r}: named bins need counts; seen {names[:3]}"
        )
        return bar(plot)
    figure, axes = _axes(plot)
    axes.grid(axis="y")
    everything = np.concatenate([_finite(series.x) for series in plot.series])
    # The square root of the count, as spreadsheets choose: a bin then holds as many as there are
    # bins.
    bins = min(MOST_BINS, max(10, math.isqrt(len(everything))))
    shared = np.histogram_bin_edges(everything, bins=bins)
    for number, series in enumerate(plot.series):
        heights, edges = _bins(series, shared)
        axes.stairs(heights, edges, fill=True, color=colour(number), alpha=0.3, lw=0)
        axes.stairs(heights, edges, color=colour(number), lw=1.3)
    axes.set_ylim(bottom=0)
    return figure, []


def _bins(series: Series, shared: Floats) -> tuple[Floats, Floats]:
    """Heights and edges of a series: only raw values in x, or edges (one more than y), or the
    bins' centres."""
    x, y = _numbers(series.x), _numbers(series.y)
    if not len(y):
        heights, edges = np.histogram(_finite(series.x), bins=shared)
        return heights.astype(float), edges
    if len(x) == len(y) + 1:
        return y, x
    # Edges lie midway between centres, the outer ones as far out as the next ones in.
    middles = (x[1:] + x[:-1]) / 2
    half = np.diff(x) / 2 if len(x) > 1 else np.array([0.5])
    return y, np.concatenate([[x[0] - half[0]], middles, [x[-1] + half[-1]]])


def heatmap(plot: Plot) -> tuple[Figure, list[str]]:
    """Cells coloured by value: one hue above zero, another below."""
    from matplotlib.patches import Rectangle

    matrix, notes = _blocks(np.array(plot.matrix, dtype=float))
    whole = not notes
    rows, columns = matrix.shape
    height = HEIGHT / 1.6
    if rows > 3:
        height = min(380.0, 60 + 300 * rows / max(columns, 1))
    figure, axes = _axes(plot, height)
    is_table = bool(plot.columns) and columns <= 10 and rows <= 20
    written = matrix.size <= 36 or is_table
    # The strongest shade is of the value that is farthest from 0; of zeros only there is none.
    farthest = float(np.nanmax(np.abs(matrix), initial=0.0, where=np.isfinite(matrix)))
    bound = farthest or 1.0
    for (row, column), value in np.ndenumerate(matrix):
        strength = round(abs(value) / bound, 2) if math.isfinite(value) else 0.0
        if strength:
            shade = colour(0 if value > 0 else 1)
            alpha = strength * WRITTEN if written else strength
            axes.add_artist(Rectangle((column, row), 0.96, 0.96, color=shade, alpha=alpha, lw=0))
        if written and math.isfinite(value):
            axes.text(column + 0.48, row + 0.5, _short(value), ha="center", va="center", fontsize=9)
    axes.set_xlim(0, columns)
    axes.set_ylim(rows, 0)
    _cell_ticks(axes, plot, whole)
    return figure, notes


def _cell_ticks(axes: Axes, plot: Plot, whole: bool) -> None:
    rows = [cut(clean(name), 18) for name in plot.rows]
    columns = [cut(clean(name), 18) for name in plot.columns]
    turned = sum(map(len, columns)) > 56
    if not whole:  # a block has no name of its own
        rows, columns = [], []
    axes.set_yticks(np.arange(len(rows)) + 0.48, rows)
    axes.set_xticks(np.arange(len(columns)) + 0.48, columns)
    if turned:
        axes.tick_params(axis="x", labelrotation=90)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _blocks(matrix: Floats) -> tuple[Floats, list[str]]:
    """The matrix, or the means of its blocks where it has more cells than can be seen."""
    if max(matrix.shape) <= MOST_CELLS:
        return matrix, []
    for axis in (0, 1):
        cells = matrix.shape[axis]
        starts = np.linspace(0, cells, min(cells, MOST_CELLS), endpoint=False).astype(int)
        sizes = np.diff([*starts, cells])
        # Along the same axis as the sums that they divide.
        sizes = np.expand_dims(sizes, 1 - axis)
        matrix = np.add.reduceat(matrix, starts, axis=axis) / sizes
    return matrix, ["Cells are means of blocks."]


def _short(value: float) -> str:
    if float(value).is_integer():
        if abs(value) < 1e5:
            return f"{value:,.0f}"
        return f"{value:.1e}"
    if abs(value) < 100:
        return f"{value:.2f}"
    return f"{value:,.0f}"


def _categories(plot: Plot) -> list[str]:
    """Names on the x axis; empty where x is numbers. The first series that has names gives them."""
    for series in plot.series:
        if series.x and isinstance(series.x[0], str):
            return [clean(str(name)) for name in series.x]
    return []


def _name_ticks(axes: Axes, names: list[str]) -> None:
    """Names under the x axis; only every second, third, … where all would overlap."""
    short = [cut(name, 14) for name in names]
    # About 60 characters fit under a figure, two of space between names.
    characters = sum(map(len, short)) + 2 * len(short)
    step = max(1, math.ceil(characters / 60))
    axes.set_xticks(range(0, len(short), step), short[::step])


def _numbers(values: Sequence[Any]) -> Floats:
    """As floats; what is not finite becomes a gap."""
    numbers = np.array(values, dtype=float)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _finite(values: Sequence[Any]) -> Floats:
    numbers = _numbers(values)
    return numbers[np.isfinite(numbers)]


PAINTERS = {
    "line": line,
    "scatter": scatter,
    "bar": bar,
    "histogram": histogram,
    "heatmap": heatmap,
}
"""By kind of plot: the figure, and sentences on what was left out of it."""
