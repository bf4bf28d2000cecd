"""The commands `compile`, `new` and `check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modelyard.cli.options import FamilyName

PANEL = "Extend"


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("compile", rich_help_panel="Cluster")(compile_)
    app.command("new", rich_help_panel=PANEL)(new)
    app.command("check", rich_help_panel=PANEL)(check)


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
    image: Annotated[
        str | None,
        typer.Option(help="Image that the form proposes. None: MODELYARD_IMAGE, else modelyard's."),
    ] = None,
    components: Annotated[
        bool,
        typer.Option(
            "--components", help="The steps, for kfp.components.load_component_from_file."
        ),
    ] = False,
) -> None:
    """Write the pipelines as YAML, to upload in the Kubeflow UI, or their steps, for a pipeline of
    your own."""
    from rich import print as say

    from modelyard.cli.options import entry
    from modelyard.errors import UsageError
    from modelyard.family import names
    from modelyard.home import slug
    from modelyard.pipeline import pipelines

    folder = into or (pipelines.FOLDER if packaged else Path("pipelines/compiled"))
    if components:
        if family:
            raise UsageError("--components are the same for every family: leave out FAMILY")
        place = into or folder / "components"
        for file in pipelines.compile_components(place.absolute(), image):
            say(f"wrote {place / file.name}")
        return
    # None is the generic pipeline, which takes the family as an argument.
    wanted: list[str | None] = [None, *names()]
    if family:
        wanted = [family]
        entry(family)
    jobs = []
    for name in wanted:
        called = slug(name) if name else pipelines.GENERIC
        for kind in pipelines.KINDS:
            jobs.append((name, kind, folder.absolute() / f"{called}-{kind}.yaml"))
    pipelines.compile_pipelines(jobs, image)
    if not family:
        pipelines.compile_components(folder.absolute() / "components", image)
    for _, _, target in jobs:
        say(f"wrote {folder / target.name}")
    if not family:
        say(f"wrote {folder / 'components'}: the steps, for a pipeline of your own")


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
    classifier: Annotated[
        bool,
        typer.Option(
            "--classifier",
            help="Of labelled files, such as sounds or scans. Else: of numbers in a table.",
        ),
    ] = False,
    image: Annotated[
        bool,
        typer.Option("--image", help="A Dockerfile too; where the family is there, only that."),
    ] = False,
) -> None:
    """Start a family of your own: a working skeleton that passes the contract's checks."""
    from modelyard.scaffold import create, create_image, family_name

    checkout = Path("src/modelyard/families")
    folder = into or (checkout if checkout.is_dir() else Path())
    there = image and (folder / name).is_dir()
    written = [] if there else create(name, folder, classifier)
    if image:
        written += create_image(name, folder)
    for file in written:
        typer.echo(f"wrote {file}")
    reference = family_name(name, folder)
    typer.echo(f"next: modelyard check {reference}")
    typer.echo(f"      modelyard run {reference}")
    if image:
        tag = f"registry.example.org/team/{name}:1"
        typer.echo(f"      docker build --tag {tag} {folder / name}")
        typer.echo(f"      docker push {tag}")
        typer.echo(f"      modelyard submit {reference} --image {tag}")


MARKS = {"kept": "[green]✓[/]", "broken": "[red]✗[/]", "skipped": "[dim]–[/]"}


def check(family: FamilyName) -> None:
    """Check that a family keeps the contract: a debug run, then one question each."""
    import tempfile

    from rich.console import Console
    from rich.markup import escape

    from modelyard.cli.options import entry
    from modelyard.contract import Lab, results

    entry(family)
    console = Console(highlight=False)
    broken: dict[str, str] = {}
    """By what is wrong, the check that found it first: a stage that fails breaks many."""
    with tempfile.TemporaryDirectory() as folder:
        for result in results(Lab(family, Path(folder))):
            text = result.text
            if result.state == "broken":
                first = broken.setdefault(text, result.check)
                if first != result.check:
                    text = f"as {first}"
            line = f"{MARKS[result.state]} {result.check}: {escape(text)}"
            console.print(line, soft_wrap=True)
    if broken:
        said = f"{len(broken)} to fix; what each check asks: docs/families.md"
        console.print(f"[red]{said}[/]")
        raise typer.Exit(1)
    console.print(f"the contract is kept. Next: [bold]modelyard run {family}[/]")
