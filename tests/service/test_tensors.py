"""The Open Inference Protocol: with Triton's own client, unchanged, and by hand."""

from __future__ import annotations

import contextlib
import json
import struct

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

from modelyard.predictions.log import PredictionLog, read_log
from modelyard.serving.app import create_app
from modelyard.serving.codec import decode
from modelyard.serving.problems import Refusal
from tests.service.test_streaming import listening, logged

LINE, PAYMENTS = "tests-toy-family-line", "tests-service-payments-payments"
X = np.array([[1.0], [-2.0], [0.5]], np.float32)


@pytest.fixture(scope="module")
def served(line, tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    with listening(create_app(line, PredictionLog(folder, line, seconds=0.05))) as address:
        yield address, folder


@pytest.fixture(scope="module")
def client(served):
    client = triton.InferenceServerClient(served[0].removeprefix("http://"))
    yield client
    client.close()


@pytest.fixture(scope="module")
def payments_client(payments):
    with listening(create_app(payments, None)) as address:
        client = triton.InferenceServerClient(address.removeprefix("http://"))
        yield client
        client.close()


def tensor(name: str, array: np.ndarray, kind: str, *, binary: bool = True) -> triton.InferInput:
    given = triton.InferInput(name, list(array.shape), kind)
    given.set_data_from_numpy(array, binary_data=binary)
    return given


def test_the_server_and_its_models_tell_what_they_are(client, line):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    for name in (LINE, f"{LINE}.line"):
        assert client.is_model_ready(name)
        assert client.is_model_ready(name, line.info.version)
        assert client.get_model_metadata(name)["versions"] == [line.info.version]
    told = client.get_model_metadata(f"{LINE}.line")
    assert told["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}]
    assert told["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [-1, 1]}]
    assert not client.is_model_ready("another")
    assert not client.is_model_ready(LINE, "2")


@pytest.mark.parametrize("into", [True, False])
@pytest.mark.parametrize("out", [True, False])
def test_a_graph_gives_the_runtimes_own_tensors(client, line, into, out):
    expected = line.run("line", {"x": X})["y"]
    wanted = [triton.InferRequestedOutput("y", binary_data=out)]
    got = client.infer(
        f"{LINE}.line", [tensor("x", X, "FP32", binary=into)], outputs=wanted, request_id="mine"
    )
    assert np.array_equal(got.as_numpy("y"), expected)
    assert got.get_response()["id"] == "mine"
    assert got.get_response()["model_version"] == line.info.version


def test_without_a_wish_all_outputs_come(client, line):
    got = client.infer(f"{LINE}.line", [tensor("x", X, "FP32")], model_version=line.info.version)
    assert np.array_equal(got.as_numpy("y"), line.run("line", {"x": X})["y"])


def test_json_documents_are_answered_as_predict_answers_them_and_logged(client, line, served):
    documents = np.array([json.dumps({"x": value}).encode() for value in (1.0, 2.0)], object)
    got = client.infer(
        LINE, [tensor("request", documents, "BYTES")], headers={"x-request-id": "typed"}
    )
    answers = [json.loads(document) for document in got.as_numpy("response")]
    assert answers == [one.model_dump() for one in line.predict([{"x": 1.0}, {"x": 2.0}])]
    assert got.as_numpy("y").tolist() == [answer["y"] for answer in answers]
    assert len(logged(served[1], "typed")) == 2


def test_fields_may_come_as_tensors_of_their_own(payments_client, payments):
    inputs = [
        tensor("amount", np.array([3.0, 4.0]), "FP64"),
        tensor("country", np.array([b"FR", b"IT"], object), "BYTES", binary=False),
    ]
    got = payments_client.infer(
        PAYMENTS, inputs, outputs=[triton.InferRequestedOutput("risk score")]
    )
    bodies = [{"amount": 3.0, "country": "FR"}, {"amount": 4.0, "country": "IT"}]
    assert got.as_numpy("risk score").tolist() == [
        one.risk_score for one in payments.predict(bodies)
    ]
    assert got.as_numpy("response") is None
    told = {
        one["name"]: one["datatype"]
        for one in payments_client.get_model_metadata(PAYMENTS)["inputs"]
    }
    assert told == {"amount": "FP64", "country": "BYTES", "card": "BYTES", "card country": "BYTES"}


@pytest.mark.parametrize("which", ["line", "payments"])
def test_what_the_metadata_declares_can_be_sent_as_declared(which, request):
    package = request.getfixturevalue(which)
    name = {"line": LINE, "payments": PAYMENTS}[which]
    body = package.golden()["request"]
    with listening(create_app(package, None)) as address, closing(address) as client:
        declared = client.get_model_metadata(name)["inputs"]
        inputs = [
            tensor(one["name"], filled(one["datatype"], body.get(one["name"])), one["datatype"])
            for one in declared
        ]
        got = client.infer(name, inputs)
        answered = [json.loads(document) for document in got.as_numpy("response")]
    assert set(body) <= {one["name"] for one in declared}
    assert len(answered) == 1


@contextlib.contextmanager
def closing(address: str):
    client = triton.InferenceServerClient(address.removeprefix("http://"))
    try:
        yield client
    finally:
        client.close()


def filled(kind: str, value) -> np.ndarray:
    """One value of a declared datatype: the example's own, or one that any client could send."""
    if kind == "BYTES":
        return np.array(["" if value is None else str(value)], object)
    return np.array([0 if value is None else value], triton_to_np_dtype(kind))


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_tritons_client_may_compress_what_it_sends(client, line, algorithm):
    got = client.infer(
        f"{LINE}.line", [tensor("x", X, "FP32")], request_compression_algorithm=algorithm
    )
    assert np.array_equal(got.as_numpy("y"), line.run("line", {"x": X})["y"])


@pytest.mark.parametrize(("dtype", "kind"), [(np.float16, "FP16"), (np.float64, "FP64")])
def test_floats_of_another_width_are_cast_to_the_graphs_own(client, line, dtype, kind):
    got = client.infer(f"{LINE}.line", [tensor("x", X.astype(dtype), kind)])
    assert np.array_equal(got.as_numpy("y"), line.run("line", {"x": X})["y"])


@pytest.mark.parametrize("binary", [True, False])
def test_a_number_too_large_for_the_graphs_floats_is_refused(client, binary):
    with pytest.raises(InferenceServerException, match=r"1e\+39 is too large for FP32"):
        client.infer(f"{LINE}.line", [tensor("x", np.array([[1e39]]), "FP64", binary=binary)])


def test_a_service_about_to_stop_is_not_ready_in_this_protocol_either(line):
    app = create_app(line, None)
    with listening(app) as address, closing(address) as client:
        assert (client.is_server_ready(), client.is_model_ready(LINE)) == (True, True)
        assert httpx.get(f"{address}/v2/health/live").json() == {"live": True}
        assert httpx.get(f"{address}/v2/health/ready").json() == {"ready": True}
        app.draining = True
        assert (client.is_server_live(), client.is_server_ready(), client.is_model_ready(LINE)) == (
            True,
            False,
            False,
        )
        assert httpx.get(f"{address}/v2/health/ready").json() == {"ready": False}
        assert httpx.get(f"{address}/readyz").status_code == 503


@pytest.mark.parametrize(
    ("model", "inputs", "words"),
    [
        (
            f"{LINE}.line",
            [tensor("x", X.astype(np.int64), "INT64")],
            r"FP32 of shape \[-1, 1\], seen INT64",
        ),
        (f"{LINE}.line", [tensor("x", X.T.copy(), "FP32")], r"seen FP32 of shape \[1, 3\]"),
        (f"{LINE}.line", [tensor("z", X, "FP32")], "the graph takes the tensors x; seen z"),
        (LINE, [tensor("request", np.array([b"{"], object), "BYTES")], "must hold JSON documents"),
        (LINE, [tensor("x", np.array([b"many"], object), "BYTES")], "'x' must be a number"),
        (LINE, [tensor("q", np.array([1.0]), "FP64")], "is missing"),
        (LINE, [tensor("x", np.zeros(0), "FP64")], "empty"),
        (LINE, [tensor("x", np.array([np.nan]), "FP64")], "'x' must be a number, seen null"),
        (
            "another",
            [tensor("x", X, "FP32")],
            "allowed: tests-toy-family-line, tests-toy-family-line.line",
        ),
    ],
)
def test_what_does_not_fit_is_told(client, model, inputs, words):
    with pytest.raises(InferenceServerException, match=words):
        client.infer(model, inputs)


def infer(address: str, body: bytes | dict, length: str | None = None) -> httpx.Response:
    headers = {"inference-header-content-length": length} if length is not None else {}
    content = json.dumps(body) if isinstance(body, dict) else body
    return httpx.post(f"{address}/v2/models/{LINE}.line/infer", content=content, headers=headers)


def one(**fields) -> dict:
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1.0]} | fields]}


