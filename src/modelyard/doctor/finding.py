"""What was looked at and how it is, and what keeps a workload from going on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Object = dict[str, Any]
"""A Kubernetes object as JSON."""
Level = Literal["ok", "off", "warn", "bad"]
"""Works; is not there and need not be; works but soon may not; is broken."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    what: str
    seen: str
    """What was found: the cause, where it is broken. One line."""
    fix: str = ""
    """What to type. One line."""

    def as_json(self) -> dict[str, str]:
        """As `modelyard doctor --json` writes it."""
        return asdict(self)


@dataclass(frozen=True)
class Trouble:
    """What keeps a workload from going on."""

    kind: str
    """A short name that does not change: `pull-auth`, `out-of-memory`, …"""
    where: str
    """`pod models/payments-7d9f`."""
    cause: str
    fix: str
    lasting: bool = True
    """Someone has to act: waiting does not help, or nobody knows for how long."""

    @property
    def finding(self) -> Finding:
        """As a row of a report."""
        return Finding("bad" if self.lasting else "warn", self.where, self.cause, self.fix)


def place_of(thing: Object, kind: str = "pod") -> str:
    """`pod models/payments-7d9f`."""
    metadata = thing["metadata"]
    return f"{kind} {metadata.get('namespace', 'default')}/{metadata['name']}"


def kubectl(thing: Object, words: str) -> str:
    """A command of kubectl in the object's namespace."""
    return f"kubectl -n {thing['metadata'].get('namespace', 'default')} {words}"


def condition(thing: Object, kind: str) -> Object:
    """A condition of an object's status; empty where it has none of this type."""
    for one in thing.get("status", {}).get("conditions") or []:
        if one.get("type") == kind:
            found: Object = one
            return found
    return {}


def newest_event(events: list[Object], *reasons: str) -> Object | None:
    """The last event with one of these reasons."""
    found = [event for event in events if event.get("reason") in reasons]
    return max(found, key=_time_of, default=None)


def _time_of(event: Object) -> str:
    # The newer API of events (events.k8s.io) has another field; as text both sort by time.
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


def one_line(text: object, length: int = 300) -> str:
    """A text in one line, cut where it is too long."""
    line = " ".join(str(text or "").split())
    if len(line) <= length:
        return line
    return f"{line[: length - 1]}…"
