"""The service's own log as JSON, one object a line."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from datetime import UTC, datetime

from modelyard.serving.calls import Call

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

access = logging.getLogger("modelyard.serving.access")


class JsonLines(logging.Formatter):
    """Time (UTC), level, logger, message, the record's `fields` and, where there is one, the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage(),
        }  # fmt: skip
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        # JSON leaves some of what ends a line for others, or turns its direction.
        return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(line, ensure_ascii=False))


class PlainLines(logging.Formatter):
    """`LEVEL: message`, one line for a message: text of a caller that breaks the line, or moves the cursor of a
    terminal, is written as its escape. Tracebacks, which are ours, follow as they are."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line without its traceback."""
        return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), super().formatMessage(record))


def line_of(message: str, **fields: object) -> str:
    """A line of JSON for something that is said before there is a log."""
    record = logging.makeLogRecord({"name": "modelyard.serving", "levelname": "INFO", "msg": message, "fields": fields})
    return JsonLines().format(record)


def answered(call: Call, route: str, status: int, package: str) -> None:
    """One line for one request."""
    taken = round((time.perf_counter() - call.started) * 1e3, 3)
    fields = {"id": call.id, "route": route, "status": status, "ms": taken, "package": package}
    access.info("%s %s %d %.1f ms", call.method, call.path, status, taken, extra={"fields": fields})


def configure(form: str) -> None:
    """Sends what the service says to standard error, as `text` or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else PlainLines("%(levelname)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("modelyard").setLevel(logging.INFO)
