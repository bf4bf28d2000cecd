"""Dates and times as people write them, as moments. Standard library only, so that it serves."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

_TAGS = re.compile(r"((?:\[[^\[\]]*\])+)$")
_UTC = re.compile(r" +(?:UTC|GMT)$")
_DOTTED = re.compile(r"^(\d\d)\.(\d\d)\.(\d{4})")


def moment(text: str) -> datetime:
    """An ISO 8601 date or time, or one such as 31.03.2026 08:00; without a zone where it has no
    offset and no zone's name. `2026-03-31 08:00:00 UTC` too.

    A zone in brackets (RFC 9557) decides where there is no offset, and is passed over where there
    is one: `2026-03-31T08:00:00+02:00[Europe/Berlin]`.

    Raises:
        ValueError: something else, or an unknown zone.
    """
    tags = _TAGS.search(text)
    bare = _UTC.sub("+00:00", _TAGS.sub("", text).strip())
    time = datetime.fromisoformat(_DOTTED.sub(r"\3-\2-\1", bare))
    if tags is None or time.tzinfo is not None:
        return time
    for tag in tags[1].strip("[]").split("]["):
        name = tag.removeprefix("!")
        if "=" not in name:
            # Others, such as u-ca=gregory, say how to show the time.
            return time.replace(tzinfo=_zone(name))
    return time


def as_utc(time: datetime) -> datetime:
    """A moment in UTC, for which times without a zone are taken."""
    if time.tzinfo is None:
        return time.replace(tzinfo=UTC)
    return time.astimezone(UTC)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, KeyError, ValueError):
        raise ValueError(f"unknown time zone {name[:40]!r}") from None
