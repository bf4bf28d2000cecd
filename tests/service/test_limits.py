"""Who may ask, how long and how much; what is counted, traced and kept."""

from __future__ import annotations

import asyncio
import http.server
import json
import logging
import re
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from modelyard.errors import UsageError
from modelyard.predictions.files import read_labelled
from modelyard.predictions.log import PredictionLog, read_log
from modelyard.serving import tracing
from modelyard.serving.app import create_app
from modelyard.serving.aside import Aside
from modelyard.serving.logs import LONGEST, JsonLines, TextLines
from modelyard.serving.settings import Limits, ServingSettings, variable
from tests.service.test_streaming import listening
from tests.standin.listening import Listening

pytestmark = pytest.mark.timed

JSON = {"content-type": "application/json"}


def slowly(monkeypatch, host, seconds: float) -> None:
    """Makes predictions take so long from now on."""
    inner = host.predict
    monkeypatch.setattr(host, "predict", lambda run, xs: time.sleep(seconds) or inner(run, xs))


def test_with_a_token_only_health_and_metrics_are_open(line, payments):
    app = create_app(line, None, Limits(token="s3cret"))
    with TestClient(app) as client:
        for path in ("/livez", "/healthz", "/readyz", "/metrics", "/v2/health/live"):
            assert client.get(path).status_code == 200
        for path in ("/package", "/", "/openapi.json", "/v2", "/nowhere"):
            assert client.get(path).status_code == 401
        for given in (
            "",
            "Bearer",
            "Bearer wrong",
            "Basic s3cret",
            "s3cret",
            "Bearer s3cret2",
            "Bearer \xe9",
            "Basic OnMzY3JldDI=",
            "Basic czNjcmV0",
            "Basic \xe9",
        ):
            refused = client.post(
                "/predict", json={"x": 1}, headers={"authorization": given.encode("latin-1")}
            )
            assert refused.status_code == 401
            challenges = refused.headers.get_list("www-authenticate")
            assert challenges == ["Bearer", 'Basic realm="modelyard"']
        for given in ("Bearer s3cret", "bearer s3cret", "Bearer  s3cret "):
            assert (
                client.post("/predict", json={"x": 1}, headers={"authorization": given}).status_code
                == 200
            )
        for user in ("", "anna"):
            page = client.get("/", auth=(user, "s3cret"))
            assert (page.status_code, "<html" in page.text) == (200, True)


def test_the_token_comes_from_a_file_and_never_shows(line_path, tmp_path):
    file = tmp_path / "token"
    file.write_text("from-a-file\n")
    settings = ServingSettings(package=line_path, token_file=file)
    assert settings.limits().token == "from-a-file"  # noqa: S105
    assert "from-a-file" not in repr(settings.limits())
    assert "hidden" not in repr(ServingSettings(package=line_path, token="hidden"))
    for content in (None, " \n"):
        bad = tmp_path / "bad"
        bad.write_text(content) if content else None
        with pytest.raises(UsageError, match="MODELYARD_TOKEN_FILE"):
            ServingSettings(package=line_path, token_file=bad).secret()


def test_a_setting_that_is_not_allowed_is_named(line_path):
    good = {"MODELYARD_PACKAGE": str(line_path)}
    assert ServingSettings.from_environment(good | {"MODELYARD_SHARE": "0.5"}).share == 0.5
    for name, value in {
        "MODELYARD_SHARE": "2",
        "MODELYARD_QUEUE": "0",
        "MODELYARD_LOG_FORMAT": "xml",
    }.items():
        with pytest.raises(UsageError, match=f"{name} = '{value}'"):
            ServingSettings.from_environment(good | {name: value})


def test_the_documented_variables_are_those_that_are_read():
    documented = set(re.findall(r"`(MODELYARD_\w+)", Path("docs/serving.md").read_text()))
    assert {variable(name) for name in ServingSettings.model_fields} == documented


