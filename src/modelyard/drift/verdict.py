"""What comparing served traffic with a package's reference yields."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from modelyard.drift.columns import Columns
from modelyard.drift.statistics import ColumnDrift, compare
from modelyard.settings.monitor import MonitorSettings

Status = Literal["stable", "drifted", "too few rows"]
MEASURES = {
    "kolmogorov-smirnov": "D ",
    "spread": "spread ",
    "new values": "new values ",
    "missing share": "missing ",
}
"""What the line of the verdict calls an effect; that of chi-squared has no name."""


class Window(BaseModel):
    """Times of the compared predictions: UTC, ISO 8601."""

    model_config = ConfigDict(frozen=True)

    since: str
    """Predictions from here on were read."""
    until: str
    """When they were read."""


class Verdict(BaseModel):
    """`verdict.json`: has the traffic drifted, in which columns, and is a retraining due."""

    model_config = ConfigDict(frozen=True)

    family: str
    package: str
    """Version of the package that answered."""
    digest: str
    """Digest of that package."""
    rows_reference: int
    rows_current: int
    status: Status
    columns: list[ColumnDrift]
    """Drifted ones first, by effect."""
    window: Window
    reason: str
    """One line: `drifted: amount (D 0.31), country (0.22)`."""
    retrain: bool = False
    retrain_reason: str = ""
    in_a_row: int = 0
    """Drifted windows without a stable one between, this one included."""
    model: str = ""
    """What was watched, `churn@3`; empty in what was written before it was recorded."""
    schedule: str = ""
    """Name of the schedule that looked; empty: a person did."""

    @property
    def drifted(self) -> list[ColumnDrift]:
        """The columns that drifted."""
        return [column for column in self.columns if column.drifted]


def judge(
    reference: Columns,
    current: Columns,
    settings: MonitorSettings,
    *,
    family: str,
    package: str,
    digest: str,
    window: Window,
) -> Verdict:
    """Compares two samples. Says nothing of retraining: that depends on what was said before."""
    before, after = _rows(reference), _rows(current)
    columns: list[ColumnDrift] = []
    status: Status = "too few rows"
    if before and after >= settings.min_rows:
        columns = compare(reference, current, settings)
        drifted = [column for column in columns if column.drifted]
        status = "drifted" if len(drifted) > settings.share * len(columns) else "stable"
    return Verdict(
        family=family,
        package=package,
        digest=digest,
        rows_reference=before,
        rows_current=after,
        status=status,
        columns=columns,
        window=window,
        reason=_reason(status, columns, after, settings),
    )


def _reason(
    status: Status, columns: list[ColumnDrift], rows: int, settings: MonitorSettings
) -> str:
    if status == "too few rows":
        return f"too few rows: {rows:,} in {settings.window_hours:g} h, at least {settings.min_rows} are needed"
    changed = [_in_words(column) for column in columns if column.drifted]
    more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
    listed = ", ".join(changed[:5]) + more
    if status == "drifted":
        return f"drifted: {listed}"
    aside = f"; {listed}: not over {settings.share:.0%} of the columns" if changed else ""
    return f"stable over {rows:,} rows{aside}"


def _in_words(column: ColumnDrift) -> str:
    if column.test in ("presence", "type"):
        return f"{column.name} ({column.summary})"
    measure = MEASURES.get(column.test, "")
    return f"{column.name} ({measure}{column.effect:.2f})"


def _rows(columns: Columns) -> int:
    return max((len(values) for values in columns.values()), default=0)
