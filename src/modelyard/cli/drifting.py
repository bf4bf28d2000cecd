"""Prints how a model's traffic changed over time."""

from __future__ import annotations

import math
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from modelyard.card.grids import Grid
from modelyard.drift import overtime
from modelyard.drift.history import History, Look
from modelyard.registry import versions as registry
from modelyard.store.artifact import write_text

COLOURS = {"drifted": "red", "stable": "green"}
BLOCKS = " ▁▂▃▄▅▆▇█"
MOST_COLUMNS = 12


def show(history: History, last: int, page: Path | None) -> None:
    """Prints the last looks, the effect in each drifted column over all of them, and the champions."""
    console = Console(highlight=False)
    known = history.name in registry.names()
    changes = registry.changes(history.name) if known else []
    looks = history.looks[-last:]
    if len(history.looks) > len(looks):
        console.print(f"[dim]{len(history.looks) - len(looks)} earlier looks: --last, --page[/]")
    _print(console, overtime.looks_grid(history.name, looks))
    _bars(console, history.columns[:MOST_COLUMNS], looks)
    if changes:
        _print(console, overtime.champions_grid(changes))
    for note in overtime.notes(history):
        console.print(f"note     {escape(note)}", soft_wrap=True)
    if page is not None:
        write_text(page, overtime.page(history, changes))
        console.print(f"page     {page}", soft_wrap=True)


def _bars(console: Console, columns: list[str], looks: list[Look]) -> None:
    """A bar a look for each column, red where it drifted; the highest is the largest effect of all."""
    # One scale for all bars, so that columns can be compared with each other.
    most = 0.0
    for look in looks:
        for name in columns:
            most = max(most, look.effects.get(name, 0.0))
    if not most:
        return
    console.print(f"effect by column and look, █ is {most:.2f}", style="bold")
    for name in columns:
        bars = []
        for look in looks:
            # Rounded up: an effect above 0 is seen.
            height = math.ceil(look.effects.get(name, 0.0) / most * (len(BLOCKS) - 1))
            colour = "red" if name in look.drifted else "dim"
            bars.append(f"[{colour}]{BLOCKS[height]}[/]")
        console.print(f"{escape(name):<28} {''.join(bars)}", soft_wrap=True)


def _print(console: Console, grid: Grid) -> None:
    table = Table(title=grid.title, title_justify="left", title_style="bold")
    for column in grid.columns:
        table.add_column(escape(column), overflow="fold")
    for row in grid.rows:
        table.add_row(*map(_coloured, row))
    console.print(table)


def _coloured(cell: str) -> str:
    """A verdict in its colour; any other cell as it is."""
    colour = COLOURS.get(cell)
    if colour is None:
        return escape(cell)
    return f"[{colour}]{cell}[/]"