def test_an_answer_that_does_not_come_in_time_is_a_504(line, monkeypatch):
    with listening(create_app(line, None, Limits(deadline=5.0))) as address:
        slowly(monkeypatch, line.host, 1.0)
        httpx.post(
            f"{address}/predict", json={"x": 1.0}
        )  # from now on the service knows that it takes long
        start = time.monotonic()
        reply = httpx.post(f"{address}/predict", json={"x": 1.0}, headers={"x-deadline-ms": "100"})
        assert (reply.status_code, "in time" in reply.json()["error"]) == (504, True)
        assert time.monotonic() - start < 0.8
        for wrong in ("soon", "-1", "0", "1.5"):
            assert (
                httpx.post(
                    f"{address}/predict", json={"x": 1}, headers={"x-deadline-ms": wrong}
                ).status_code
                == 400
            )


def test_a_body_that_does_not_come_holds_nothing_up(line):
    with listening(create_app(line, None, Limits(deadline=0.2))) as address:
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as slow:
            head = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n"
            slow.sendall(head + b'{"x"')
            assert httpx.post(f"{address}/predict", json={"x": 1.0}).status_code == 200
            reply = slow.recv(1_000)
            assert reply.startswith(b"HTTP/1.1 408")
            assert b"connection: close" in reply


def test_more_than_can_wait_are_refused_with_when_to_come_back(line, monkeypatch):
    with listening(create_app(line, None, Limits(queue=2, batch_rows=1))) as address:
        slowly(monkeypatch, line.host, 0.2)
        httpx.post(
            f"{address}/predict", json={"x": 1.0}
        )  # from now on the service knows that it takes long
        replies: list[httpx.Response] = []
        ask = lambda: replies.append(httpx.post(f"{address}/predict", json={"x": 1.0}, timeout=30))  # noqa: E731
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        codes = sorted(reply.status_code for reply in replies)
        assert codes.count(200) >= 3
        assert codes.count(503) >= 2
        assert set(codes) == {200, 503}
        assert all(
            int(reply.headers["retry-after"]) > 0 for reply in replies if reply.status_code == 503
        )
        assert httpx.post(f"{address}/predict", json={"x": 1.0}).status_code == 200


def test_where_too_many_wait_a_body_is_refused_unread(line, monkeypatch):
    with listening(create_app(line, None, Limits(queue=1, batch_rows=1))) as address:
        slowly(monkeypatch, line.host, 0.5)
        ask = lambda: httpx.post(f"{address}/predict", json={"x": 1.0}, timeout=30)  # noqa: E731
        ask()
        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.25)
        assert (
            httpx.post(f"{address}/predict", content=b"not even JSON", headers=JSON).status_code
            == 503
        )
        for thread in threads:
            thread.join()
        assert (
            httpx.post(f"{address}/predict", content=b"not even JSON", headers=JSON).status_code
            == 400
        )


def test_a_service_behind_its_sockets_refuses_unread_and_goes_on_telling_its_health(line):
    service = create_app(line, None)
    with TestClient(service) as client:
        service.lag.note(60.0)
        service.lag.note(60.0)
        refused = client.post("/predict", content=b"not even JSON", headers=JSON)
        assert (refused.status_code, int(refused.headers["retry-after"])) == (503, 60)
        assert refused.headers["x-modelyard-package"] == line.info.version
        assert refused.headers["x-request-id"]
        assert client.get("/livez").status_code == client.get("/readyz").status_code == 200
        assert "/predict" not in client.get("/metrics").text
        assert 'code="503"' in client.get("/metrics").text


def test_the_same_body_is_answered_from_the_cache_and_logged_again(line, tmp_path):
    log = PredictionLog(tmp_path, line)
    with TestClient(create_app(line, log, Limits(cache_bytes=60))) as client:
        seen = [
            client.post("/predict", json={"x": x}).headers.get("x-cache")
            for x in (1.0, 1.0, 2.0, 3.0, 3.0, 1.0)
        ]
        assert (
            client.post("/predict", json={"x": 1.0}).json()
            == line.predict([{"x": 1.0}])[0].model_dump()
        )
    assert seen == [None, "hit", None, None, "hit", None], "60 bytes hold two answers at most"
    assert sorted(read_log(tmp_path)["x"]) == [1.0, 1.0, 1.0, 1.0, 2.0, 3.0, 3.0]


