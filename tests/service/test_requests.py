"""What the app answers, over real packages, in process."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from starlette.testclient import TestClient

from modelyard.families.recommender.requests import Query
from modelyard.home import slug
from modelyard.serving.app import create_app
from modelyard.serving.control import Feedback
from modelyard.serving.problems import Reader, Refusal
from modelyard.serving.settings import Limits

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def client(payments) -> Iterator[TestClient]:
    with TestClient(create_app(payments, None, Limits(body_bytes=2_000, examples=5))) as client:
        yield client


@pytest.fixture(scope="module")
def line_client(line) -> Iterator[TestClient]:
    with TestClient(create_app(line, None)) as client:
        yield client


def post(client: TestClient, body: bytes | str, **headers: str):
    return client.post("/predict", content=body, headers=JSON | headers)


def test_one_example_gets_one_answer_that_is_the_packages_own(client, payments):
    body = payments.golden()["request"]
    reply = client.post("/predict", json=body)
    assert reply.status_code == 200
    assert (
        reply.json()
        == {"risk score": payments.predict([body])[0].risk_score}
        == payments.golden()["response"]
    )


def test_a_list_gets_a_list_in_order(client, payments):
    bodies = [{"amount": 5.0}, {"amount": 1.0}, {"amount": 3.0}]
    expected = [answer.risk_score for answer in payments.predict(bodies)]
    assert [
        answer["risk score"] for answer in client.post("/predict", json=bodies).json()
    ] == expected
    assert client.post("/predict", json=bodies[:1]).json() == [{"risk score": expected[0]}]


def test_every_answer_carries_the_package_and_a_request_id(client):
    for reply in (
        post(client, '{"amount": 1}'),
        post(client, "{"),
        client.get("/nowhere"),
        client.get("/"),
    ):
        assert reply.headers["x-modelyard-package"] == "0123456789ab"
        assert re.fullmatch("[0-9a-f]{32}", reply.headers["x-request-id"])
    assert (
        post(client, '{"amount": 1}', **{"x-request-id": "mine-7"}).headers["x-request-id"]
        == "mine-7"
    )
    assert post(client, '{"amount": 1}', **{"x-request-id": "a b"}).headers["x-request-id"] != "a b"


@pytest.mark.parametrize(
    ("body", "field", "index", "words"),
    [
        ("{}", "amount", None, ["missing", "a number from 0"]),
        ('{"amount": "many"}', "amount", None, ["a number", '"many"']),
        ('{"amount": null}', "amount", None, ["a number", "null"]),
        ('{"amount": -1}', "amount", None, ["from 0", "seen -1"]),
        ('{"amount": NaN}', "amount", None, ["finite"]),
        ('[{"amount": 1}, {"amount": -1e999}]', "amount", 1, ["finite"]),
        ('{"amount": "nan"}', "amount", None, ["a number"]),
        ('{"amount": 1, "amuont": 2}', "amuont", None, ["unknown", "Did you mean 'amount'"]),
        ('{"amount": 1, "country": "UK"}', "country", None, ['"DE", "FR", "IT"', '"UK"']),
        ('{"amount": 1, "card": "12345678901234567890"}', "card", None, ["at most 19 characters"]),
        ('{"amount": 1, "card country": 4}', "card country", None, ["a string or null", "seen 4"]),
        ('[{"amount": 1}, {"amount": 2}, {}]', "amount", 2, ["missing"]),
        ('[{"amount": 1}, {"amount": 13}]', "amount", 1, ["field 'amount': 13 is refused"]),
        ('[{"amount": 1}, 7]', None, 1, ["an object with the fields amount", "seen 7"]),
        ("7", None, None, ["an object"]),
        ("[]", None, None, ["empty", "1 to 5"]),
        (json.dumps([{"amount": 1}] * 6), None, None, ["6 examples", "1 to 5"]),
        ("", None, None, ["empty"]),
        ('{"amount": 1', None, None, ["not JSON", "line 1"]),
        (b'{"amount": \xff}', None, None, ["not JSON"]),
        ("[" * 900, None, None, ["not JSON"]),
        ('{"amount": ' + "9" * 1500 + "}", "amount", None, ["a number"]),
    ],
)
def test_a_bad_body_is_refused_with_its_field_and_what_is_allowed(
    client, body, field, index, words
):
    reply = post(client, body)
    problem = reply.json()
    assert reply.status_code == 400
    assert (problem.get("field"), problem.get("index")) == (field, index)
    assert [word for word in words if word not in problem["error"]] == []
    assert "\n" not in problem["error"]


def test_several_problems_are_all_listed(client):
    problem = post(client, '[{"amount": -1, "country": "UK"}, {"amount": 1}, {"count": 1}]').json()
    seen = [(one["index"], one["field"]) for one in problem["errors"]]
    assert seen == [(0, "amount"), (0, "country"), (2, "amount"), (2, "count")]
    assert problem["error"] == problem["errors"][0]["error"]


def test_a_number_that_overflows_the_model_is_refused_not_answered_with_null(line_client):
    reply = post(line_client, '[{"x": 1}, {"x": 1e308}]')
    assert (reply.status_code, reply.json()["index"]) == (400, 1)
    assert "no finite answer" in reply.json()["error"]


def test_text_that_pydantic_reads_as_an_infinity_is_refused_with_its_field(line_client):
    problem = post(line_client, '[{"x": 1}, {"x": "inf"}]').json()
    assert problem == {"error": "field 'x' must be a finite number", "field": "x", "index": 1}


def test_a_body_over_the_limit_is_refused_with_413_declared_or_streamed(client):
    large = b'{"amount": 1}' + b" " * 3_000
    assert post(client, large).status_code == 413
    assert post(client, iter([large[:1_500], large[1_500:]])).status_code == 413  # type: ignore[arg-type]
    assert "2,000 bytes" in post(client, large).json()["error"]


@pytest.mark.parametrize(
    "media", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a"]
)
def test_another_content_type_is_refused_with_415(client, media):
    reply = client.post("/predict", content='{"amount": 1}', headers={"content-type": media})
    assert reply.status_code == 415
    assert "application/json" in reply.json()["error"]


@pytest.mark.parametrize("path", ["/predict", "/explain", "/feedback", "/v1/completions"])
def test_a_body_without_a_content_type_is_refused_since_a_browser_could_send_it_unasked(
    client, path
):
    request = client.build_request("POST", path, content=b'{"amount": 1}')
    assert "content-type" not in request.headers
    reply = client.send(request)
    assert reply.status_code in (404, 415)
    if reply.status_code == 415:
        assert "the content type is missing" in reply.text


def test_the_inference_protocol_takes_no_form_nor_what_a_page_sends_unasked(client):
    content = b'{"inputs": []}'
    for media in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=a",
    ):
        reply = client.post("/v2/models/x/infer", content=content, headers={"content-type": media})
        assert reply.status_code in (404, 415)
    name = client.get("/package").json()["family"]
    path = f"/v2/models/{slug(name)}/infer"
    assert (
        client.post(path, content=content, headers={"content-type": "text/plain"}).status_code
        == 415
    )
    assert (
        client.post(
            path, content=content, headers={"origin": "https://elsewhere.example"}
        ).status_code
        == 415
    )
    assert (
        client.post(path, content=content).status_code == 400
    )  # Triton's client sends no content type


@pytest.mark.parametrize(
    "body", ['{"amount": 1, "amount": 2}', '[{"amount": 1}, {"amount": 2, "amount": 2}]']
)
def test_a_name_that_stands_twice_in_an_object_is_refused(client, body):
    reply = post(client, body)
    assert reply.status_code == 400
    assert 'duplicate key "amount"' in reply.json()["error"]


def test_a_deadline_that_is_none_is_refused_with_what_was_seen(client):
    reply = post(client, '{"amount": 1}', **{"x-deadline-ms": "soon"})
    assert (reply.status_code, '"soon"' in reply.json()["error"]) == (400, True)


def test_a_long_name_or_value_is_cut_in_what_is_said_about_it(client):
    for body in ({"x" * 1_500: 1}, {"amount": "y" * 1_500}, {"country": ["z"] * 300}):
        reply = post(client, json.dumps(body))
        assert reply.status_code == 400
        assert len(reply.content) < 1_000


def test_json_is_read_under_its_other_names(client):
    for media in (
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "application/vnd.api+json",
    ):
        assert (
            client.post(
                "/predict", content='{"amount": 1}', headers={"content-type": media}
            ).status_code
            == 200
        )
    assert post(client, '{"amount": 1}', **{"content-encoding": "br"}).status_code == 415


@pytest.mark.parametrize(
    ("coding", "packed"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_a_compressed_body_is_read_and_its_unpacked_size_is_bounded(client, coding, packed):
    def sent(content: bytes):
        return client.post("/predict", content=content, headers={"content-encoding": coding} | JSON)

    assert sent(packed(b'{"amount": 1}')).json() == post(client, '{"amount": 1}').json()
    assert sent(b'{"amount": 1}').status_code == 400
    assert sent(packed(b'{"amount": 1}')[:-6]).status_code == 400
    assert sent(packed(b'{"amount": 1}') + b"rest").status_code == 400
    bomb = packed(b"[" + b" " * 2**25 + b"]")
    assert len(bomb) < 40_000
    assert sent(bomb).status_code == 413


def test_a_gzip_body_of_several_members_is_read_whole(client):
    packed = gzip.compress(b'{"amount"') + gzip.compress(b": 1}")
    reply = client.post("/predict", content=packed, headers={"content-encoding": "gzip"} | JSON)
    assert reply.json() == post(client, '{"amount": 1}').json()
    streams = zlib.compress(b'{"amount"') + zlib.compress(b": 1}")  # deflate has no members
    reply = client.post("/predict", content=streams, headers={"content-encoding": "deflate"} | JSON)
    assert reply.status_code == 400
    bomb = gzip.compress(b"[") + gzip.compress(b" " * 2**23) * 4
    reply = client.post("/predict", content=bomb, headers={"content-encoding": "gzip"} | JSON)
    assert reply.status_code == 413


def test_a_wrong_method_or_path_is_answered_in_json(client):
    wrong = client.get("/predict")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert "POST /predict" in client.get("/nowhere").json()["error"]
    assert client.delete("/nowhere").status_code == 404


def test_a_bug_in_a_family_is_500_with_the_request_id_and_no_detail(client, caplog):
    reply = post(client, '{"amount": 77777.25}')
    assert reply.status_code == 500
    assert reply.headers["x-request-id"] in reply.json()["error"]
    assert "a bug" not in reply.text
    assert "RuntimeError: a bug" in caplog.text


def test_explain_gives_the_familys_reasons(client):
    reply = client.post("/explain", json={"amount": 2})
    reasons = {
        "method": "line",
        "output": "risk",
        "base": 1.0,
        "contributions": {"amount": 4.0},
        "picture": None,
    }
    assert reply.json() == reasons
    assert client.post("/explain", json=[{"amount": 2}]).status_code == 400
    assert client.post("/explain", json={"amount": -2}).json()["field"] == "amount"


def test_explain_says_so_when_a_family_gives_no_reasons(line_client):
    reply = line_client.post("/explain", json={"x": 2})
    assert reply.status_code == 404
    assert "gives no reasons" in reply.json()["error"]


def test_package_tells_version_metrics_and_gate_but_no_config(client, payments):
    reply = client.get("/package")
    told = reply.json()
    assert (told["version"], told["metrics"]) == (payments.info.version, payments.info.metrics)
    assert told["gate"]["passed"]
    assert "hunter2" not in (payments.path / "package.json").read_text()
    assert "s3://***@bucket" not in reply.text
    assert "hunter2" not in reply.text + client.get("/openapi.json").text + client.get("/").text


def test_the_openapi_document_is_whole(client, payments):
    document = client.get("/openapi.json").json()
    text = json.dumps(document)
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert names
    assert names <= set(document["components"]["schemas"])
    post_ = document["paths"]["/predict"]["post"]
    assert {"200", "400", "413", "415"} <= set(post_["responses"])
    example = post_["requestBody"]["content"]["application/json"]["examples"]["one"]["value"]
    answer = post_["responses"]["200"]["content"]["application/json"]["examples"]["one"]["value"]
    assert client.post("/predict", json=example).json() == answer
    properties = document["components"]["schemas"]["Payment"]["properties"]
    assert properties["amount"]["description"] == "Euros"
    assert "/explain" in document["paths"]


def test_the_document_leaves_explain_out_when_there_are_no_reasons(line_client):
    assert "/explain" not in line_client.get("/openapi.json").json()["paths"]
    assert "Explain" not in line_client.get("/").text


def test_the_page_is_self_contained_escaped_and_holds_the_golden_example(client, payments):
    reply = client.get("/")
    assert reply.headers["content-type"].startswith("text/html")
    assert not re.search(r"""(src|href)=["'](https?:)?//""", reply.text)
    assert "risk of a payment &lt;b&gt;" in reply.text
    assert "risk of a payment <b>" not in reply.text
    area = re.search("<textarea[^>]*>(.*?)</textarea>", reply.text, re.DOTALL)
    assert json.loads(area[1].replace("&quot;", '"')) == payments.golden()["request"]
    assert "http://testserver/predict" in reply.text
    assert "default-src 'none'" in reply.headers["content-security-policy"]


