"""A running service, sent texts from an attacker in each place that a caller can write to."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from modelyard.packages.package import Package
from modelyard.predictions.log import read_log
from tests.injection.test_pages import drifted, is_strict, nothing_ran, opened, policy_of
from tests.injection.texts import ACT, ALL, LONG
from tests.sampled import sampled
from tests.service.conftest import build
from tests.service.test_page import serving
from tests.service.test_serve import served
from tests.service.test_takeover import NAME, reading

SHORT = [text for text in ALL if text != LONG]
LINES = re.compile(r"(INFO|WARNING|ERROR): [^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]*")
HEADERS = {
    "content-type",
    "content-length",
    "x-request-id",
    "x-modelyard-package",
    "x-content-type-options",
    "date",
    "retry-after",
    "allow",
    "connection",
    "content-security-policy",
    "referrer-policy",
    "x-cache",
    "transfer-encoding",
    "www-authenticate",
}


@pytest.fixture(scope="session")
def noted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package whose requests hold a free text, which the prediction log keeps."""
    folder = tmp_path_factory.mktemp("noted")
    fields = {"x": {"type": "number"}, "note": {"type": "string", "required": False, "default": ""}}
    return reading(build(folder / "base", NAME), folder, "noted", {"request": {"fields": fields}})


@dataclass
class Answer:
    """What came back over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


def raw(address: str, line: str, headers: dict[str, str], body: bytes = b"") -> Answer | None:
    """Sends a request as it is written; None where the server hung up."""
    host, port = httpx.URL(address).host, httpx.URL(address).port or 80
    sent = {"host": "service", "connection": "close", "content-length": str(len(body))} | headers
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    with socket.create_connection((host, port), timeout=20) as wire:
        wire.sendall(f"{line} HTTP/1.1\r\n{head}\r\n".encode("utf-8", "surrogatepass") + body)
        answer = b""
        try:
            while chunk := wire.recv(65_536):
                answer += chunk
        except ConnectionResetError:
            return None
    if not answer:
        return None
    top, _, content = answer.partition(b"\r\n\r\n")
    first, *rest = top.decode("latin-1").split("\r\n")
    return Answer(int(first.split()[1]), dict(one.lower().split(": ", 1) for one in rest), content)


def in_a_header(text: str) -> str:
    """As much of a text as one line of a header can hold."""
    return re.sub(r"[\r\n\x00]+", " ", text)


def quoted(text: str) -> str:
    """A text as it stands in a path."""
    return "".join(f"%{byte:02x}" for byte in text.encode())


def attack(address: str) -> Iterator[Answer]:
    """Every place that a caller writes to, with every text."""
    media = {"content-type": "application/json"}
    good = b'{"x": 1.0}'
    for text in SHORT:
        header = in_a_header(text)
        yield from filter(
            None,
            [
                raw(address, f"GET /{quoted(text)}", {}),
                raw(address, f"GET /v2/models/{quoted(text)}/ready", {}),
                raw(address, f"GET /v1/models/{quoted(text)}", {}),
                raw(address, f"GET /?{quoted(text)}={quoted(text)}", {}),
                raw(address, "GET /", {"host": header}),
                raw(address, "POST /predict", media | {"x-request-id": header}, good),
                raw(address, "POST /predict", media | {"x-deadline-ms": header}, good),
                raw(address, "POST /predict", {"content-type": header}, good),
                raw(address, "POST /predict", media | {"content-encoding": header}, good),
                raw(
                    address,
                    "POST /predict",
                    media | {"accept": header, "traceparent": header},
                    good,
                ),
                raw(
                    address,
                    "POST /predict",
                    media | {"user-agent": header, "authorization": header},
                    good,
                ),
                raw(address, f"{re.sub(r'[^A-Z]', '', text.upper()) or 'X'} /predict", {}),
            ],
        )
    for text in ALL:
        for body in (
            {"x": 1.0, "note": text},
            {"x": text},
            {text: 1.0},
            {"x": 1.0, text: text},
            text,
            [text],
            {"x": [{text: text}]},
        ):
            content = json.dumps(body).encode()
            yield from filter(None, [raw(address, "POST /predict", media, content)])
        for body in ({"id": "a", "label": text}, {"id": text[:140], "label": 1}, {"package": text}):
            content = json.dumps(body).encode()
            yield from filter(None, [raw(address, "POST /feedback", media, content)])
            yield from filter(None, [raw(address, "POST /admin/swap", media, content)])


@pytest.fixture(scope="module", params=["text", "json"])
def attacked(noted, tmp_path_factory, request) -> tuple[list[Answer], str, str, Path]:
    """All answers, what the service wrote to standard error, its metrics, and the folder of its
    predictions."""
    folder = tmp_path_factory.mktemp(f"attacked-{request.param}")
    log = folder / "log.txt"
    settings = {
        "MODELYARD_ACCESS_LOG": "1",
        "MODELYARD_LOG_FORMAT": request.param,
        "MODELYARD_TOKEN": "",
    }
    with (
        log.open("wb") as stream,
        served(noted, folder / "predictions", stderr=stream, **settings) as (_, address),
    ):
        answers = list(attack(address))
        metrics = httpx.get(f"{address}/metrics").text
    return answers, log.read_text(errors="surrogateescape"), metrics, folder


def test_no_header_of_an_answer_is_a_callers(attacked):
    answers, *_ = attacked
    assert len(answers) > 20 * len(ALL) - 40
    for one in answers:
        assert one.headers.keys() <= HEADERS, one
        assert re.fullmatch(r"[a-z0-9._:-]{1,128}", one.headers.get("x-request-id", "none"))
        assert ACT not in "".join(one.headers.values())
        assert one.status != 500, one


def test_no_answer_is_a_page_but_the_page(attacked):
    for one in attacked[0]:
        media = one.headers.get("content-type", "")
        assert media.startswith(("application/json", "text/html", "text/plain")), one
        if media.startswith("text/html"):
            assert one.status == 200
            assert "default-src 'none'" in one.headers["content-security-policy"]
        if one.status != 400 or "x-request-id" in one.headers:
            assert one.headers["x-content-type-options"] == "nosniff", one


def test_no_line_of_the_log_is_a_callers(attacked):
    lines = attacked[1].splitlines(keepends=True)
    assert len(lines) > 500
    for line in lines:
        assert line.endswith("\n")
        if line.startswith("{"):
            written = json.loads(line)
            assert {"time", "level", "logger", "message"} <= written.keys()
            assert written["logger"].startswith(("modelyard", "uvicorn"))
        else:
            assert LINES.fullmatch(line.removesuffix("\n")), line
        assert len(line) < 100_000


def test_no_label_of_the_metrics_is_a_callers(attacked):
    samples = [
        one for family in text_string_to_metric_families(attacked[2]) for one in family.samples
    ]
    values = {
        value
        for sample in samples
        for name, value in sample.labels.items()
        if name not in ("le", "quantile")
    }
    assert len(values) < 60
    assert not [value for value in values if not re.fullmatch(r"[A-Za-z0-9_.+-]{0,40}", value)]


def test_texts_are_logged_as_they_are_under_names_that_nobody_chose(attacked):
    folder = attacked[3]
    names = [
        file.relative_to(folder / "predictions").as_posix()
        for file in (folder / "predictions").rglob("*.parquet")
    ]
    assert names
    for name in names:
        assert re.fullmatch(
            r"(feedback/)?date=[\d-]{10}/hour=\d\d/(noted|feedback)-[0-9a-f-]+\.parquet", name
        ), name
    assert sorted(entry.name for entry in folder.iterdir()) == ["log.txt", "predictions"]
    assert not Path("/tmp/taken").exists()
    logged = read_log(folder / "predictions")
    assert set(ALL) <= set(logged["note"])


def test_what_was_sent_to_predict_does_not_act_in_the_report_of_the_log_that_kept_it(
    attacked, browser, tmp_path
):
    logged = {
        name: values
        for name, values in read_log(attacked[3] / "predictions").items()
        if name[0] != "_"
    }
    before = {name: [1.0 if name in "xy" else "usual"] * 50 for name in logged}
    file, verdict = drifted(tmp_path, before, logged)
    assert "note" in [column.name for column in verdict.drifted]
    is_strict(policy_of(file.read_text()))
    opened(browser, file)
    nothing_ran(browser)


def hostile_package(folder: Path, text: str) -> Package:
    """A package with the text in everything that its page shows."""
    fields: dict[str, Any] = {"x": {"type": "number", "description": text}}
    named = {
        "type": "string",
        "alias": text,
        "description": text,
        "required": False,
        "default": text,
    }
    fields |= {"f": named, "g": {"choices": [text, "b"], "required": False, "default": text}}
    path = reading(build(folder / "base", NAME), folder, "hostile", {"request": {"fields": fields}})
    package = Package(path, threads=1)
    gate = package.info.gate.model_copy(update={"reason": text})
    package.info = package.info.model_copy(
        update={
            "title": text,
            "created": text,
            "gate": gate,
            "metrics": {text: 1.0},
            "baseline": {text: 2.0},
        }
    )
    golden = {"request": {"x": 1.0, "g": text, text: text}, "response": {"y": 1.0}}
    package.golden = lambda: golden  # type: ignore[method-assign]
    return package


@pytest.mark.parametrize(
    "text",
    [*sampled(SHORT, 3), pytest.param(LONG, marks=pytest.mark.slow)],
    ids=lambda text: text[:24].encode("unicode_escape").decode(),
)
def test_no_text_of_a_package_acts_on_its_services_page(browser, tmp_path, text):
    with serving(hostile_package(tmp_path, text)) as address:
        reply = httpx.get(address)
        browser.open(address)
        nothing_ran(browser)
        assert browser("document.querySelectorAll('iframe, base, object, embed').length") == 0
        assert browser("document.querySelectorAll('[data-field]').length") == 3
        assert [line for line in browser.said if "Content Security" in line] == []
        hostile = raw(address.rstrip("/"), "GET /", {"host": in_a_header(text)[:2_000]})
    is_strict(
        {
            name: rule
            for name, rule in rules(reply).items()
            if name not in ("connect-src", "img-src")
        }
    )
    assert rules(reply)["connect-src"] == "'self'"
    assert rules(reply)["img-src"] == "'self' data:"
    # The same without its policy: nothing acts, for all of it was escaped.
    assert hostile is not None
    (tmp_path / "page.html").write_bytes(hostile.body)
    opened(browser, tmp_path / "page.html")
    nothing_ran(browser)


def rules(reply: httpx.Response) -> dict[str, str]:
    return dict(rule.split(" ", 1) for rule in reply.headers["content-security-policy"].split("; "))
