"""What a run on a cluster used and cost, out of its steps' logs."""

from __future__ import annotations

import json

from modelyard.cli.costing import Query, console, cost_table
from modelyard.cost.report import by_stage, sum_of
from modelyard.doctor import clusterrun
from modelyard.errors import UsageError
from modelyard.settings.carried import received
from modelyard.settings.family import FamilyConfig, parse_assignments, resolve


def show(query: Query, *, as_json: bool) -> None:
    """The costs of a run on a cluster, as its steps logged them.

    Raises:
        UsageError: no step's log says what it used, or a return is wanted.
    """
    reference = str(query.reference)
    if query.stakes is not None:
        raise UsageError(
            f"a return needs the run's package here: modelyard explain {reference} names it"
        )
    run = clusterrun.found(reference)
    run.look()
    given = run.parameters.get("settings") or run.parameters.get("config") or {}
    recorded = {"cost": received(given).get("cost", {})}
    assignments = parse_assignments(query.assignments)
    prices = resolve(FamilyConfig, ("config", recorded), ("--set", assignments)).cost
    stages = by_stage(run.events(), prices)
    if not stages:
        raise UsageError(
            f"run {reference}: no log says what its steps used. Type: modelyard doctor {reference}"
        )
    total = sum_of(stages, prices)
    if as_json:
        rows = [stage.model_dump(mode="json") for stage in stages]
        whole = {"runs": [reference], "stages": rows, "total": total.model_dump(mode="json")}
        print(json.dumps(whole, indent=1))
        return
    console.print(cost_table(stages, total, 1))
    logged = {stage.stage for stage in stages}
    missing = [step.name for step in run.steps if step.name not in logged]
    if missing:
        console.print(f"[dim]without {', '.join(missing)}: their logs are gone[/]")
