"""The commands `compile` and `new`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PANEL = "Extend"


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("compile", rich_help_panel="Cluster")(compile_)
    app.command("new", rich_help_panel=PANEL)(new)


def compile_(
    family: Annotated[
        str | None, typer.Argument(metavar="FAMILY", help="Only this one. None: all.")
    ] = None,
    into: Annotated[
        Path | None, typer.Option(help="Folder for the YAML. None: pipelines/compiled here.")
    ] = None,
    packaged: Annotated[
        bool,
        typer.Option(
            "--packaged", help="Beside the generic ones of this installation: for images."
        ),
    ] = False,
) -> None:
    """Write the pipelines as YAML, to upload in the Kubeflow UI."""
    from rich import print as say

    from modelyard.cli.options import entry
    from modelyard.family import names
    from modelyard.home import slug
    from modelyard.pipeline import pipelines

    folder = into or (pipelines.FOLDER if packaged else Path("pipelines/compiled"))
    wanted: list[str | None] = [family] if family else [None, *names()]
    jobs = [
        (name, kind, folder.absolute() / f"{slug(name) if name else pipelines.GENERIC}-{kind}.yaml")
        for name in wanted
        for kind in pipelines.KINDS
    ]
    if family:
        entry(family)
    pipelines.compile_pipelines(jobs)
    for _, _, target in jobs:
        say(f"wrote {folder / target.name}")


def new(
    name: Annotated[
        str,
        typer.Argument(
            help="The family's name: lower case, a Python identifier.", show_default=False
        ),
    ],
    into: Annotated[
        Path | None, typer.Option(help="Folder for it. None: the families here, else this folder.")
    ] = None,
) -> None:
    """Start a family of your own: a working skeleton that passes the contract's checks."""
    from rich import print as say

    from modelyard.scaffold import create

    checkout = Path("src/modelyard/families")
    folder = into or (checkout if checkout.is_dir() else Path())
    for file in create(name, folder):
        say(f"wrote {file}")
    reference = (
        name
        if folder == checkout
        else f"{name}:{''.join(part.title() for part in name.split('_'))}"
    )
    say(f"next: [bold]modelyard run {reference}[/]")