def test_labels_that_come_later_are_joined_by_id(line, tmp_path):
    log = PredictionLog(tmp_path, line)
    with TestClient(create_app(line, log)) as client:
        for name in ("a", "b"):
            client.post("/predict", json={"x": 1.0}, headers={"x-request-id": name})
        client.post("/predict", json=[{"x": 2.0}, {"x": 3.0}], headers={"x-request-id": "c"})
        labels = [
            {"id": "c-1", "label": 7},
            {"id": "a", "label": 4.5},
            {"id": "unknown", "label": 1},
        ]
        reply = client.post("/feedback", json=[{"id": "a", "label": 3.5}, *labels])
        names = ["a", *(label["id"] for label in labels)]
        assert reply.json() == {
            "taken": 3,
            "labels": [
                {"id": name, "status": "taken" if place else "replaced"}
                for place, name in enumerate(names)
            ],
        }
        assert client.post("/feedback", json={"id": "a", "label": 5.0}).status_code == 202
        for bad in (
            {"id": "a"},
            {"id": "a b", "label": 1},
            {"id": "a", "label": [1]},
            {"id": "a", "label": None},
        ):
            assert client.post("/feedback", json=bad).status_code == 400
    joined = read_labelled(tmp_path)
    assert dict(zip(joined["_id"], joined["_label"], strict=True)) == {"a": 5.0, "c-1": 7.0}
    assert dict(zip(joined["_id"], joined["x"], strict=True)) == {"a": 1.0, "c-1": 3.0}
    assert read_labelled(tmp_path, since=datetime.now(UTC) + timedelta(hours=1)) == {}
    with TestClient(create_app(line, None)) as client:
        assert client.post("/feedback", json={"id": "a", "label": 1}).status_code == 404


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"id": "a"}, "label"),
        ({"id": "a b", "label": 1}, "id"),
        ({"id": "a", "label": "inf"}, "label"),
        ({"id": "a", "label": 1, "weight": 2}, "weight"),
    ],
)
def test_a_list_with_a_malformed_label_is_not_taken_at_all(line, tmp_path, bad, field):
    log = PredictionLog(tmp_path, line)
    with TestClient(create_app(line, log)) as client:
        client.post("/predict", json={"x": 1.0}, headers={"x-request-id": "a"})
        reply = client.post("/feedback", json=[{"id": "a", "label": 7}, bad])
        assert reply.status_code == 400
        assert (reply.json()["index"], reply.json()["field"]) == (1, field)
        assert repr(field) in reply.json()["error"]
    assert read_labelled(tmp_path) == {}


def test_a_list_that_does_not_fit_into_the_log_is_not_taken_at_all(line, tmp_path):
    log = PredictionLog(tmp_path, line, capacity_rows=3)
    labels = [{"id": f"r-{number}", "label": number} for number in range(4)]
    with TestClient(create_app(line, log)) as client:
        reply = client.post("/feedback", json=labels)
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "5")
        assert "none of the labels was taken" in reply.json()["error"]
        assert client.post("/feedback", json=labels[:3]).json()["taken"] == 3
    assert log.written == 3


def test_numbers_and_texts_may_be_labels_of_one_list(line, tmp_path):
    log = PredictionLog(tmp_path, line)
    with TestClient(create_app(line, log)) as client:
        client.post("/predict", json=[{"x": 1.0}, {"x": 2.0}], headers={"x-request-id": "a"})
        labels = [{"id": "a-0", "label": 1}, {"id": "a-1", "label": "Zoë"}]
        assert client.post("/feedback", json=labels).json()["taken"] == 2
    joined = read_labelled(tmp_path)
    found = dict(zip(joined["_id"], map(str, joined["_label"]), strict=True))
    assert found == {"a-0": "1.0", "a-1": "Zoë"}


