"""The service's own log, as text or as JSON: one record a line, whatever callers put into their
requests."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from datetime import UTC, datetime

from modelyard.serving.calls import Call

LONGEST = 20_000
"""Most characters of a message or a traceback."""
# C0 and C1 controls, line and paragraph separators, marks that turn the direction of what
# follows, and halves of surrogate pairs, which UTF-8 cannot write.
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
access = logging.getLogger("modelyard.serving.access")


class JsonLines(logging.Formatter):
    """Time (UTC), level, logger, message, the record's `fields` and, where there is one, the
    traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _cut(record.getMessage()),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = _cut(self.formatException(record.exc_info))
        # The texts are cut, not the line: the end of a JSON object cannot be left out.
        return _escape(json.dumps(line, ensure_ascii=False))


class TextLines(logging.Formatter):
    """Level and message; the lines of a traceback are indented, so that none of them looks like
    a record."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and those of the traceback."""
        lines = [f"{record.levelname}: {escaped(record.getMessage())}"]
        if record.exc_info:
            for line in self.formatException(record.exc_info).split("\n"):
                lines.append(f"    {escaped(line)}")
        return "\n".join(lines)


def escaped(text: str) -> str:
    """`text` with control characters, and all else that a terminal or a reader of lines takes
    for one, as JSON escapes them; of at most LONGEST characters."""
    return _escape(_cut(text))


def _cut(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]}…"


def _escape(text: str) -> str:
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def line_of(message: str, **fields: object) -> str:
    """A line of JSON for something that is written before there is a log."""
    record = logging.makeLogRecord(
        {"name": "modelyard.serving", "levelname": "INFO", "msg": message, "fields": fields}
    )
    return JsonLines().format(record)


def answered(call: Call, route: str, status: int, package: str) -> None:
    """One line for one request."""
    taken = round((time.perf_counter() - call.started) * 1e3, 3)
    fields = {"id": call.id, "route": route, "status": status, "ms": taken, "package": package}
    access.info("%s %s %d %.1f ms", call.method, call.path, status, taken, extra={"fields": fields})


def configure(form: str) -> None:
    """Sends what the service says to standard error, as `text` or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("modelyard").setLevel(logging.INFO)
