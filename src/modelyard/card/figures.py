"""Figures of the card: plots and learning curves as inline SVG, with legend and caption in HTML.

Call inside `canvas.style()`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from modelyard.card.canvas import SERIES, colour, dashes, new_figure, to_svg
from modelyard.card.painters import PAINTERS, line
from modelyard.card.text import clean
from modelyard.judging.evaluation import Evaluation, Plot, Roc, Series


@dataclass(frozen=True)
class Key:
    """One entry of a legend."""

    name: str
    colour: int
    dashes: str
    """As SVG's stroke-dasharray; empty for an area or a solid line."""
    line: bool


@dataclass(frozen=True)
class Drawn:
    """A finished figure."""

    title: str
    svg: Markup
    caption: str
    legend: list[Key]


def draw(plot: Plot, prefix: str) -> Drawn | None:
    """The plot as SVG with unique ids, or its pictures as HTML; None when it holds nothing to
    draw."""
    _check(plot)
    if plot.kind == "pictures":
        if plot.pictures:
            return _pictures(plot)
        return None
    if not _holds_something(plot):
        return None
    figure, notes = PAINTERS[plot.kind](plot)
    legend = _legend(plot) if len(plot.series) > 1 else []
    caption = " ".join(filter(None, [clean(plot.caption), *notes]))
    return Drawn(clean(plot.title), to_svg(figure, _label(plot), prefix), caption, legend)


def _holds_something(plot: Plot) -> bool:
    if plot.kind == "heatmap":
        return bool(plot.matrix and plot.matrix[0])
    return any(series.y or series.x for series in plot.series)


def _pictures(plot: Plot) -> Drawn:
    """Pictures with their captions, side by side."""
    tile = Markup('<li><img src="{}" alt="{}"><span>{}</span></li>')
    tiles = []
    for picture in plot.pictures:
        caption = clean(picture.caption)
        tiles.append(tile.format(picture.url, caption, caption))
    body = Markup('<ul class="pictures">{}</ul>').format(Markup("").join(tiles))
    return Drawn(clean(plot.title), body, clean(plot.caption), [])


def plots_of(evaluation: Evaluation) -> list[Plot]:
    """Its plots, and the receiver operating characteristic where none of them shows it."""
    titles = " ".join(plot.title.lower() for plot in evaluation.plots)
    if evaluation.roc is None or re.search(r"\broc\b|receiver operating", titles):
        return evaluation.plots
    return [_roc(evaluation.roc), *evaluation.plots]


def _roc(curve: Roc) -> Plot:
    """From corner to corner."""
    x = [0.0, *curve.false_positive_rate, 1.0]
    y = [0.0, *curve.true_positive_rate, 1.0]
    return Plot(
        kind="line",
        title="Receiver operating characteristic",
        x_label="False positive rate",
        diagonal=True,
        y_label="True positive rate",
        series=[Series(name="model", x=x, y=y)],
        caption="Diagonal: chance.",
    )


def step_of(training: Mapping[str, Any]) -> str:
    """What the learning curves count: epochs, or iterations of what knows no epochs."""
    if "best_epoch" in training or "epochs" in training:
        return "epoch"
    return "iteration"


def curves(
    name: str, splits: Mapping[str, Sequence[float]], best: int | None, unit: str, prefix: str
) -> Drawn | None:
    """One learning curve, counted in `unit`s from 1; `best` is the epoch whose weights were
    kept."""
    series = []
    for split, values in splits.items():
        epochs = [float(epoch) for epoch in range(1, len(values) + 1)]
        series.append(Series(name=split, x=epochs, y=_floats(values)))
    caption = f"Epoch {best:,} was kept." if best else ""
    plot = Plot(
        kind="line", title=f"Learning curve: {name}", x_label=unit, series=series, caption=caption
    )
    if not any(split.y for split in series):
        return None
    figure, _ = line(plot, best)
    return Drawn(clean(plot.title), to_svg(figure, _label(plot), prefix), caption, _legend(plot))


def _floats(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else float(value) for value in values]


def _check(plot: Plot) -> None:
    for series in plot.series:
        # Raw values without counts, or one edge more than there are bins.
        has_bins = not series.y or len(series.x) == len(series.y) + 1
        is_free = plot.kind == "histogram" and has_bins
        assert is_free or len(series.x) == len(series.y), (
            f"plot {plot.title!r}: series {series.name!r} has unequal x and y"
        )
        assert len(series.high) in (0, len(series.y)), (
            f"plot {plot.title!r}: the band {series.name!r} has edges of unequal length"
        )
    assert len({len(row) for row in plot.matrix}) < 2, (
        f"plot {plot.title!r}: rows of unequal length"
    )


def _legend(plot: Plot) -> list[Key]:
    keys = []
    for number, series in enumerate(plot.series):
        is_line = plot.kind == "line" and not series.high
        pattern = dashes(number, len(plot.series)) if is_line else ()
        # matplotlib counts dashes in line widths, of 1.8 units; SVG in units.
        lengths = [f"{length * 1.8:g}" for length in pattern]
        keys.append(Key(clean(series.name), number % SERIES, " ".join(lengths), is_line))
    return keys


def _label(plot: Plot) -> str:
    axes = f"{plot.y_label or 'value'} by {plot.x_label or 'position'}"
    if plot.kind == "heatmap":
        axes = "table of values"
    label = f"{plot.title}: {plot.kind} of {axes}"
    names = ", ".join(series.name for series in plot.series)
    if names:
        label += f"; series {names}"
    return clean(label)


def sparkline(values: Sequence[float], label: str, prefix: str) -> Markup:
    """A small histogram of finite numbers, without axes."""
    figure = new_figure(44, width=170)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    different = len(set(values))
    low, high = min(values), max(values)
    # Numbers that differ in their last digits only leave no room for bins.
    bins = 1
    if high - low > 1e-12 * max(abs(low), abs(high)):
        bins = min(24, different)
    heights, edges = np.histogram(values, bins=bins)
    axes.stairs(heights, edges, fill=True, color=colour(0), alpha=0.75, lw=0)
    axes.set_axis_off()
    axes.margins(x=0)
    return to_svg(figure, clean(label), prefix)
