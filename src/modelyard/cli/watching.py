"""The commands `watch` and `drift`: a model watched on a schedule, and what was seen so far."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modelyard.cli.options import Set
from modelyard.cli.ship import Families, allow

PANEL = "Use"
Name = Annotated[str, typer.Argument(metavar="NAME", help="A registered name.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (watch, drift):
        app.command(rich_help_panel=PANEL)(command)


def watch(
    name: Name,
    every: Annotated[
        str, typer.Option(help="Time between two looks, such as 30m, 1h or 1d.")
    ] = "1h",
    once: Annotated[bool, typer.Option("--once", help="Look once, as a cron job does.")] = False,
    settings: Set = None,
    gpus: Annotated[int, typer.Option("--gpus", min=0, help="GPUs of a retraining.")] = 0,
    family: Families = None,
) -> None:
    """Watch a model: look at its traffic, train again when drift asks for it, until Ctrl-C.

    Where a better model comes out, a running `modelyard serve NAME` takes it over.

    [bold]modelyard watch tabular[/]
    [bold]modelyard watch tabular --every 15m --set monitor.window_hours=1[/]
    """
    from modelyard.cli.watcher import Watcher, seconds_of

    allow(family, name)
    Watcher(name, settings, gpus).run(None if once else seconds_of(every))


def drift(
    name: Name,
    last: Annotated[int, typer.Option("--last", min=1, help="So many looks.")] = 20,
    page: Annotated[
        Path | None, typer.Option("--page", help="Write all of it, with curves, as one HTML page.")
    ] = None,
) -> None:
    """Show how a model's traffic changed: looks, drifted columns, retrainings, champions.

    [bold]modelyard drift tabular[/]
    [bold]modelyard drift tabular --page drift.html[/]
    """
    from modelyard.cli.drifting import show
    from modelyard.drift.history import history

    show(history(name), last, page)
