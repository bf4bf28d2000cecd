"""Alerts people of drift: a message to a webhook, when something changed since the last look."""

from __future__ import annotations

import json
import logging
import os
import urllib.request
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from modelyard.drift.retrain import Memory, broken
from modelyard.drift.verdict import Verdict

WEBHOOK = "MODELYARD_ALERT_WEBHOOK"
"""Variable with the address. It is a variable and no setting, for who knows such an address may write to
the channel: it belongs into a Secret."""
SLACK = "hooks.slack.com"
TIMEOUT = 10.0

log = logging.getLogger("modelyard.monitor")


def notify(verdict: Verdict, before: Memory, run: str, link: str | None = None) -> bool:
    """Sends what the verdict says, where it says something new; whether it was sent.

    A webhook that does not answer is written to the log: the verdict stands without it.
    """
    address = os.environ.get(WEBHOOK)
    if not address or not is_news(verdict, before):
        return False
    body = json.dumps(message(verdict, run, link, address)).encode()
    try:
        # urllib opens file: and ftp: too.
        if urlsplit(address).scheme not in ("http", "https"):
            raise ValueError("it is no http address")
        request = urllib.request.Request(  # noqa: S310
            address, data=body, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT):  # noqa: S310
            return True
    except (OSError, ValueError, HTTPException) as error:
        log.warning("%s did not receive this verdict: %s", _host(address), error)
        return False


def is_news(verdict: Verdict, before: Memory) -> bool:
    """Whether people should hear of it: a further drifted window, a retraining, a column that was not
    broken at the last look, or that drift is over."""
    if verdict.retrain or verdict.in_a_row > before.in_a_row:
        return True
    if verdict.status == "stable" and before.in_a_row:
        return True
    return bool(set(broken(verdict)) - set(before.broken))


def message(verdict: Verdict, run: str, link: str | None, address: str) -> dict[str, Any]:
    """The body: what Slack takes, and for others also the verdict."""
    model = verdict.model or verdict.family
    words = [f"{model}: {verdict.reason}", *verdict.asides()]
    if verdict.status == "drifted":
        words.append(verdict.retrain_reason)
    place = f"report: {link.rstrip('/')}/{run}" if link else f"run {run}"
    text = "\n".join([*words, place])
    if _host(address) == SLACK:
        # Slack reads <, > and & as its markup: what callers sent must not become a link or a mention.
        escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return {"text": escaped}
    return {"text": text, "run": run, "verdict": verdict.model_dump(mode="json")}


def _host(address: str) -> str:
    """Without the path, which is the secret of a webhook."""
    return urlsplit(address).hostname or "the webhook"
