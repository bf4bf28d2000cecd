"""The command `compare`: packages next to each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modelyard.cli.look import PANEL


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(rich_help_panel=PANEL)(compare)


def compare(
    packages: Annotated[
        list[str],
        typer.Argument(
            metavar="PACKAGE…", help="Two or more runs' ids, NAME@VERSION or folders of one family."
        ),
    ],
    page: Annotated[
        Path | None, typer.Option("--page", help="Write it, with curves, as one HTML page.")
    ] = None,
) -> None:
    """Compare packages: data, settings that differ, metrics, variants.

    [bold]modelyard compare tabular@1 tabular@2[/]
    [bold]modelyard compare tabular@1 tabular@2 --page comparison.html[/]  with the curves
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from modelyard.card import comparison
    from modelyard.store.artifact import write_text

    found = comparison.compare(packages)
    console = Console(highlight=False)
    for grid in found.grids:
        table = Table(title=grid.title, title_justify="left", title_style="bold")
        for column in grid.columns:
            table.add_column(escape(column), overflow="fold")
        for number, row in enumerate(grid.rows):
            cells = [escape(cell) for cell in row]
            best = grid.best[number] if grid.best else None
            if best is not None:
                cells[best] = f"[green]{cells[best]}[/]"
            table.add_row(*cells)
        console.print(table)
    for note in found.notes:
        console.print(f"note     {escape(note)}", soft_wrap=True)
    if page is not None:
        write_text(page, comparison.page(found))
        console.print(f"page     {page}", soft_wrap=True)
