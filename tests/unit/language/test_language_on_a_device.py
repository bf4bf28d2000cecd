"""Writing on a device, for which the CPU stands in: the same texts, and the memory of keys and
values stays there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modelyard.families.language import decoder as decoding
from modelyard.families.language.data import read_split
from modelyard.runtimes.bound import BoundRuntime, Held
from modelyard.runtimes.devices import CPU_PLACE
from modelyard.serving.work import Watched, always
from tests.unit.language.conftest import KINDS

WAYS: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0},
    "sampled": {"temperature": 1.0, "seed": 7},
    "beams": {"temperature": 0, "beams": 3},
    "guessed ahead": {"temperature": 0, "speculative": True},
}


@pytest.fixture(scope="module")
def bound(trained, onnx):
    """A kind's graphs, bound to a device."""

    def make(kind: str) -> BoundRuntime:
        onnx(kind)  # which writes them
        folder = trained(kind).model.parent / "onnx"
        return BoundRuntime({file.stem: file for file in folder.glob("*.onnx")}, CPU_PLACE, 1)

    return make


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_a_device_writes_what_the_cpu_writes(kind, way, trained, onnx, bound, prompts):
    if way == "guessed ahead" and kind == "gpt2":
        pytest.skip("it has no draft")
    host = trained(kind).host
    bodies = [{"prompt": prompt, "max_new_tokens": 20, **WAYS[way]} for prompt in prompts[:6]]
    requests = [host.Request.model_validate(body) for body in bodies]
    expected = host.predict(onnx(kind), requests)
    found = host.predict(Watched(bound(kind), always), requests)
    assert [answer.tokens for answer in found] == [answer.tokens for answer in expected]
    assert any(len(answer.tokens) > 10 for answer in found)


def test_a_device_reads_long_prompts_as_the_cpu_does(features, long, long_onnx, monkeypatch):
    monkeypatch.setattr(decoding, "CHUNK", 48)
    one, cpu = long("llama"), long_onnx("llama")
    files = {file.stem: file for file in (one.model.parent / "onnx").glob("*.onnx")}
    device = BoundRuntime(files, CPU_PLACE, 1)
    text = read_split(features, "train")[0].text[:1500]
    for way, settings in WAYS.items():
        body = {"prompt": text, "max_new_tokens": 20, **settings}
        request = one.host.Request.model_validate(body)
        (expected,) = one.host.predict(cpu, [request])
        (found,) = one.host.predict(Watched(device, always), [request])
        assert found.prompt_tokens > 5 * one.host.spec.context
        assert found.tokens == expected.tokens, way
        assert found.prompt_log_probability == pytest.approx(
            expected.prompt_log_probability, abs=1e-5
        )


def reads(monkeypatch) -> list[tuple[int, ...]]:
    """Shapes of what was copied from the device, as it comes."""
    copied: list[tuple[int, ...]] = []
    read = Held.__array__

    def counted(self: Held, *arguments: object, **named: object) -> np.ndarray:
        copied.append(self.shape)
        return read(self, *arguments, **named)

    monkeypatch.setattr(Held, "__array__", counted)
    return copied


@pytest.mark.parametrize("kind", KINDS)
def test_the_memory_of_one_text_never_leaves_the_device(kind, trained, bound, prompts, monkeypatch):
    """Of the mistral neither, whose window of 12 is full all the time."""
    host, run, copied = trained(kind).host, bound(kind), reads(monkeypatch)
    request = host.Request(prompt=prompts[0], max_new_tokens=25, temperature=0)
    (answer,) = host.predict(Watched(run, always), [request])
    assert len(answer.tokens) > 10
    assert copied == []
    beams = host.Request(prompt=prompts[0], max_new_tokens=5, temperature=0, beams=3)
    host.predict(run, [beams])
    assert copied, "what is counted is how beams change places"