def test_the_pages_policy_allows_its_own_script(client):
    import base64
    import hashlib

    reply = client.get("/")
    script = re.search("<script>(.*?)</script>", reply.text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in reply.headers["content-security-policy"]


def test_metrics_count_requests_by_code_and_answered_rows(line_client):
    def value(name: str) -> float:
        found = re.search(
            rf"^{re.escape(name)} (\S+)$", line_client.get("/metrics").text, re.MULTILINE
        )
        return float(found[1]) if found else 0.0

    good = 'modelyard_requests_total{code="200",package="0123456789ab",route="predict"}'
    bad = 'modelyard_requests_total{code="400",package="0123456789ab",route="predict"}'
    rows = 'modelyard_predictions_total{package="0123456789ab"}'
    before = [value(name) for name in (good, bad, rows)]
    post(line_client, '[{"x": 1}, {"x": 2}]')
    post(line_client, '{"y": 1}')
    assert [value(name) for name in (good, bad, rows)] == [
        before[0] + 1,
        before[1] + 1,
        before[2] + 2,
    ]
    assert 'modelyard_request_seconds_bucket{le="0.0005"' in line_client.get("/metrics").text


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=8,
)
fields = st.sampled_from(["amount", "country", "card", "card country", "card_country", "other"])
examples = st.dictionaries(fields, values, max_size=5)
QUIET = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def check(reply) -> None:
    assert reply.status_code in (200, 400, 413), reply.text
    body = reply.json()
    if reply.status_code != 200:
        assert body["error"]
        return
    for answer in body if isinstance(body, list) else [body]:
        assert np.isfinite(answer["risk score"])


