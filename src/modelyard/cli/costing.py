"""Finds the requested runs, adds up what they cost, and shows it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import compress
from typing import Any

from rich.console import Console
from rich.table import Table

from modelyard import events
from modelyard.cost.report import (
    Return,
    StageCost,
    Stakes,
    by_stage,
    line,
    money,
    over_runs,
    return_on,
    row,
    sum_of,
)
from modelyard.errors import ModelyardError, UsageError, choices
from modelyard.judging.evaluation import figure
from modelyard.pipeline.local import RunFolder, all_runs, find_run
from modelyard.settings.cost import CostSettings
from modelyard.settings.family import FamilyConfig, parse_assignments, resolve

console = Console(highlight=False)

PRICES = {
    "cpu": "cost.cpu_core_hour=0.04",
    "memory": "cost.memory_gb_hour=0.005",
    "energy": "cost.kwh=0.30",
    "gpu": "'cost.gpu_hour={\"*\": 3.0}'",
}
"""Examples of the setting that prices what is not priced."""
MOST_TIMES = 100
"""A return of more times the cost is said so, not shown as a figure."""


@dataclass(frozen=True)
class Query:
    """Which runs' costs to show, and against which benefits."""

    reference: str | None
    assignments: list[str]
    """`cost.…` settings that go over those of the runs."""
    stakes: Stakes | None = None
    metric: str | None = None


@dataclass(frozen=True)
class Judged:
    """A packaged model's figures on the test split."""

    run: str
    metric: str
    model: float
    baseline: float
    larger_is_better: bool
    split: str
    rows: int
    unit: str


def show(query: Query, *, as_json: bool) -> None:
    """Prints the costs, and the return where benefits are stated."""
    runs = _runs(query.reference)
    of_runs = []
    for folder in runs:
        settings = _settings(folder, query.assignments)
        of_runs.append(_stages(folder, settings))
    stages = over_runs(of_runs)
    # The newest run's prices: its currency stands above the table.
    total = sum_of(stages, settings)
    judged = returned = None
    if query.stakes is not None:
        judged = _judged(runs, query.metric)
        returned = _return(query.stakes, judged, total)
    if as_json:
        figures = {
            "runs": [folder.path.name for folder in runs],
            "stages": [stage.model_dump(mode="json") for stage in stages],
            "total": total.model_dump(mode="json"),
            "return": returned.model_dump(mode="json") if returned else None,
        }
        print(json.dumps(figures, indent=1))
        return
    console.print(cost_table(stages, total, len(runs)))
    _print_gaps(total)
    if returned and judged and query.stakes:
        _print_return(returned, judged, query.stakes, total.price.currency)


def run_line(folder: RunFolder) -> str:
    """A run's cost as one line."""
    settings = _settings(folder, [])
    return line(sum_of(_stages(folder, settings), settings))


def _runs(reference: str | None) -> list[RunFolder]:
    """All runs of a family or of a model's name, or the one run that is named; the last one for
    None."""
    if reference is None:
        return [find_run(None)]
    found = [folder for folder in all_runs() if reference in _called(folder)]
    return found or [find_run(reference)]


def _called(folder: RunFolder) -> set[str]:
    """The names of a run's family and of its model."""
    from modelyard.registry.versions import model_name
    from modelyard.stages.run import Run

    record = folder.record
    names = {record.family, folder.path.parent.name}
    try:
        return names | {model_name(Run.of(record.family, record.config))}
    except ModelyardError:  # a family that is gone, or settings of an earlier version
        return names


def _settings(folder: RunFolder, assignments: list[str]) -> CostSettings:
    recorded = {"cost": folder.record.config.get("cost", {})}
    given = parse_assignments(assignments)
    return resolve(FamilyConfig, ("config", recorded), ("--set", given)).cost


def _stages(folder: RunFolder, settings: CostSettings) -> list[StageCost]:
    return by_stage([event for _, event in events.read(folder.events)], settings)


def cost_table(stages: list[StageCost], total: StageCost, runs: int) -> Table:
    title = "1 run" if runs == 1 else f"{runs} runs"
    table = Table(title=title, title_justify="left", title_style="dim")
    names = (
        "stage",
        "times",
        "wall",
        "core-min",
        "GPU-min",
        "Wh",
        "peak MB",
        f"price, {total.price.currency}",
        "saved",
    )
    rows = [_cells(stage) for stage in [*stages, total]]
    # A column that no stage has a figure for is left out.
    is_shown = [any(cells) for cells in zip(*rows, strict=True)]
    for name in compress(names, is_shown):
        table.add_column(name, justify="left" if name == "stage" else "right", no_wrap=True)
    for cells in rows:
        style = "bold" if cells is rows[-1] else ""
        table.add_row(*compress(cells, is_shown), style=style)
    return table


