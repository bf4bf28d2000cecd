"""Whatever is sent, the service says what is wrong with it and goes on."""

from __future__ import annotations

import gc
import json
import random
import tempfile
from pathlib import Path

import httpx
import psutil
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import (
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)

from modelyard.contract.lab import Lab
from modelyard.family import names
from modelyard.packages.package import Package
from modelyard.predictions.log import PredictionLog
from modelyard.serving.app import create_app
from tests.service.test_streaming import listening

BODIES = 5_000
PIECES = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b'"',
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"1e308",
    b"null",
    b"true",
    b"9" * 400,
    b"[" * 300,
    b'{"a":' * 200,
    b"\x00",
    b"\xff\xfe",
    b"\\u0000",
    b"\\ud800",
    "ü".encode("utf-16"),
    "𝕏".encode(),
]
VALUES = [None, [], {}, "x" * 5_000, -1, 1e300, True, [[[]]], "\ud800"]
TYPES = [b"application/json"] * 6 + [
    b"text/plain",
    b"application/json; charset=utf-16",
    b"\xff",
    b"",
]


def mutated(chance: random.Random, good: bytes) -> bytes:
    """A good body, cut, doubled, grown, or with something in it that does not belong there."""
    start, end = sorted((chance.randrange(len(good) + 1), chance.randrange(len(good) + 1)))
    match chance.randrange(7):
        case 0:
            return good[:start]
        case 1:
            return good[:start] + chance.choice(PIECES) + good[end:]
        case 2:
            return good[:start] + chance.randbytes(chance.randrange(30)) + good[start:]
        case 3:
            return good * chance.randrange(2, 20)
        case 4:
            return b"[" + b",".join([good] * chance.randrange(40)) + b"]"
        case 5:
            value = json.loads(good)
            value[chance.choice(list(value))] = chance.choice(
                [None, [], {}, "x" * 5_000, -1, 1e300, True, [[[]]], "\ud800"]
            )
            return json.dumps(value).encode()
        case _:
            return chance.randbytes(chance.randrange(200))


def send(address: str, goods: list[tuple[str, bytes]], count: int, seed: int) -> dict[int, int]:
    """How often each status came."""
    chance, seen = random.Random(seed), dict[int, int]()
    with httpx.Client(base_url=address, timeout=30) as client:
        for _ in range(count):
            path, good = chance.choice(goods)
            headers = {"content-type": chance.choice(TYPES)}
            if path.startswith("/v2") and chance.random() < 0.3:
                headers["inference-header-content-length"] = str(chance.randrange(300)).encode()
            status = client.post(path, content=mutated(chance, good), headers=headers).status_code
            seen[status] = seen.get(status, 0) + 1
    return seen


def memory() -> int:
    """Kilobytes that this process has in memory."""
    gc.collect()
    return int(psutil.Process().memory_info().rss) // 1024


def test_no_body_of_five_thousand_makes_it_fail_grow_or_hang(payments, tmp_path):
    good = json.dumps(payments.golden()["request"]).encode()
    model = "tests-service-payments-payments"
    tensors = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1.0]}]}
    documents = {
        "inputs": [{"name": "request", "datatype": "BYTES", "shape": [1], "data": [good.decode()]}]
    }
    goods = [
        ("/predict", good),
        ("/predict", good),
        ("/explain", good),
        ("/feedback", b'{"id": "a", "label": 1.5}'),
        ("/admin/swap", b'{"package": "/nowhere"}'),
        ("/v1/completions", b'{"model": "a", "prompt": "b"}'),
        (f"/v2/models/{model}.line/infer", json.dumps(tensors).encode()),
        (f"/v2/models/{model}/infer", json.dumps(documents).encode()),
    ]
    log = PredictionLog(tmp_path, payments)
    with listening(create_app(payments, log)) as address:
        send(address, goods, 1_000, seed=0)
        before = memory()
        seen = send(address, goods, BODIES, seed=1)
        grown = memory() - before
        assert {status for status in seen if status >= 500} == set(), seen
        assert seen[200] > 100
        assert seen[400] > 1_000
        assert grown < 30_000, f"{grown} kB more after {BODIES} bodies"
        assert (
            httpx.post(
                f"{address}/predict", content=good, headers={"content-type": "application/json"}
            ).json()
            == payments.golden()["response"]
        )
    assert log.dropped == 0


def conforms(package: Package, examples: int) -> None:
    """Asks what the service's own document allows, and what it does not."""
    with (
        tempfile.TemporaryDirectory() as folder,
        listening(create_app(package, PredictionLog(Path(folder), package))) as address,
    ):
        schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
        for found in schema.get_all_operations():
            operation = found.ok()
            ask_many(operation, GenerationMode.POSITIVE, examples)
            if operation.method == "post":
                ask_many(operation, GenerationMode.NEGATIVE, examples)


def ask_many(operation, mode: GenerationMode, examples: int) -> None:
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    def ask(case) -> None:
        case.call_and_validate(
            checks=[not_a_server_error, status_code_conformance, response_schema_conformance],
            headers=case.headers,
            timeout=60,
        )

    ask()


def test_the_service_keeps_to_its_own_document(payments):
    conforms(payments, examples=20)


@pytest.mark.slow
@pytest.mark.parametrize("family", names())
def test_the_service_of_every_family_keeps_to_its_own_document(family, tmp_path):
    conforms(Package(Lab(family, tmp_path)["package"], threads=1), examples=30)
