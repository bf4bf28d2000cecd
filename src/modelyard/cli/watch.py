"""Watches a served model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from modelyard.cli.options import entry

if TYPE_CHECKING:
    from modelyard.drift.statistics import ColumnDrift
    from modelyard.drift.verdict import Verdict

console = Console(highlight=False)
COLOURS = {"stable": "green", "drifted": "red", "too few rows": "yellow", "no rows": "yellow"}
SHOWN = 12


def watch(reference: str, assignments: list[str] | None, verdict: Path | None) -> None:
    """Runs the monitor stage on a package, with the settings of its run, and prints the
    verdict."""
    from modelyard.drift.history import place
    from modelyard.drift.verdict import Verdict
    from modelyard.packages.package import verify
    from modelyard.packages.trust import Trust
    from modelyard.pipeline.local import new_id
    from modelyard.registry.versions import resolve as find
    from modelyard.settings.family import parse_assignments, resolve
    from modelyard.stages import monitor
    from modelyard.stages.run import Run

    package = find(reference)
    info = verify(package).info
    Trust.from_environment().family(info.family)
    family = entry(info.family)
    by_hand = {"monitor": {"schedule": None}}  # whatever schedule the package was trained by
    given = parse_assignments(assignments or [])
    config = resolve(family.Config, ("config", info.config), ("config", by_hand), ("--set", given))
    target = verdict or place(reference) / new_id()
    with console.status(f"comparing the requests to {reference} with its test data"):
        monitor(
            Run.of(info.family, config.model_dump(mode="json"), id=target.name),
            verdict=target,
            package=package,
        )
    found = Verdict.model_validate_json((target / "verdict.json").read_text())
    _print(found, target)


def _print(found: Verdict, target: Path) -> None:
    colour = COLOURS[found.status]
    words = found.reason.removeprefix(found.status).lstrip(": ")
    console.print(f"[{colour}]{found.status}[/]: {escape(words)}", soft_wrap=True)
    for aside in found.asides():
        console.print(f"[yellow]{escape(aside)}[/]", soft_wrap=True)
    if found.drifted:
        console.print(_table(found.drifted))
        console.print(
            f"train again: {'yes' if found.retrain else 'no'} ({escape(found.retrain_reason)})"
        )
    console.print(f"report   {escape(str(target / 'report.html'))}", soft_wrap=True)


def _table(drifted: list[ColumnDrift]) -> Table:
    table = Table(
        title="drifted columns, largest effect first", title_justify="left", title_style="dim"
    )
    for name in ("column", "effect", "adjusted p", "what changed"):
        table.add_column(name, justify="right" if name in ("effect", "adjusted p") else "left")
    ranked = sorted(drifted, key=lambda column: -column.effect)
    for column in ranked[:SHOWN]:
        table.add_row(
            escape(column.name),
            f"{column.effect:.2f}",
            f"{column.adjusted_p:.1e}",
            escape(column.summary),
        )
    if len(ranked) > SHOWN:
        table.caption = f"and {len(ranked) - SHOWN} more in the report"
    return table