def test_a_share_of_the_requests_is_logged_whole(line, tmp_path):
    log = PredictionLog(tmp_path, line, sample=0.5)
    with TestClient(create_app(line, log)) as client:
        for number in range(200):
            client.post(
                "/predict", json=[{"x": 1.0}, {"x": 2.0}], headers={"x-request-id": f"r{number}"}
            )
    names = read_log(tmp_path)["_id"]
    assert 120 < len(names) < 280
    assert len({name.split("-")[0] for name in names}) * 2 == len(names)
    assert log.dropped == 0


def test_a_log_may_lie_in_an_object_store(line):
    import fsspec

    log = PredictionLog("memory://bucket/log", line)
    with TestClient(create_app(line, log)) as client:
        client.post("/predict", json={"x": 1.0})
    assert (log.written, log.dropped) == (1, 0)
    files = fsspec.filesystem("memory").glob("/bucket/log/date=*/hour=*/*.parquet")
    assert len(files) == 1


class Collector(http.server.BaseHTTPRequestHandler):
    """Keeps the bodies that are posted to it."""

    bodies: list[tuple[str, bytes]]

    def do_POST(self):
        self.bodies.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_each_request_is_a_span_where_a_collector_is_named(line, monkeypatch):
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    handler = type("Mine", (Collector,), {"bodies": []})
    with Listening(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        app = create_app(line, None)
        app.spans = tracing.configured()
        parent = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
        with TestClient(app) as client:
            client.post(
                "/predict",
                json={"x": 1.0},
                headers={"traceparent": parent, "x-request-id": "traced"},
            )
            client.post("/predict", json={})
        app.spans.close()
        server.shutdown()
    (path, body), *_ = handler.bodies
    assert path == "/v1/traces"
    sent = ExportTraceServiceRequest.FromString(body)
    spans = [
        span for group in sent.resource_spans for scope in group.scope_spans for span in scope.spans
    ]
    told = [
        {one.key: one.value.string_value or one.value.int_value for one in span.attributes}
        for span in spans
    ]
    assert spans[0].trace_id.hex() == "0123456789abcdef" * 2
    assert spans[0].name == "POST predict"
    assert (
        told[0] | {"modelyard.request": "traced", "modelyard.package": line.info.version} == told[0]
    )
    assert [one["http.response.status_code"] for one in told] == [200, 400]


def test_without_a_collector_nothing_is_traced(monkeypatch):
    for name in tracing.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert tracing.configured() is None


def test_a_line_of_the_log_is_json_with_its_traceback():
    try:
        raise ValueError("no\nnewline")
    except ValueError:
        record = logging.getLogger("x").makeRecord(
            "x", logging.ERROR, "f", 1, "failed %s", ("it",), None
        )
        import sys

        record.exc_info = sys.exc_info()
    text = JsonLines().format(record)
    assert "\n" not in text
    line = json.loads(text)
    assert (line["level"], line["message"], "ValueError" in line["traceback"]) == (
        "error",
        "failed it",
        True,
    )


def test_a_line_that_had_to_be_cut_is_still_json():
    try:
        raise ValueError("x" * 3 * LONGEST)
    except ValueError:
        record = logging.getLogger("x").makeRecord(
            "x", logging.ERROR, "f", 1, 'failed "%s"', ("\u2028" * LONGEST,), sys.exc_info()
        )
    text = JsonLines().format(record)
    line = json.loads(text)
    assert len(text) <= 8 * LONGEST, "six characters for each that is escaped"
    assert line["message"].startswith('failed "')
    assert "ValueError" in line["traceback"]
    assert line["message"].endswith("…")


def test_no_path_nor_exception_can_forge_a_line_of_the_log(line, caplog):
    app = create_app(line, None)
    app.logs_access = True
    forged = "/nowhere%0aERROR:%20forged%0d%1b[2J%e2%80%a8%c2%85x"
    with TestClient(app) as client, caplog.at_level(logging.INFO, "modelyard.serving.access"):
        client.get(forged)
    record = caplog.records[-1]
    assert "\n" in record.getMessage(), "the path itself holds it"
    for form in (TextLines(), JsonLines()):
        text = form.format(record)
        assert len(text.splitlines()) == 1
        assert not set(text) & {"\n", "\r", "\x1b", "\u2028", "\x85"}
    try:
        raise ValueError("no\nERROR: forged")
    except ValueError:
        record = logging.getLogger("x").makeRecord(
            "x", logging.ERROR, "f", 1, "failed", (), sys.exc_info()
        )
    lines = TextLines().format(record).splitlines()
    assert lines[0] == "ERROR: failed"
    assert all(line.startswith("    ") for line in lines[1:])


def test_each_request_is_a_line_where_that_is_asked(line, caplog):
    app = create_app(line, None)
    app.logs_access = True
    with TestClient(app) as client, caplog.at_level(logging.INFO, "modelyard.serving.access"):
        client.post("/predict", json={"x": 1.0}, headers={"x-request-id": "told"})
    told = json.loads(JsonLines().format(caplog.records[-1]))
    expected = {"id": "told", "route": "predict", "status": 200, "package": line.info.version}
    assert told | expected == told
    assert told["ms"] > 0


def test_batches_queue_and_roles_are_counted(line, tmp_path):
    with TestClient(create_app(line, PredictionLog(tmp_path, line))) as client:
        client.post("/predict", json=[{"x": 1.0}] * 5)
        text = client.get("/metrics").text
    version = line.info.version
    assert f'modelyard_batch_rows_bucket{{le="8.0",package="{version}"}}' in text
    assert f'modelyard_queue_rows{{package="{version}"}} 0.0' in text
    assert f'modelyard_serving{{package="{version}",role="champion"}} 1.0' in text


def test_reasons_and_raw_tensors_wait_in_a_bounded_line_too():
    async def run() -> list[object]:
        aside, soon = Aside(1, 2), time.perf_counter() + 30
        many = [asyncio.create_task(aside.run(lambda: time.sleep(0.1), soon)) for _ in range(6)]
        return [
            *await asyncio.gather(*many, return_exceptions=True),
            await aside.run(lambda: 7, soon),
        ]

    *found, after = asyncio.run(run())
    assert found.count(None) == 3
    assert {one.status for one in found if one is not None} == {503}
    assert after == 7


def test_late_work_is_told_as_late_and_keeps_its_thread_to_its_end():
    working: list[int] = []
    most: list[int] = []

    def work(seconds: float) -> None:
        working.append(1)
        most.append(len(working))
        time.sleep(seconds)
        working.pop()

    async def run() -> list[object]:
        aside = Aside(1, 10)
        first = asyncio.create_task(aside.run(lambda: work(0.3), time.perf_counter() + 0.05))
        found = await asyncio.gather(first, return_exceptions=True)
        return [*found, await aside.run(lambda: work(0.0), time.perf_counter() + 30)]

    late, after = asyncio.run(run())
    assert (late.status, after) == (504, None)
    assert max(most) == 1


@pytest.mark.parametrize(
    ("soft", "hard", "expected"), [(64, 500, 500), (64, 4_000, 1_000), (2_000, 4_000, 2_000)]
)
def test_a_container_that_begins_with_few_files_may_open_more(soft, hard, expected):
    asked = (
        f"import resource as r; r.setrlimit(r.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        "from modelyard.serving.server import allow_connections; allow_connections(1_000)\n"
        "print(r.getrlimit(r.RLIMIT_NOFILE))"
    )
    told = subprocess.run(
        [sys.executable, "-c", asked], check=True, capture_output=True, text=True
    ).stdout
    assert told.strip() == str((expected, hard))
