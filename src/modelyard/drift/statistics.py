"""Do two samples of flat rows come from one distribution? Column by column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from modelyard.drift.alerts import Alert, alert
from modelyard.drift.columns import Column, Columns, column
from modelyard.drift.measures import GONE, Finding, Test, findings, stats
from modelyard.settings.monitor import MonitorSettings


class ColumnDrift(BaseModel):
    """One column, reference against current. `effect` and the p-values are those of the test
    that decided."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: Literal["numeric", "category", "missing"]
    """`missing`: the reference holds no value in this column."""
    test: Test
    drifted: bool
    effect: float
    """0 to 1: Kolmogorov-Smirnov D, total variation distance, the share by which the spread
    shrank or the new values are too many, or the difference of the missing shares."""
    least_effect: float
    """A smaller effect is no drift: it follows `monitor.min_effect`, the test and the number of
    rows."""
    p_value: float
    adjusted_p: float
    """p-value after Benjamini-Hochberg over all tests of all columns."""
    missing_reference: float
    missing_current: float
    summary: str
    """What changed, in a line: `mean 12.1 → 19.4`."""


@dataclass(frozen=True)
class _Judged:
    """A finding with its p-value adjusted over all tests of all columns."""

    finding: Finding
    least_effect: float
    adjusted_p: float
    drifted: bool


def compare(reference: Columns, current: Columns, settings: MonitorSettings) -> list[ColumnDrift]:
    """Compares the columns of two samples; the most changed first."""
    return compared(reference, current, settings)[0]


def compared(
    reference: Columns, current: Columns, settings: MonitorSettings
) -> tuple[list[ColumnDrift], list[Alert]]:
    """Compares the columns of two samples: the most changed first, and those that are broken.

    All p-values together are adjusted by Benjamini and Hochberg (1995) at `settings.alpha`. A
    column drifted when one of its tests is significant and that test's effect reaches its least
    effect, which follows `settings.min_effect` and the number of rows. A column that is gone, new
    or of another type drifted without a test.
    """
    sides: dict[str, tuple[Column, Column]] = {}
    found: dict[str, list[Finding]] = {}
    for name in dict.fromkeys([*reference, *current]):
        before = column(reference.get(name))
        after = column(current.get(name), numeric=before.kind == "numeric")
        sides[name] = before, after
        structure = _structure(name, reference, current, before, after)
        found[name] = [structure] if structure else findings(before, after)
    shares = {name: before.least_share for name, (before, _) in sides.items()}
    judged = _judge(found, shares, settings)
    columns = [_decisive(name, *sides[name], judged[name]) for name in sides]
    alerts = []
    for name, (before, after) in sides.items():
        adjusted = [(found.finding, found.adjusted_p) for found in judged[name]]
        raised = alert(name, before, after, adjusted, len(sides))
        if raised is not None:
            alerts.append(raised)
    columns.sort(key=lambda column: (not column.drifted, -column.effect))
    return columns, alerts


def _structure(
    name: str, reference: Columns, current: Columns, before: Column, after: Column
) -> Finding | None:
    """What needs no test: a column that is gone, new or of another type."""
    if name not in current:
        return Finding("presence", 1.0, 0.0, GONE)
    if name not in reference:
        return Finding("presence", 1.0, 0.0, "the column is new")
    if "missing" not in (before.kind, after.kind) and before.kind != after.kind:
        return Finding("type", 1.0, 0.0, f"was {before.kind}, now {after.kind}")
    return None


def _judge(
    found: dict[str, list[Finding]], shares: dict[str, float], settings: MonitorSettings
) -> dict[str, list[_Judged]]:
    # All at once: of a hundred tests five are below 0.05 by chance.
    p_values = []
    for of_column in found.values():
        p_values += [finding.p_value for finding in of_column if _tested(finding)]
    adjusted = iter(p_values)
    if p_values:
        adjusted = iter(stats().false_discovery_control(p_values, method="bh"))
    # The adjusted values come back in the order in which they were given.
    judged: dict[str, list[_Judged]] = {}
    for name, of_column in found.items():
        judged[name] = []
        for finding in of_column:
            p = float(next(adjusted)) if _tested(finding) else 0.0
            least = finding.least * settings.min_effect * shares[name]
            # Both: among a million rows a difference that nobody cares about is significant.
            drifted = p <= settings.alpha and finding.effect >= least
            judged[name].append(_Judged(finding, least, p, drifted))
    return judged


def _tested(finding: Finding) -> bool:
    return finding.test not in ("presence", "type")


def _decisive(name: str, before: Column, after: Column, judged: list[_Judged]) -> ColumnDrift:
    """The column, by the test that is the most certain of a drift, or of none."""

    def order(judged: _Judged) -> tuple[bool, bool, float, float]:
        # A middle that moved widens the distances from the pooled one: the spread comes second.
        second = judged.finding.test == "spread"
        return not judged.drifted, second, judged.adjusted_p, -judged.finding.effect

    best = min(judged, key=order)
    return ColumnDrift(
        name=name,
        kind=before.kind if before.rows else after.kind,
        test=best.finding.test,
        drifted=best.drifted,
        effect=best.finding.effect,
        least_effect=best.least_effect,
        p_value=best.finding.p_value,
        adjusted_p=best.adjusted_p,
        missing_reference=before.missing,
        missing_current=after.missing,
        summary=best.finding.summary,
    )
