"""When drift asks for a retraining: after enough drifted windows in a row, and not again at
once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict

from modelyard.drift.verdict import Verdict
from modelyard.home import NO_RUN
from modelyard.settings.family import MonitorSettings

OVERLAP = 0.1
"""Share of a window that may lie in the last counted one: schedules are not exact."""


class Memory(BaseModel):
    """What must survive from one look at a package to the next; the registry keeps it with the
    version."""

    model_config = ConfigDict(frozen=True)

    run: str | None = None
    """The run that looked last."""
    before: int = 0
    """Drifted windows without a stable one between, before that run looked."""
    in_a_row: int = 0
    """The same, with that run."""
    counted_until: datetime | None = None
    """End of the last window that counted."""
    before_until: datetime | None = None
    """The same, before that run looked."""
    requested: datetime | None = None
    """When a retraining was requested last."""
    requested_by: str | None = None


def decide(
    verdict: Verdict,
    memory: Memory,
    *,
    run: str,
    made: datetime,
    now: datetime,
    settings: MonitorSettings,
) -> tuple[Verdict, Memory]:
    """Completes a verdict on a package that was made at `made`, and says what to remember.

    Windows count, not looks: one that overlaps the last counted window by more than a tenth tells
    little new, so that a drifted verdict on it leaves the count as it is. A run that looks twice,
    because its step was retried, counts once, and what it requested it requests again. `too few
    rows` neither counts nor ends a row; `stable` ends it.
    """
    again = run == memory.run and run != NO_RUN
    before = memory.before if again else memory.in_a_row
    counted = memory.before_until if again else memory.counted_until
    since = datetime.fromisoformat(verdict.window.since)
    until = datetime.fromisoformat(verdict.window.until)
    fresh = counted is None or counted - since <= OVERLAP * (until - since)
    in_a_row = {
        "drifted": before + 1 if fresh else max(1, before),
        "stable": 0,
        "too few rows": before,
    }[verdict.status]
    counts = verdict.status == "drifted" and (fresh or not before)
    requested_before = again and memory.requested_by == run
    retrain, reason = _due(verdict, memory, in_a_row, requested_before, made, now, settings)
    verdict = verdict.model_copy(
        update={"retrain": retrain, "retrain_reason": reason, "in_a_row": in_a_row}
    )
    remembered: dict[str, Any] = {
        "run": run,
        "before": before,
        "in_a_row": in_a_row,
        "before_until": counted,
        "counted_until": until if counts else counted,
    }
    if retrain and not requested_before:
        remembered |= {"requested": now, "requested_by": run}
    return verdict, memory.model_copy(update=remembered)


def _due(
    verdict: Verdict,
    memory: Memory,
    in_a_row: int,
    requested_before: bool,
    made: datetime,
    now: datetime,
    settings: MonitorSettings,
) -> tuple[bool, str]:
    if verdict.status != "drifted":
        return False, f"no retraining: {verdict.status}"
    if in_a_row < settings.consecutive:
        return (
            False,
            f"no retraining yet: drifted in {in_a_row} of {settings.consecutive} windows in a row",
        )
    last = max(made, memory.requested or made)
    free = last + timedelta(hours=settings.cooldown_hours)
    if now < free and not requested_before:
        what = (
            "a retraining was requested"
            if memory.requested and last == memory.requested
            else "the package was made"
        )
        hours = (now - last).total_seconds() / 3600
        return False, (
            f"no retraining before {free:%Y-%m-%d %H:%M} UTC: {what} {hours:.1f} h ago "
            f"(monitor.cooldown_hours = {settings.cooldown_hours:g})"
        )
    windows = "window" if in_a_row == 1 else "windows"
    return True, f"retraining is due: drifted in {in_a_row} {windows} in a row"
