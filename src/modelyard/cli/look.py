"""The commands `families` and `explain`."""

from __future__ import annotations

from typing import Annotated

import typer

PANEL = "Look"


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (families, explain):
        app.command(rich_help_panel=PANEL)(command)


def families(
    name: Annotated[str | None, typer.Argument(help="Show this one's settings.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All settings, not only those that people change.")
    ] = False,
) -> None:
    """List the families; with a name, its settings with their defaults and meaning."""
    from modelyard.cli import catalogue

    catalogue.families_table() if name is None else catalogue.settings_table(name, everything)


def explain(
    package: Annotated[
        str,
        typer.Argument(metavar="PACKAGE", help="A family, FAMILY@VERSION, a run's id or a folder."),
    ],
) -> None:
    """Show what made a package: data, settings, code, run and every step between."""
    from modelyard.cli.show import lineage_tree
    from modelyard.doctor.clusterrun import is_cluster_id

    if is_cluster_id(package):
        from modelyard.cli.remote import package_of

        package = package_of(package)
    lineage_tree(package)