HEAD = json.dumps(one(data=None, parameters={"binary_data_size": 4})).encode()


def test_bytes_behind_the_json_are_read(served, line):
    reply = infer(served[0], HEAD + struct.pack("<f", 3.0), str(len(HEAD)))
    (output,) = reply.json()["outputs"]
    assert (
        output["data"]
        == line.run("line", {"x": np.array([[3.0]], np.float32)})["y"].ravel().tolist()
    )


@pytest.mark.parametrize(
    ("kind", "values"),
    [("UINT64", [2**63 + 1, 1]), ("UINT64", [2**64 - 1, 0]), ("INT64", [2**53 + 1, -(2**63)])],
)
def test_whole_numbers_keep_every_digit(kind, values):
    """numpy makes floats of a list that holds both a large and a small one."""
    body = {"inputs": [{"name": "x", "datatype": kind, "shape": [2], "data": values}]}
    assert decode(json.dumps(body).encode(), None).inputs["x"].tolist() == values


@pytest.mark.parametrize(
    ("body", "length", "words"),
    [
        (b"{", None, "not JSON"),
        ({"inputs": []}, None, "inputs"),
        (one(datatype="FP31"), None, "'FP31' is unknown"),
        (one(shape=[2, 1]), None, "has 2 values, the data 1"),
        (one(shape=[-1, -1]), None, "negative"),
        (one(shape=[10**9, 10**9]), None, "values, the data 1"),
        (one(data=None), None, "neither data nor"),
        (one(data=["a"]), None, "not numbers"),
        (one(data=[[1], [1, 2]]), None, "not FP32"),
        (one(datatype="INT8", data=[300]), None, "out of range"),
        (one(datatype="UINT8", data=[-1]), None, "out of range"),
        (one(datatype="UINT64", data=[2**64]), None, "out of range"),
        (one(data=[1e39]), None, "1e+39 is too large for FP32"),
        (one(datatype="FP16", data=[70_000]), None, "70000 is too large for FP16"),
        (one(datatype="INT64", data=[1.5]), None, "another type"),
        (one(datatype="BYTES", data=[1]), None, "not texts"),
        (one() | {"outputs": [{"name": "q"}]}, None, "output 'q' is unknown; allowed: y"),
        (HEAD + b"abc", str(len(HEAD)), "FP32"),
        (HEAD, str(len(HEAD)), "has 1 values, the data 0"),
        (HEAD, "99999", "content-length must be from 0"),
        (HEAD, "-1", "content-length must be from 0"),
    ],
)
def test_a_broken_request_is_a_400_that_says_why(served, body, length, words):
    reply = infer(served[0], body, length)
    assert reply.status_code == 400, reply.text
    assert words in reply.json()["error"]


def test_a_path_that_is_not_there_is_a_404(served):
    for path in (
        "v2/models",
        f"v2/models/{LINE}/infer/x",
        f"v2/models/{LINE}/config",
        f"v2/models/{LINE}/versions//ready",
        "v2/nothing",
        "v2x",
    ):
        assert httpx.get(f"{served[0]}/{path}").status_code == 404
    assert httpx.get(f"{served[0]}/v2/models/{LINE}/infer").status_code == 405
    assert read_log(served[1])


def test_a_tensor_that_stands_there_twice_and_bytes_of_none_are_refused():
    one = {"name": "x", "datatype": "FP32", "shape": [1], "data": [1.0]}
    with pytest.raises(Refusal, match="tensor 'x' stands there twice"):
        decode(json.dumps({"inputs": [one, one | {"data": [2.0]}]}).encode(), None)
    raw = {"name": "x", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}}
    head = json.dumps({"inputs": [raw]}).encode()
    size = str(len(head)).encode()
    assert decode(head + struct.pack("<f", 1.5), size).inputs["x"].tolist() == [1.5]
    with pytest.raises(Refusal, match="4 bytes follow those of the tensors"):
        decode(head + struct.pack("<ff", 1.5, 2.5), size)
