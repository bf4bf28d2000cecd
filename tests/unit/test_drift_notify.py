"""A webhook receives what is new of a drift, once."""

from __future__ import annotations

import json
import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler

import pytest
import yaml

from modelyard.drift import notify
from modelyard.drift.alerts import Alert
from modelyard.drift.retrain import Memory
from modelyard.drift.verdict import Verdict, Window
from modelyard.pipeline.pipelines import FOLDER
from tests.standin.listening import Listening


def verdict(
    status="drifted", *, in_a_row=1, retrain=False, broken=(), reason="drifted: x (D 0.30)"
):
    return Verdict(
        family="f",
        package="p",
        digest="d",
        rows_reference=100,
        rows_current=100,
        status=status,
        columns=[],
        window=Window(since="2026-01-01T00:00:00+00:00", until="2026-01-02T00:00:00+00:00"),
        reason=reason,
        retrain=retrain,
        retrain_reason="retraining is due" if retrain else "no retraining yet",
        in_a_row=in_a_row,
        alerts=[Alert(column=one, what="empty", effect=1.0, summary="") for one in broken],
        model="churn@3",
    )


def test_a_webhook_that_answers_something_else_than_http_harms_no_verdict(monkeypatch, caplog):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as connection:
                connection.recv(65_536)
                connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

        threading.Thread(target=answer, daemon=True).start()
        monkeypatch.setenv(notify.WEBHOOK, f"http://127.0.0.1:{server.getsockname()[1]}/T0")
        with caplog.at_level(logging.WARNING, "modelyard.monitor"):
            assert not notify.notify(verdict(in_a_row=1), Memory(), "r1")
    assert "did not receive this verdict" in caplog.text
    assert "T0" not in caplog.text


@pytest.fixture
def hook(monkeypatch):
    """What was sent to a webhook."""
    sent: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Says nothing."""

    server = Listening(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv(notify.WEBHOOK, f"http://127.0.0.1:{server.server_port}/T0/secret")
    yield sent
    server.shutdown()
    server.server_close()


def test_the_first_drifted_window_is_sent_with_reason_and_link(hook):
    assert notify.notify(verdict(), Memory(), "r1", "https://reports.example.org/")
    (one,) = hook
    assert one["text"].splitlines() == [
        "churn@3: drifted: x (D 0.30)",
        "no retraining yet",
        "report: https://reports.example.org/r1",
    ]
    assert one["verdict"]["status"] == "drifted"


@pytest.mark.parametrize(
    ("found", "before", "news"),
    [
        (verdict(in_a_row=1), Memory(in_a_row=1), False),  # the same window, looked at again
        (verdict(in_a_row=2), Memory(in_a_row=1), True),
        (verdict(in_a_row=1, retrain=True), Memory(in_a_row=1), True),
        (verdict("stable", in_a_row=0), Memory(), False),
        (verdict("stable", in_a_row=0), Memory(in_a_row=3), True),  # it is over
        (verdict("too few rows", in_a_row=2), Memory(in_a_row=2), False),
        (verdict("stable", in_a_row=0, broken=["age"]), Memory(), True),
        (verdict("stable", in_a_row=0, broken=["age"]), Memory(broken=("age",)), False),
        (verdict("stable", in_a_row=0, broken=["age", "b"]), Memory(broken=("age",)), True),
    ],
)
def test_people_hear_of_what_is_new_only(hook, found, before, news):
    assert notify.notify(found, before, "r1") is news
    assert len(hook) == news


def test_nothing_is_sent_where_no_webhook_is_named(monkeypatch):
    monkeypatch.delenv(notify.WEBHOOK, raising=False)
    assert not notify.notify(verdict(), Memory(), "r1")


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/T0/secret", "file:///etc/passwd", "nonsense"]
)
def test_a_webhook_that_cannot_be_reached_is_logged_without_its_secret(
    address, monkeypatch, caplog
):
    monkeypatch.setenv(notify.WEBHOOK, address)
    with caplog.at_level(logging.WARNING):
        assert not notify.notify(verdict(), Memory(), "r1")
    (line,) = caplog.messages
    assert "did not receive this verdict" in line
    assert "secret" not in line


def test_what_callers_sent_is_no_markup_for_slack():
    evil = "drifted: <!channel> <http://evil|click> & (D 0.30)"
    body = notify.message(verdict(reason=evil), "r1", None, "https://hooks.slack.com/services/T0/x")
    assert set(body) == {"text"}
    assert "<" not in body["text"]
    assert "&lt;!channel&gt;" in body["text"]


def test_the_monitoring_step_on_a_cluster_gets_the_address_by_a_secret_and_no_other_step_does():
    *_, platforms = yaml.safe_load_all((FOLDER / "generic-monitoring.yaml").read_text())
    executors = platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    given = {
        name
        for name, executor in executors.items()
        for secret in executor.get("secretAsEnv", [])
        for one in secret["keyToEnv"]
        if one["envVar"] == notify.WEBHOOK
    }
    assert given == {"exec-monitor"}
