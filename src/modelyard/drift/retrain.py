"""When drift asks for a retraining: after enough drifted verdicts in a row, and not again at
once."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from modelyard.drift.verdict import Verdict
from modelyard.home import NO_RUN
from modelyard.settings.family import MonitorSettings


class Memory(BaseModel):
    """What must survive from one look at a package to the next; the registry keeps it with the
    version."""

    model_config = ConfigDict(frozen=True)

    run: str | None = None
    """The run that looked last."""
    before: int = 0
    """Drifted verdicts without a stable one between, before that run looked."""
    in_a_row: int = 0
    """The same, with that run."""
    requested: datetime | None = None
    """When a retraining was asked for last."""
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

    A run that looks twice, because its step was retried, counts once, and what it asked for it asks
    for again. `too few rows` neither counts nor ends a row.
    """
    again = run == memory.run and run != NO_RUN
    before = memory.before if again else memory.in_a_row
    in_a_row = {"drifted": before + 1, "stable": 0, "too few rows": before}[verdict.status]
    asked = again and memory.requested_by == run
    retrain, reason = _due(verdict, memory, in_a_row, asked, made, now, settings)
    told = {"requested": now, "requested_by": run} if retrain and not asked else {}
    verdict = verdict.model_copy(
        update={"retrain": retrain, "retrain_reason": reason, "in_a_row": in_a_row}
    )
    return verdict, memory.model_copy(
        update={"run": run, "before": before, "in_a_row": in_a_row, **told}
    )


def _due(
    verdict: Verdict,
    memory: Memory,
    in_a_row: int,
    asked: bool,
    made: datetime,
    now: datetime,
    settings: MonitorSettings,
) -> tuple[bool, str]:
    if verdict.status != "drifted":
        return False, f"no retraining: {verdict.status}"
    if in_a_row < settings.consecutive:
        return (
            False,
            f"no retraining yet: drifted {in_a_row} of {settings.consecutive} times in a row",
        )
    last = max(made, memory.requested or made)
    free = last + timedelta(hours=settings.cooldown_hours)
    if now < free and not asked:
        what = (
            "a retraining was asked for"
            if memory.requested and last == memory.requested
            else "the package was made"
        )
        hours = (now - last).total_seconds() / 3600
        return False, (
            f"no retraining before {free:%Y-%m-%d %H:%M} UTC: {what} {hours:.1f} h ago "
            f"(monitor.cooldown_hours = {settings.cooldown_hours:g})"
        )
    return True, f"retraining is due: drifted {in_a_row} time{'s' if in_a_row > 1 else ''} in a row"
