"""The most expensive bodies of the families that cost most: texts with beams, and pictures that
decode large."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from modelyard.family import load
from tests.service.costs import Cost, measured, together
from tests.service.test_serve import served
from tests.toy.build import build

pytestmark = [pytest.mark.slow, pytest.mark.timed]

DEADLINE = 5.0
MEGABYTES = 300
JSON = {"content-type": "application/json"}


def package(family: str, folder: Path) -> Path:
    config = load(family).Config.debug().model_dump(mode="json", exclude_unset=True)
    return build(folder, family, config, family).package


@pytest.fixture(scope="module")
def language(tmp_path_factory) -> Iterator[tuple[int, str, dict]]:
    yield from running("language", tmp_path_factory)


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Iterator[tuple[int, str, dict]]:
    yield from running("image", tmp_path_factory)


def running(family: str, tmp_path_factory) -> Iterator[tuple[int, str, dict]]:
    made = package(family, tmp_path_factory.mktemp(family))
    golden = json.loads((made / "golden.json").read_text())["request"]
    log = tmp_path_factory.mktemp("log")
    with served(made, log, MODELYARD_DEADLINE_MS=str(int(DEADLINE * 1e3))) as (process, address):
        for _ in range(20):
            httpx.post(f"{address}/predict", json=golden).raise_for_status()
        yield process.pid, address, golden


def costs(service: tuple[int, str, dict], ask) -> Cost:
    process, address, golden = service
    return measured(process, address, golden, DEADLINE, ask)


def check(cost: Cost, *, processors: float = 2 * DEADLINE) -> None:
    assert cost.cpu <= processors, cost
    assert cost.memory <= MEGABYTES, cost
    assert set(cost.small) == {200}, cost
    assert cost.slowest < DEADLINE, cost
    assert cost.slowest_health < 1.5, cost


def posted(
    service: tuple[int, str, dict], path: str, body: object, **headers: str
) -> httpx.Response:
    content = json.dumps(body).encode()
    assert len(content) <= 16 * 2**20
    return httpx.post(f"{service[1]}{path}", content=content, headers=JSON | headers, timeout=120)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predict", [{"prompt": "def f", "max_new_tokens": 50, "beams": 16}] * 1_000),
        ("/predict", [{"prompt": "x" * 15_000, "truncate": True, "max_new_tokens": 60}] * 1_000),
        (
            "/predict",
            [{"prompt": "def", "max_new_tokens": 60, "logprobs": 20, "stop": ["zzz"] * 16}] * 1_000,
        ),
        (
            "/predict",
            {"prompt": "x" * 262_144, "truncate": True, "max_new_tokens": 63, "beams": 16},
        ),
        ("/explain", {"prompt": "x" * 262_144, "truncate": True, "max_new_tokens": 1}),
        (
            "/v1/completions",
            {
                "model": "language",
                "prompt": ["def f"] * 1_000,
                "max_tokens": 50,
                "temperature": 0,
                "beams": 8,
            },
        ),
        (
            "/v1/completions",
            {"model": "language", "prompt": "def f", "n": 128, "max_tokens": 60, "logprobs": 5},
        ),
    ],
    ids=[
        "beams",
        "long prompts",
        "scores",
        "one long prompt",
        "reasons",
        "a thousand completions",
        "choices",
    ],
)
def test_texts_take_no_more_than_their_time_and_small_ones_get_through(language, path, body):
    cost = costs(language, lambda: posted(language, path, body))
    assert cost.answers.status_code in (200, 413, 503, 504), cost.answers.text[:300]
    check(cost)


def test_raw_tensors_of_a_decoder_are_bounded_as_its_texts_are(language):
    tokens = {
        "name": "input_ids",
        "datatype": "INT64",
        "shape": [1, 400_000],
        "data": [1] * 400_000,
    }
    places = {
        "name": "positions",
        "datatype": "INT64",
        "shape": [1, 400_000],
        "data": [0] * 400_000,
    }
    past = [
        {"name": f"past_{part}_{layer}", "datatype": "FP32", "shape": [1, 1, 0, 16], "data": []}
        for layer in range(2)
        for part in ("key", "value")
    ]
    body = {"inputs": [tokens, places, *past]}
    cost = costs(language, lambda: posted(language, "/v2/models/language.decoder/infer", body))
    assert (cost.answers.status_code, "at most" in cost.answers.text) == (400, True), (
        cost.answers.text[:300]
    )
    check(cost)


def picture(mode: str, side: int, *, noise: bool = False) -> str:
    """A PNG in base64: one that is small and decodes large, or one that is large as it is."""
    drawn = Image.new(mode, (side, side))
    if noise:
        drawn = Image.fromarray(
            np.random.default_rng(0).integers(0, 256, (side, side), dtype=np.uint8), "L"
        )
    file = io.BytesIO()
    drawn.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize(
    ("mode", "number"), [("1", 1_000), ("L", 480), ("RGB", 150), ("RGBA", 110)]
)
def test_small_pictures_that_decode_large_take_no_more_than_their_time(image, mode, number):
    body = [{"image": picture(mode, 5_000)}] * number
    cost = costs(image, lambda: posted(image, "/predict", body))
    assert cost.answers.status_code in (413, 503, 504), cost.answers.text[:300]
    check(cost)


def test_forty_large_pictures_at_once_hold_little_memory_and_small_ones_get_through(image):
    body = {"image": picture("L", 3_000, noise=True)}
    cost = costs(image, lambda: together(40, lambda _: posted(image, "/predict", body).status_code))
    assert set(cost.answers) <= {200, 503, 504}
    assert cost.answers.count(200) >= 5
    check(cost, processors=4 * DEADLINE)
