"""The commands and their help."""

from __future__ import annotations

from typing import Annotated

import typer

from modelyard import __version__
from modelyard.cli import (
    compare,
    cost,
    health,
    jobs,
    look,
    make,
    promote,
    remote,
    rollback,
    ship,
    steps,
    tune,
    watching,
)

app = typer.Typer(
    name="modelyard",
    help="From versioned data to a served, watched, self-retraining model.\n\n"
    "Start with [bold]modelyard run tabular[/], then [bold]modelyard serve tabular[/]. "
    "With your own table: [bold]modelyard run tabular --data my.csv --target y[/].",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"modelyard {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Options of modelyard itself."""


for module in (
    jobs,
    tune,
    ship,
    watching,
    promote,
    rollback,
    look,
    compare,
    health,
    cost,
    remote,
    make,
    steps,
):
    module.register(app)
