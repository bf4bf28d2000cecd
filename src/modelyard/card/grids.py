"""A page of tables and curves: what the terminal shows, with its curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from modelyard.card import canvas, figures
from modelyard.card.templates import render
from modelyard.judging.evaluation import Plot


@dataclass(frozen=True)
class Grid:
    """A table of texts, whose first cells name the rows."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    best: list[int | None] = field(default_factory=list)
    """For each row the column of the best value; None where none is better."""


def page(
    title: str,
    *,
    eyebrow: str,
    family: str,
    notes: Sequence[str],
    grids: Sequence[Grid],
    plots: Sequence[Plot],
    curves_first: bool = False,
) -> str:
    """One self-contained page without a script; `eyebrow` and the family stand above its title."""
    drawn = []
    with canvas.style():
        for number, plot in enumerate(plots):
            if (figure := figures.draw(plot, f"p{number}-")) is not None:
                drawn.append(figure)
    return render(
        "grids.html.j2",
        title,
        eyebrow=eyebrow,
        family=family,
        notes=notes,
        grids=grids,
        plots=drawn,
        curves_first=curves_first,
    )
