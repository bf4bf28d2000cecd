"""What comparing served traffic with a package's reference yields."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from modelyard.drift.alerts import Alert
from modelyard.drift.columns import Columns, rows_of
from modelyard.drift.quality import Compared, Quality
from modelyard.drift.statistics import ColumnDrift, compared
from modelyard.predictions.window import Seen
from modelyard.settings.monitor import MonitorSettings

Status = Literal["stable", "drifted", "too few rows", "no rows"]
SHOWN = 5
"""Columns that a line names."""
NO_LABELS = Compared()
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
    alerts: list[Alert] = []
    """Columns that are broken beyond doubt, also where the data as a whole is stable."""
    cautions: list[str] = []
    """What else is odd about the rows: repeated ones, late ones."""
    seen: Seen | None = None
    """Files and rows that were read and skipped; None in what was written before it was
    recorded."""
    quality: Quality | None = None
    """How good the answers were whose label came; None where none came."""
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

    def asides(self) -> list[str]:
        """What a reader must know besides the reason: broken columns, odd rows, skipped files."""
        said = []
        if self.alerts:
            words = [alert.in_words() for alert in self.alerts]
            said.append(f"alert: {_first('; ', words)}")
        said += self.cautions
        if self.quality is not None:
            said.append(self.quality.in_words())
        if self.seen is not None and self.seen.in_words():
            said.append(self.seen.in_words())
        return said


def judge(
    reference: Columns,
    current: Columns,
    settings: MonitorSettings,
    *,
    family: str,
    package: str,
    digest: str,
    window: Window,
    seen: Seen | None = None,
    labelled: Compared = NO_LABELS,
) -> Verdict:
    """Compares two samples, and what labels tell of them.

    Says nothing of retraining: that depends on what was said before.
    """
    # Counted first: labels come for a part of the rows, and also for those of earlier windows.
    before, after = rows_of(reference), rows_of(current)
    reference, current = {**reference, **labelled.before}, {**current, **labelled.after}
    columns: list[ColumnDrift] = []
    alerts: list[Alert] = []
    status: Status = "too few rows" if after else "no rows"
    if before and after >= settings.min_rows:
        columns, alerts = compared(reference, current, settings)
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
        alerts=alerts,
        seen=seen,
        quality=labelled.quality,
        reason=_reason(status, columns, after, settings, seen),
    )


def _reason(
    status: Status,
    columns: list[ColumnDrift],
    rows: int,
    settings: MonitorSettings,
    seen: Seen | None,
) -> str:
    if status == "no rows":
        where = f": {seen.newest}" if seen is not None and seen.newest else ""
        return f"no rows in the last {settings.window_hours:g} h{where}"
    if status == "too few rows":
        return f"too few rows: {rows:,} in {settings.window_hours:g} h, at least {settings.min_rows} are needed"
    changed = [_in_words(column) for column in columns if column.drifted]
    listed = _first(", ", changed)
    if status == "drifted":
        return f"drifted: {listed}"
    aside = f"; {listed}: not over {settings.share:.0%} of the columns" if changed else ""
    return f"stable over {rows:,} rows{aside}"


def _first(separator: str, words: list[str]) -> str:
    """The first of them, and how many more there are."""
    listed = separator.join(words[:SHOWN])
    if len(words) > SHOWN:
        return f"{listed} and {len(words) - SHOWN} more"
    return listed


def _in_words(column: ColumnDrift) -> str:
    if column.test in ("presence", "type"):
        return f"{column.name} ({column.summary})"
    measure = MEASURES.get(column.test, "")
    return f"{column.name} ({measure}{column.effect:.2f})"
