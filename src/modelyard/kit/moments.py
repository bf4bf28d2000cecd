"""Dates and times as people write them, as moments. Standard library only, so that it serves."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

_TAGS = re.compile(r"((?:\[[^\[\]]*\])+)$")
_UTC = re.compile(r" +(?:UTC|GMT)$")
_DOTTED = re.compile(r"^(\d\d)\.(\d\d)\.(\d{4})")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
# A clock may follow; words would be those of a headline.
_YEAR = r"(?P<year>\d{4})(?=$|[T ] *\d)"
_WRITTEN = (
    re.compile(
        r"^(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})(?=$|[T ])"
    ),
    re.compile(rf"^(?P<day>\d{{1,2}})[ -]{_MONTH}\.?[ -]{_YEAR}", re.IGNORECASE),
    re.compile(rf"^{_MONTH}\.?(?:[ -](?P<day>\d{{1,2}}),?)?[ -]{_YEAR}", re.IGNORECASE),
    re.compile(
        rf"^(?P<year>\d{{4}})[ -]{_MONTH}\.?(?:[ -](?P<day>\d{{1,2}}))?(?=$|[T ] *\d)",
        re.IGNORECASE,
    ),
)
"""2026-3-1 and 2026/03/01; 1-Mar-2026; Mar 1, 2026 and, of a month, March 2026; 2026 Mar, as R's tsibble
writes months, and 2026-Mar-1."""
_HOUR = re.compile(r"[T ](\d)(?=:)")
_HALF = re.compile(
    r"[T ](?P<hour>0?[1-9]|1[0-2])(?P<rest>:\d\d(?::\d\d)?) ?(?P<half>[ap])\.?m\.?$", re.IGNORECASE
)
"""4:05 PM."""


def is_written_out(text: str) -> bool:
    """Whether a text begins with a date that has the year first or names its month, as `2026/3/1`, `1 Mar 2026`
    and `March 2026` do."""
    return any(pattern.match(text) for pattern in _WRITTEN)


def month_of(text: str) -> int | None:
    """The number of a month by its English name, `Mar` or `March`; None of another text."""
    if re.fullmatch(_MONTH + r"\.?", text.strip(), re.IGNORECASE) is None:
        return None
    return _MONTHS.index(text.strip()[:3].lower()) + 1


def moment(text: str) -> datetime:
    """An ISO 8601 date or time, or one such as 31.03.2026 08:00, 2026/3/31 8:00 or Mar 31, 2026; of a
    month, such as Mar 2026, its first day. Without a zone where it has no offset and no zone's name.
    `2026-03-31 08:00:00 UTC` too.

    A zone in brackets (RFC 9557) decides where there is no offset, and is passed over where there
    is one: `2026-03-31T08:00:00+02:00[Europe/Berlin]`.

    Raises:
        ValueError: something else, or an unknown zone.
    """
    tags = _TAGS.search(text)
    bare = _UTC.sub("+00:00", _TAGS.sub("", text).strip())
    bare = _DOTTED.sub(r"\3-\2-\1", bare)
    try:
        time = datetime.fromisoformat(bare)
    except ValueError:
        # Second, since a request may hold thousands of times, and most are ISO 8601.
        time = datetime.fromisoformat(_in_iso(bare))
    if tags is None or time.tzinfo is not None:
        return time
    for tag in tags[1].strip("[]").split("]["):
        name = tag.removeprefix("!")
        if "=" not in name:
            # Others, such as u-ca=gregory, say how to show the time.
            return time.replace(tzinfo=_zone(name))
    return time


def _in_iso(text: str) -> str:
    """The text with its date, and an hour of one digit or of half a day, as ISO 8601 writes them."""
    for pattern in _WRITTEN:
        match = pattern.match(text)
        if match is None:
            continue
        month = match["month"].lower()
        if not month.isdigit():
            month = str(_MONTHS.index(month[:3]) + 1)
        day = match["day"] or "1"
        text = f"{match['year']}-{month:0>2}-{day:0>2}{text[match.end() :]}"
        break
    half = _HALF.search(text)
    if half is not None:
        hour = int(half["hour"]) % 12
        if half["half"].lower() == "p":
            hour += 12
        return f"{text[: half.start()]} {hour:02}{half['rest']}"
    return _HOUR.sub(r" 0\1", text, count=1)


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
