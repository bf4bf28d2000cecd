"""The host's decoding on ONNX Runtime against transformers' own `generate` in torch."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from modelyard.errors import BadData
from modelyard.families.language.decoder import DRAFT, MAIN, Decoder, prefill
from modelyard.families.language.prompt import Prompt
from modelyard.families.language.sampling import distribution
from modelyard.families.language.train import load
from modelyard.runtimes.torch import TorchRuntime
from tests.unit.language.conftest import KINDS, reference


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_tokens_are_those_of_torch_generate(kind, trained, onnx, prompts):
    host, network = trained(kind).host, load(trained(kind).model)[MAIN].network
    requests = [Prompt(prompt=prompt, max_new_tokens=20, truncate=True) for prompt in prompts]
    answers = host.predict(onnx(kind), requests)
    assert len(answers) == 50
    read = [[host.spec.start, *host.codec.encode(prompt)] for prompt in prompts]
    assert sum(len(ids) > 12 for ids in read) > 25
    wrong = 0
    for ids, answer in zip(read, answers, strict=True):
        ids = [host.spec.start, *ids[1:][answer.truncated :]]
        wrong += answer.tokens != reference(network, ids, host.spec.end, 20)
    assert wrong == 0


@pytest.mark.parametrize("kind", KINDS)
def test_reading_in_chunks_gives_the_logits_of_reading_at_once(kind, trained, onnx):
    host = trained(kind).host
    ids = np.random.default_rng(3).integers(0, 300, (2, 50))
    _, whole = prefill(onnx(kind), host.spec.main, MAIN, ids)
    decoder = Decoder(onnx(kind), MAIN, host.spec.main, rows=2)
    chunks = [decoder.step(ids[:, start:stop]) for start, stop in pairwise((0, 1, 8, 30, 31, 50))]
    np.testing.assert_allclose(np.concatenate(chunks, axis=1), whole, atol=2e-5)


def test_memory_of_a_sliding_window_is_bounded(trained, onnx):
    spec = trained("mistral").host.spec.main
    decoder, _ = prefill(onnx("mistral"), spec, MAIN, [list(range(1, 41))])
    for token in range(3):
        decoder.step(np.array([[token]]))
        assert decoder._past["past_key_0"].shape[2] == spec.window


def test_a_batch_of_all_lengths_answers_as_each_alone(trained, onnx, prompts):
    host = trained("mistral").host
    requests = [
        Prompt(prompt=text[:size], max_new_tokens=6) for size, text in enumerate(prompts[:12])
    ]
    together = host.predict(onnx("mistral"), requests)
    alone = [host.predict(onnx("mistral"), [request])[0] for request in requests]
    assert [one.tokens for one in together] == [one.tokens for one in alone]
    for left, right in zip(together[1:], alone[1:], strict=True):
        assert left.prompt_log_probability == pytest.approx(right.prompt_log_probability, abs=1e-5)


def test_sampling_repeats_with_its_seed_and_differs_with_another(trained, onnx, prompts):
    host = trained("llama").host

    def texts(seed: int, **settings) -> list[str]:
        asked = [
            Prompt(prompt=text[:20], max_new_tokens=8, temperature=1, seed=seed, **settings)
            for text in prompts
        ]
        return [answer.text for answer in host.predict(onnx("llama"), asked[:8])]

    assert texts(1) == texts(1)
    assert sum(one != other for one, other in zip(texts(1), texts(2), strict=True)) >= 6
    greedy = [
        answer.text
        for answer in host.predict(
            onnx("llama"), [Prompt(prompt=text[:20], max_new_tokens=8) for text in prompts[:8]]
        )
    ]
    assert texts(5, top_k=1) == greedy
    assert texts(5, top_p=1e-9) == greedy


@pytest.mark.parametrize("kind", ["llama", "mistral"])
@pytest.mark.parametrize("settings", [{}, {"repetition_penalty": 1.3}], ids=["plain", "penalty"])
def test_guessing_ahead_writes_the_greedy_text(kind, settings, trained, onnx, prompts):
    host = trained(kind).host
    accepted = []
    for number, text in enumerate(prompts[:20]):
        request = Prompt(prompt=text, max_new_tokens=16, truncate=True, **settings)
        (plain,) = host.predict(onnx(kind), [request])
        (ahead,) = host.predict(
            onnx(kind), [request.model_copy(update={"speculative": 1 + number % 5})]
        )
        assert (ahead.tokens, ahead.text, ahead.finish_reason) == (
            plain.tokens,
            plain.text,
            plain.finish_reason,
        )
        assert plain.acceptance_rate is None
        accepted.append(ahead.acceptance_rate)
    assert all(0 <= rate <= 1 for rate in accepted)
    assert 0 < np.mean(accepted) < 1


def test_a_draft_that_is_the_model_itself_is_always_right_and_saves_calls(trained, onnx, prompts):
    host, run, calls = trained("mistral").host, onnx("mistral"), []
    host.spec = host.spec.model_copy(update={"draft": host.spec.main})

    def counted(graph, arrays):
        calls.append(graph)
        return run(MAIN, arrays)

    (answer,) = host.predict(counted, [Prompt(prompt=prompts[3], max_new_tokens=21, speculative=4)])
    assert answer.acceptance_rate == 1
    assert len(answer.tokens) == 21
    assert calls.count(MAIN) == 1 + 4
    assert calls.count(DRAFT) > 4


def test_a_package_without_a_draft_says_so(trained, onnx):
    with pytest.raises(BadData, match=r"no draft model.*draft_layers=1"):
        trained("gpt2").host.predict(onnx("gpt2"), [Prompt(prompt="a", speculative=2)])


def test_repetition_penalty_is_that_of_torch_generate(trained, onnx, prompts):
    host, network = trained("llama").host, load(trained("llama").model)[MAIN].network
    for text in prompts[:6]:
        asked = Prompt(prompt=text[:30], max_new_tokens=12, repetition_penalty=1.5)
        (answer,) = host.predict(onnx("llama"), [asked])
        ids = [host.spec.start, *host.codec.encode(asked.prompt)]
        assert answer.tokens == reference(network, ids, host.spec.end, 12, repetition_penalty=1.5)


def test_a_stop_text_ends_the_answer_before_it(trained, onnx, prompts):
    host = trained("llama").host
    (whole,) = host.predict(onnx("llama"), [Prompt(prompt=prompts[0], max_new_tokens=16)])
    stop = whole.text[5:8]
    (cut,) = host.predict(
        onnx("llama"), [Prompt(prompt=prompts[0], max_new_tokens=16, stop=["~~~", stop])]
    )
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish_reason == "stop"
    assert len(cut.tokens) < len(whole.tokens)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"stop": ["se", " in", "\n\n"]},
        {"speculative": 3},
        {"beams": 2},
        {"temperature": 1.0, "seed": 4},
    ],
)
def test_streamed_parts_make_up_the_answer(settings, trained, onnx, prompts):
    host = trained("llama").host
    for prompt in prompts[:4]:
        request = Prompt(prompt=prompt, max_new_tokens=16, truncate=True, **settings)
        *parts, last = host.stream(onnx("llama"), request)
        assert [last] == host.predict(onnx("llama"), [request])
        assert "".join(part.text for part in parts) == last.text
        assert [token for part in parts for token in part.tokens] == last.tokens
        assert len(parts) > 1 or "beams" in settings or last.finish_reason == "stop"


def test_a_character_of_several_tokens_is_streamed_whole(trained, monkeypatch):
    host = trained("llama").host
    script = [*host.codec.encode("é😀x"), host.spec.end]
    assert len(script) > 5

    def run(graph, arrays):
        logits = np.zeros((1, arrays["input_ids"].shape[1], host.spec.vocabulary), np.float32)
        logits[0, -1, script.pop(0)] = 9
        return {
            "logits": logits,
            **{name.replace("past", "present"): array for name, array in arrays.items()},
        }

    *parts, last = host.stream(run, Prompt(prompt="ä"))
    assert [part.text for part in parts] == ["é", "😀", "x"]
    assert (last.text, last.finish_reason) == ("é😀x", "end")


def test_a_long_prompt_is_refused_or_cut_and_never_in_silence(trained, onnx):
    host = trained("llama").host
    text = "import os\n" * 60
    size = len(host.codec.encode(text))
    with pytest.raises(BadData, match=rf"has {size} tokens.* room for 53.*truncate") as refused:
        host.predict(onnx("llama"), [Prompt(prompt=text, max_new_tokens=10)])
    assert refused.value.column == "prompt"
    (cut,) = host.predict(onnx("llama"), [Prompt(prompt=text, max_new_tokens=10, truncate=True)])
    assert (cut.truncated, cut.prompt_tokens) == (size - 53, 53)
    (caution,) = cut.warnings
    assert caution.field == "prompt"
    assert f"first {size - 53:,} tokens were left out" in caution.message
    with pytest.raises(BadData, match="at most 63"):
        host.predict(onnx("llama"), [Prompt(prompt="", max_new_tokens=64)])


def test_prompt_and_answer_log_probabilities_are_torchs(trained, onnx, prompts):
    host, network = trained("llama").host, load(trained("llama").model)[MAIN].network
    asked = Prompt(prompt=prompts[1], max_new_tokens=5, logprobs=2)
    (answer,) = host.predict(onnx("llama"), [asked])
    ids = torch.tensor([[host.spec.start, *host.codec.encode(asked.prompt), *answer.tokens]])
    with torch.inference_mode():
        logs = network(ids).logits[0].log_softmax(-1)
    own = logs[:-1].gather(1, ids[0, 1:, None])[:, 0]
    assert answer.prompt_log_probability == pytest.approx(
        own[: answer.prompt_tokens].mean().item(), abs=1e-4
    )
    assert answer.log_probability == pytest.approx(
        own[answer.prompt_tokens :].mean().item(), abs=1e-4
    )
    scores = [score.log_probability for score in answer.logprobs]
    np.testing.assert_allclose(scores, own[answer.prompt_tokens :], atol=1e-4)
    assert [max(score.top.values()) for score in answer.logprobs] == pytest.approx(scores)


def test_occlusion_is_the_drop_that_hiding_a_token_causes(trained, onnx, prompts):
    host, network = trained("llama").host, load(trained("llama").model)[MAIN].network
    asked = Prompt(prompt=prompts[2][:30])
    reasons = host.explain(onnx("llama"), asked)
    ids = torch.tensor([[host.spec.start, *host.codec.encode(asked.prompt)]])
    assert len(reasons.contributions) == ids.shape[1] - 2
    mask = torch.ones_like(ids)
    with torch.inference_mode():
        full = network(
            ids, attention_mask=mask, position_ids=torch.arange(ids.shape[1])[None]
        ).logits[0, -1]
        mask[0, 4] = 0
        hidden = network(
            ids, attention_mask=mask, position_ids=torch.arange(ids.shape[1])[None]
        ).logits[0, -1]
    first = full.argmax()
    drop = (full.log_softmax(-1) - hidden.log_softmax(-1))[first].item()
    name = next(name for name in reasons.contributions if name.startswith("4 "))
    assert reasons.contributions[name] == pytest.approx(drop, abs=1e-4)


def test_an_empty_prompt_has_an_answer_and_no_reasons(trained, onnx):
    host = trained("llama").host
    reasons = host.explain(onnx("llama"), Prompt(prompt=""))
    assert reasons.contributions == {}
    assert "as first token" in reasons.output


@pytest.mark.parametrize("temperature", [1e-6, 1e-300, 5e-324])
def test_however_low_the_temperature_the_likeliest_token_is_drawn(temperature):
    logits = np.array([-3.0, 20.0, 19.0, 1.0], np.float32)
    found = distribution(logits, temperature, 0, 1.0)
    np.testing.assert_allclose(found, [0, 1, 0, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"beams": 2, "temperature": 1}, "does not sample"),
        ({"speculative": 2, "beams": 2}, "beams"),
        ({"logprobs": 1, "beams": 2}, "beams"),
        ({"speculative": 2, "temperature": 1}, "temperature"),
        ({"stop": [""]}, "empty"),
    ],
)
def test_wishes_that_exclude_each_other_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        Prompt(prompt="a", **wrong)


def test_the_graphs_are_the_same_in_torch_and_onnx_for_any_past(trained, onnx):
    one = trained("mistral")
    native = TorchRuntime(one.family.graphs(one.model))
    graph = one.family.graphs(one.model)[0]
    for past, new, rows in ((0, 1, 1), (0, 30, 2), (17, 1, 7)):
        rng = np.random.default_rng(past)
        arrays = {
            "input_ids": rng.integers(0, 300, (rows, new)),
            "positions": np.tile(np.arange(past + new), (rows, 1)),
        }
        for name, example in graph.example.items():
            if name.startswith("past"):
                shape = (rows, example.shape[1], past, example.shape[3])
                arrays[name] = rng.normal(size=shape).astype(np.float32)
        expected, seen = native(MAIN, arrays), onnx("mistral")(MAIN, arrays)
        assert max(np.abs(expected[name] - seen[name]).max() for name in expected) < 1e-4


def test_generators_end_when_closed(trained, onnx):
    host, calls = trained("llama").host, []

    def counted(graph, arrays):
        calls.append(graph)
        return onnx("llama")(graph, arrays)

    parts = host.stream(counted, Prompt(prompt="import", max_new_tokens=50))
    next(parts)
    before = len(calls)
    parts.close()
    assert next(parts, None) is None
    assert len(calls) == before


def test_an_answer_without_a_stated_length_takes_the_room_there_is(trained, onnx):
    host = trained("llama").host
    for prompt, most in (
        ("", 63),
        ("import os\n" * 12, 1 + 62 - len(host.codec.encode("import os\n" * 12))),
    ):
        (answer,) = host.predict(onnx("llama"), [Prompt(prompt=prompt)])
        assert len(answer.tokens) == most or answer.finish_reason == "end"
    with pytest.raises(BadData, match="answer of up to 1 there is room for 62"):
        host.predict(onnx("llama"), [Prompt(prompt="import os\n" * 60)])
