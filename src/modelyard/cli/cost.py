"""The command `cost`: what runs used and cost."""

from __future__ import annotations

from typing import Annotated

import typer

from modelyard.cli.options import Set

WORTH = "Return on investment"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(rich_help_panel="Look")(cost)


def cost(
    reference: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN|FAMILY", help="A run, by the start of its id, or all runs of a family."
        ),
    ] = None,
    settings: Set = None,
    benefit_per_correct: Annotated[
        float | None,
        typer.Option(
            "--benefit-per-correct",
            "--benefit-per-unit",
            rich_help_panel=WORTH,
            help="Worth of one more right decision; in general, of one unit of --metric on one decision.",
        ),
    ] = None,
    decisions_per_month: Annotated[
        float | None,
        typer.Option(min=0, rich_help_panel=WORTH, help="How often the model decides."),
    ] = None,
    horizon_months: Annotated[
        float, typer.Option(min=0, rich_help_panel=WORTH, help="How long it is used.")
    ] = 12.0,
    serving_per_month: Annotated[
        float,
        typer.Option(
            min=0, rich_help_panel=WORTH, help="What each month costs: serving, people who watch."
        ),
    ] = 0.0,
    one_off: Annotated[
        float,
        typer.Option(
            min=0, rich_help_panel=WORTH, help="One-off costs besides the runs: labels, work."
        ),
    ] = 0.0,
    discount_rate: Annotated[
        float | None,
        typer.Option(
            min=0,
            rich_help_panel=WORTH,
            help="A year's interest (0.05): gives the net present value.",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(rich_help_panel=WORTH, help="Metric whose unit has a worth. None: accuracy."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, for programs.")] = False,
) -> None:
    """Show what runs used and cost, by stage; with stated benefits, the return on it.

    [bold]modelyard cost tabular --set cost.cpu_core_hour=0.04[/]  all runs of a family, at this price
    [bold]modelyard cost 20310405 --benefit-per-correct 0.5 --decisions-per-month 10000 --serving-per-month 40[/]
    """
    from modelyard.cli import clustercost, costing
    from modelyard.cost.report import Stakes
    from modelyard.doctor.clusterrun import is_cluster_id
    from modelyard.errors import UsageError

    stakes = None
    if benefit_per_correct is not None and decisions_per_month is not None:
        if not decisions_per_month or not horizon_months:
            raise UsageError("--decisions-per-month and --horizon-months must be above 0")
        stakes = Stakes(
            per_unit=benefit_per_correct,
            decisions_per_month=decisions_per_month,
            horizon_months=horizon_months,
            serving_per_month=serving_per_month,
            one_off=one_off,
            discount_rate=discount_rate,
        )
    elif benefit_per_correct is not None or decisions_per_month is not None:
        raise UsageError(
            "a return needs both: --benefit-per-correct 0.5 --decisions-per-month 10000"
        )
    query = costing.Query(reference, settings or [], stakes, metric)
    show = clustercost.show if is_cluster_id(reference) else costing.show
    show(query, as_json=as_json)
