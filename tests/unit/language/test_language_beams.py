"""Beam search on ONNX Runtime against transformers' own in torch: every token, every rank, every
score."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest
import torch

from modelyard.families.language.decoder import MAIN
from modelyard.families.language.generate import Beam, ranked_beams
from modelyard.families.language.host import LanguageHost
from modelyard.families.language.prompt import Prompt
from modelyard.families.language.train import load
from modelyard.families.language.writer import Writer
from tests.unit.language.conftest import KINDS, reference

CLOSE = 1e-4
"""Rounding of a score, a sum of natural logarithms."""


def ending_often(host: LanguageHost, answers) -> LanguageHost:
    """The same host, for whose model a frequent token ends the text."""
    tokens = Counter(token for answer in answers for token in answer.tokens)
    host.spec = host.spec.model_copy(update={"end": tokens.most_common(1)[0][0]})
    return host


@pytest.mark.parametrize("kind", KINDS)
def test_beam_tokens_are_those_of_torch_generate(kind, trained, onnx, prompts):
    host, network = trained(kind).host, load(trained(kind).model)[MAIN].network
    requests = [
        Prompt(prompt=text, max_new_tokens=8, beams=3, length_penalty=0.7, truncate=True)
        for text in prompts[::2]
    ]
    for often in (False, True):
        if often:
            host = ending_often(host, answers)  # noqa: F821 - of the first round
        answers = host.predict(onnx(kind), requests)
        assert len(answers) == 25
        for request, answer in zip(requests, answers, strict=True):
            ids = [host.spec.start, *host.codec.encode(request.prompt)[answer.truncated :]]
            expected = reference(network, ids, host.spec.end, 8, num_beams=3, length_penalty=0.7)
            assert answer.tokens == expected
        assert often is any(answer.finish_reason == "end" for answer in answers)


def ours(run, host: LanguageHost, request: Prompt) -> tuple[list[Beam], list[int], int]:
    """Finished beams in their order, the prompt as it was read, and how often the model was
    called."""
    calls = []

    def counted(graph, arrays):
        calls.append(graph)
        return run(graph, arrays)

    writer = Writer(host.codec, host.spec, request, host.codec.encode(request.prompt))
    return returned(ranked_beams(counted, writer)), writer.prompt, len(calls)


def returned(steps: Generator[None, None, list[Beam]]) -> list[Beam]:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def theirs(
    network, prompt: list[int], end: int, request: Prompt
) -> tuple[list[tuple[list[int], float]], int]:
    """The same of transformers: tokens and score of each returned text, best first, and calls of
    the model."""
    calls: list[Any] = []
    hook = network.register_forward_hook(lambda *given: calls.append(None))
    with torch.inference_mode():
        found = network.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=request.max_new_tokens,
            do_sample=False,
            eos_token_id=end,
            pad_token_id=0,
            num_beams=request.beams,
            num_return_sequences=request.beams,
            length_penalty=request.length_penalty,
            return_dict_in_generate=True,
            output_scores=True,
        )
    hook.remove()
    texts = [
        row[: row.index(end) + 1] if end in row else row
        for row in found.sequences[:, len(prompt) :].tolist()
    ]
    return list(zip(texts, found.sequences_scores.tolist(), strict=True)), len(calls)


@pytest.mark.parametrize("kind", KINDS)
def test_ranks_scores_and_the_early_stop_are_those_of_torch_where_beams_end_at_different_lengths(
    kind, trained, onnx, prompts
):
    host, network = trained(kind).host, load(trained(kind).model)[MAIN].network
    asked = [
        Prompt(prompt=text, max_new_tokens=12, beams=4, truncate=True) for text in prompts[:25]
    ]
    host = ending_often(host, host.predict(onnx(kind), asked))
    uneven, early, first = 0, 0, set[tuple[int, str]]()
    for penalty, (number, plain) in itertools.product((-1.0, 0.0, 0.7, 2.0), enumerate(asked)):
        request = plain.model_copy(update={"length_penalty": penalty})
        beams, prompt, calls = ours(onnx(kind), host, request)
        expected, most = theirs(network, prompt, host.spec.end, request)
        assert [beam.tokens for beam in beams] == [tokens for tokens, _ in expected]
        assert [beam.score for beam in beams] == pytest.approx(
            # A penalty below 0 multiplies a score by its length: float32 holds seven digits of it.
            [score for _, score in expected],
            rel=1e-6,
            abs=CLOSE,
        )
        assert calls == most
        uneven += len({len(beam.tokens) for beam in beams}) > 1
        early += calls < 12
        first.add((number, str(beams[0].tokens)))
    assert uneven >= 20
    assert early >= 3
    assert len(first) > len(asked), "the penalty changes which text comes first"
