"""The command `tune`: a search for better settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modelyard.cli.options import PARAMS, Data, FamilyName, Params, Rev, Set, Target


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(rich_help_panel="Build")(tune)


def tune(
    family: FamilyName,
    trials: Annotated[
        int, typer.Option("--trials", "-n", min=1, help="Trials in all, the starting one included.")
    ] = 30,
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="MIN", help="Stop after so many minutes.")
    ] = None,
    trial_timeout: Annotated[
        float | None, typer.Option(min=0, metavar="MIN", help="Most minutes for a trial.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Trials at a time.")] = 1,
    data: Data = None,
    target: Target = None,
    rev: Rev = None,
    settings: Set = None,
    params: Params = PARAMS,
) -> None:
    """Search for better settings on the validation split.

    Run the same command again to continue a stopped search.

    What --set gives stays fixed; params.yaml says where the search starts.

    [bold]modelyard tune tabular --trials 30[/]
    [bold]modelyard tune tabular --data my.csv --target y --set model.kind=xgboost --jobs 2[/]
    """
    from modelyard.cli.tuning import Limits, follow

    limits = Limits(trials=trials, minutes=timeout, trial_minutes=trial_timeout, jobs=jobs)
    follow(
        family, limits, data=data, target=target, rev=rev, assignments=settings, params=Path(params)
    )
