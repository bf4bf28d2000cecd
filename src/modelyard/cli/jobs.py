"""The commands `run`, `resume` and `runs`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modelyard.cli.options import PARAMS, Data, Params, Rev, Set, Target

PANEL = "Build"
Gpus = Annotated[int, typer.Option("--gpus", min=0, help="GPUs on each node.")]
Nodes = Annotated[int, typer.Option("--nodes", min=1, help="Machines that train together.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    # Further words are refused with what to type.
    app.command(rich_help_panel=PANEL, context_settings={"allow_extra_args": True})(run)
    for command in (resume, runs):
        app.command(rich_help_panel=PANEL)(command)


def run(
    context: typer.Context,
    family: Annotated[
        str | None, typer.Argument(metavar="FAMILY", help="Which family.", show_default=False)
    ] = None,
    own: Annotated[
        str | None,
        typer.Option("--family", "-f", help="A family of your own: package.module:entry."),
    ] = None,
    data: Data = None,
    target: Target = None,
    rev: Rev = None,
    settings: Set = None,
    params: Params = PARAMS,
    nodes: Nodes = 1,
    gpus: Gpus = 0,
    monitoring: Annotated[
        bool,
        typer.Option(
            "--monitoring",
            help="The monitoring pipeline: watch the champion, train again on drift.",
        ),
    ] = False,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Run also where a finished run has all the same."),
    ] = False,
) -> None:
    """Take a family through the whole pipeline on this machine.

    [bold]modelyard run tabular[/]  the built-in data
    [bold]modelyard run tabular --data my.csv --target y[/]  your own
    [bold]modelyard run tabular --set model.kind=xgboost --set seed=3[/]
    """
    from modelyard.cli.execute import run_pipeline
    from modelyard.errors import UsageError, in_shell
    from modelyard.family import names

    if context.args:
        word = context.args[0]
        what, option = "your own data", "--data"
        if "=" in word:
            what, option = "a setting", "--set"
        way = f"modelyard run {family} {option} {in_shell(word)}"
        raise UsageError(f"{word!r} is one word too many. For {what} type: {way}")
    # A file may be called as a family.
    if family is not None and family not in names() and Path(family).exists():
        raise UsageError(f"name a family. Type: modelyard run FAMILY --data {in_shell(family)}")
    if (family is None) == (own is None):
        raise UsageError(
            "name one family. Type: modelyard run tabular, or modelyard run --family my_pkg.mod:Family"
        )
    run_pipeline(
        str(family or own),
        data=data,
        target=target,
        rev=rev,
        assignments=settings,
        params=params,
        nodes=nodes,
        gpus=gpus,
        kind="monitoring" if monitoring else "training",
        fresh=fresh,
    )


def resume(
    run_id: Annotated[
        str | None, typer.Argument(help="Which run, by the start of its id. None: the last.")
    ] = None,
) -> None:
    """Continue an interrupted or failed run, even mid-training; finished stages are reused.

    A stage whose code, settings or data have changed runs again.
    """
    from modelyard.cli.execute import resume_pipeline

    resume_pipeline(run_id)


def runs(
    family: Annotated[str | None, typer.Argument(help="Only this family's.")] = None,
    page: Annotated[
        Path | None, typer.Option("--page", help="Write them, with their cards, as one HTML page.")
    ] = None,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Those of Kubeflow Pipelines at KFP_HOST instead.")
    ] = False,
) -> None:
    """List the runs on this machine, or on a cluster."""
    if cluster:
        from modelyard.cli.remote import cluster_runs

        cluster_runs()
        return
    from modelyard.cli.show import runs_page, runs_table

    runs_table(family) if page is None else runs_page(family, page)
