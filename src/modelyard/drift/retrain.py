"""When drift asks for a retraining: after enough drifted windows in a row, and not again at
once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict

from modelyard.drift.verdict import Verdict
from modelyard.home import NO_RUN
from modelyard.settings.monitor import MonitorSettings

OVERLAP = 0.1
"""Share of a window that may lie in the last counted one: schedules are not exact."""

WEEK = timedelta(days=7)
GRACE = timedelta(hours=6)
"""How long a requested retraining may go without a trace before it counts as lost."""
MOST_LOST = 2
"""Lost retrainings in a row after which another waits for the cooldown: what kills each of them may
be the retraining itself."""


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
    lost: int = 0
    """Requests in a row, before the last one, of which nothing came."""
    requests: tuple[datetime, ...] = ()
    """When retrainings were requested, of the last week."""
    broken: tuple[str, ...] = ()
    """Columns that had an alert at the last look."""

    def since(self, when: datetime) -> int:
        """How many retrainings were requested after that."""
        return sum(request > when for request in self.requests)


def decide(
    verdict: Verdict,
    memory: Memory,
    *,
    run: str,
    made: datetime,
    now: datetime,
    settings: MonitorSettings,
    ended: Callable[[str], bool] = lambda run: True,
    requested_since: Callable[[datetime], int] = lambda when: 0,
) -> tuple[Verdict, Memory]:
    """Completes a verdict on a package that was made at `made`, and says what to remember.

    `ended` says whether a run's retraining came to an end, well or not: one that was lost with its
    pods must not keep the next one waiting. `requested_since` says how many retrainings of other
    versions were requested since a time. Both are called only where that matters.

    Windows count, not looks: one that overlaps the last counted window by more than a tenth tells
    little new, so that a drifted verdict on it leaves the count as it is. A run that looks twice,
    because its step was retried, counts once, and what it requested it requests again. `too few
    rows` and `no rows` neither count nor end a row; `stable` ends it.
    """
    # A run that looks again begins where it began the first time.
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
        "no rows": before,
    }[verdict.status]
    counts = verdict.status == "drifted" and (fresh or not before)
    requested_before = again and memory.requested_by == run
    # `ended` asks a cluster or a registry: not for a request that is this run's own.
    lost = not requested_before and _is_lost(memory, verdict, now, ended)
    counting = memory
    if lost:  # its cooldown keeps nobody waiting
        counting = memory.model_copy(update={"requested": None})
    retrain, reason = _due(verdict, counting, in_a_row, requested_before, made, now, settings)
    if retrain and not requested_before:
        retrain, reason = _allowed(reason, memory, now, settings, requested_since)
    verdict = verdict.model_copy(
        update={"retrain": retrain, "retrain_reason": reason, "in_a_row": in_a_row}
    )
    remembered: dict[str, Any] = {
        "run": run,
        "before": before,
        "in_a_row": in_a_row,
        "before_until": counted,
        "counted_until": until if counts else counted,
        "broken": broken(verdict) if verdict.columns else memory.broken,
    }
    if retrain and not requested_before:
        before_lost = memory.lost + 1 if lost else 0
        # Older ones count for nothing, and the registry's tag must not grow for ever.
        week = [request for request in memory.requests if request > now - WEEK]
        remembered |= {
            "requested": now,
            "requested_by": run,
            "lost": before_lost,
            "requests": (*week, now),
        }
    return verdict, memory.model_copy(update=remembered)


def _allowed(
    due: str,
    memory: Memory,
    now: datetime,
    settings: MonitorSettings,
    requested_since: Callable[[datetime], int],
) -> tuple[bool, str]:
    """Whether a retraining that is due may be requested at this time, and within this week."""
    if settings.quiet is not None and is_quiet(settings.quiet, now):
        return (
            False,
            f"no retraining now: {now:%H:%M} UTC is within monitor.quiet = {settings.quiet}",
        )
    if settings.most_a_week is None:
        return True, due
    week = now - WEEK
    requested = memory.since(week) + requested_since(week)
    if requested < settings.most_a_week:
        return True, due
    return False, (
        f"no retraining: {requested} were requested within seven days "
        f"(monitor.most_a_week = {settings.most_a_week})"
    )


def broken(verdict: Verdict) -> tuple[str, ...]:
    """Columns with an alert of their own."""
    names = [alert.column for alert in verdict.alerts]
    return tuple(sorted(names))


def is_quiet(quiet: str, now: datetime) -> bool:
    """Whether a time of day, in UTC, lies in `22:00-06:00`; its end does not."""
    begin, _, end = quiet.partition("-")
    # Texts of two digits each are in the order of the times.
    time = f"{now.astimezone(UTC):%H:%M}"
    if begin <= end:
        return begin <= time < end
    # Over midnight.
    return time >= begin or time < end


def _is_lost(memory: Memory, verdict: Verdict, now: datetime, ended: Callable[[str], bool]) -> bool:
    """Whether the last request is one of which nothing came, and no longer keeps others waiting."""
    if verdict.status != "drifted" or memory.requested is None or memory.requested_by is None:
        return False
    if now - memory.requested < GRACE or memory.lost >= MOST_LOST:
        return False
    return not ended(memory.requested_by)


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
        what = "the package was made"
        if memory.requested and last == memory.requested:
            what = "a retraining was requested"
        hours = (now - last).total_seconds() / 3600
        return False, (
            f"no retraining before {free:%Y-%m-%d %H:%M} UTC: {what} {hours:.1f} h ago "
            f"(monitor.cooldown_hours = {settings.cooldown_hours:g})"
        )
    windows = "window" if in_a_row == 1 else "windows"
    return True, f"retraining is due: drifted in {in_a_row} {windows} in a row"