@QUIET
@given(st.one_of(values, examples, st.lists(examples, max_size=7)))
def test_no_json_makes_it_fail(client, body):
    check(post(client, json.dumps(body)))


@QUIET
@given(st.data())
def test_no_mutation_of_a_good_body_makes_it_fail(client, payments, data):
    good = json.dumps(payments.golden()["request"]).encode()
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, len(good)))
    check(post(client, good[:start] + data.draw(st.binary(max_size=6)) + good[end:]))


@pytest.mark.parametrize(
    ("model", "body", "said"),
    [
        (Feedback, {"id": "x", "label": ["a", "b"]}, "field 'label' must be a number or a string"),
        (Query, {"user": 3.5}, "field 'user' must be an integer or a string"),
    ],
)
def test_a_field_of_several_types_is_one_problem_by_its_own_name(model, body, said):
    with pytest.raises(Refusal) as refused:
        Reader(model)([body], False)
    (problem,) = refused.value.problems
    assert problem.error.startswith(said)
    assert problem.field == said.split("'")[1]


class Drawn(BaseModel, extra="forbid"):
    nodes: list[str] = Field(min_length=1)
    edges: list[tuple[int, int]] = []


class Graph(BaseModel, extra="forbid"):
    graph: Drawn


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"nodes": []}, "'graph.nodes' must be a list of at least 1 items, seen []"),
        ({"nodes": [3]}, "'graph.nodes.0' must be a string, seen 3"),
        ({"nodes": ["a"], "edges": [[0]]}, "'graph.edges.0.1' is missing: it must be an integer"),
        ({"nodes": ["a"], "edges": [[0, "b"]]}, "'graph.edges.0.1' must be an integer, seen \"b\""),
    ],
)
def test_what_a_field_of_a_field_may_hold_is_said_as_of_a_field(body, said):
    with pytest.raises(Refusal) as refused:
        Reader(Graph)([{"graph": body}], many=False)
    assert refused.value.problems[0].error == f"field {said}"