def _cells(stage: StageCost) -> list[str]:
    times = saved = ""
    if stage.finished + stage.failed + stage.reused:
        times = str(stage.finished + stage.failed)
    if stage.failed:
        times += f" ({stage.failed} failed)"
    if stage.reused:
        saved = f"{stage.saved.cpu_seconds / 60:.3g}"
    return [stage.stage, times, *row(stage), saved]


def _print_gaps(total: StageCost) -> None:
    if total.unmeasured:
        console.print(
            f"{total.unmeasured} executions were killed or are still running: not measured",
            style="yellow",
        )
    if total.reused:
        console.print(
            "saved: core-minutes of earlier executions whose results were taken again", style="dim"
        )
    if total.price.unpriced:
        first, _, _ = total.price.unpriced[0].partition(" ")
        console.print(
            f"not priced: {', '.join(total.price.unpriced)}. Set a price: "
            f"--set {PRICES[first]}, or `cost:` in params.yaml",
            style="dim",
            soft_wrap=True,
        )


def _judged(runs: list[RunFolder], metric: str | None) -> Judged:
    """The newest packaged model, by `metric`, or by accuracy."""
    from modelyard.judging.evaluation import Evaluation

    for folder in reversed(runs):
        file = folder.path / "package" / "evaluation.json"
        if file.is_file():
            break
    else:
        raise UsageError(
            "no run here has a packaged model, so there is no benefit to tell. Type: modelyard runs"
        )
    evaluation = Evaluation.model_validate_json(file.read_text())
    name = metric or "accuracy"
    if name not in evaluation.baseline:
        hint = "" if metric else ". Name the one whose unit has a worth: --metric"
        raise UsageError(choices("metric with a baseline", name, evaluation.baseline) + hint)
    return Judged(
        run=folder.path.name,
        metric=name,
        model=evaluation.metrics[name],
        baseline=evaluation.baseline[name],
        larger_is_better=evaluation.directions[name] == "max",
        split=evaluation.split,
        rows=evaluation.rows,
        unit=evaluation.unit,
    )


def _return(stakes: Stakes, judged: Judged, total: StageCost) -> Return:
    if total.price.amount is None:
        raise UsageError(
            "the runs have no price, so there is no return to tell. Type: --set cost.cpu_core_hour=0.04"
        )
    return return_on(
        stakes,
        model=judged.model,
        baseline=judged.baseline,
        larger_is_better=judged.larger_is_better,
        runs=total.price.amount,
    )


def _print_return(found: Return, judged: Judged, stakes: Stakes, currency: str) -> None:
    table = Table(
        title=f"return over {stakes.horizon_months:g} months: {judged.metric} {figure(judged.model)} against the "
        f"baseline's {figure(judged.baseline)} ({judged.split} split, {judged.rows:,} {judged.unit}, run {judged.run})",
        title_justify="left",
        title_style="dim",
        show_header=False,
    )
    for name, value in _return_rows(found, currency):
        table.add_row(name, value)
    console.print(table)
    console.print(
        "the benefit is what you stated times the difference on that split: no more certain than either",
        style="dim",
    )


def _return_rows(found: Return, currency: str) -> list[tuple[str, Any]]:
    payback = "never"
    if found.payback_months is not None:
        payback = _months(found.payback_months)
    rows = [
        ("benefit", money(found.benefit, currency)),
        ("cost", money(found.cost, currency)),
        ("benefit less cost", money(found.benefit - found.cost, currency)),
        ("return on investment", _roi(found)),
        ("paid back after", payback),
        ("breaks even at a difference of", f"{found.break_even_improvement:.3g}"),
    ]
    if found.npv is not None:
        rows.append(("net present value", money(found.npv, currency)))
    return rows


def _roi(found: Return) -> str:
    """The return as a share of the cost, where that is a figure to compare by.

    A model that is worse than its baseline returns nothing of what was paid: how much it loses on
    top of that does not depend on the cost. And a cost that leaves most of it out makes any benefit
    look huge.
    """
    if found.improvement < 0:
        return "none: the model is worse than its baseline"
    if found.roi > MOST_TIMES:
        missing = "if that is not all of it, state --serving-per-month and --one-off"
        return f"over {MOST_TIMES} times the cost; {missing}"
    return f"{found.roi:+.0%}"


def _months(months: float) -> str:
    days = months * 365.25 / 12
    if days >= 60:
        return f"{months:.1f} months"
    if days >= 1:
        return f"{days:.0f} days"
    return "less than a day"
