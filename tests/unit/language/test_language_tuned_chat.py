"""A base model of plain sentences, tuned on dialogues and asked by OpenAI's own client: it says in
dialogues what only the base had read."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import openai
import pytest

from modelyard.families.language.chat import Message, mark, whole_text
from modelyard.families.language.family import Language
from modelyard.families.language.host import LanguageHost
from modelyard.families.language.prompt import Prompt
from modelyard.packages.package import Package
from modelyard.serving.app import create_app
from tests.service.test_streaming import listening
from tests.toy.build import build
from tests.training.going_on import features_of, model_of
from tests.unit.language.conftest import config

pytestmark = pytest.mark.slow

COLOURS = ("red", "green", "blue", "grey", "pink", "black", "white", "brown")
THINGS = ("lamp", "chair", "table", "shelf", "clock", "sofa", "desk", "bench")
ASKED = (
    "How much is the {}?",
    "What does the {} cost?",
    "The {}, please: its price?",
    "Price of the {}?",
    "I would like the {}. How much?",
    "Is the {} expensive?",
)
HELD_OUT = 14
"""Things of which no dialogue speaks."""


def prices(rng: np.random.Generator) -> dict[str, str]:
    """A sentence about each thing, whose price follows from nothing else."""
    names = [f"{colour} {thing}" for colour, thing in itertools.product(COLOURS, THINGS)]
    return {name: f"The {name} is {rng.integers(10, 100)} euros." for name in names}


def dialogue(name: str, question: str, answer: str) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": question.format(name)},
        {"role": "assistant", "content": answer},
    ]


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> tuple[Path, dict[str, str], list[str]]:
    """A folder with `plain` and `chats`; all sentences; the names that are held out."""
    folder, rng = tmp_path_factory.mktemp("shop"), np.random.default_rng(11)
    known = prices(rng)
    (folder / "plain").mkdir()
    for number in range(60):
        lines = [known[name] for name in rng.permutation(list(known))]
        (folder / "plain" / f"{number}.txt").write_text("\n".join(lines))
    held = rng.permutation(list(known))[:HELD_OUT].tolist()
    rows = [
        {"messages": dialogue(name, question, known[name])}
        for name, question in itertools.product(known, ASKED)
        if name not in held
    ]
    (folder / "chats").mkdir()
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "chats" / "chats.jsonl").write_text(lines)
    return folder, known, held


SIZE = {"layers": 2, "width": 64, "heads": 2, "kv_heads": 2, "context": 72}


@pytest.fixture(scope="module")
def base(shop, tmp_path_factory) -> Path:
    """A model of the plain sentences."""
    out, plain = tmp_path_factory.mktemp("base"), config(epochs=10, **SIZE)
    training = plain.training.model_copy(update={"learning_rate": 5e-3, "patience": 10})
    family = Language(plain.model_copy(update={"training": training}))
    return model_of(family, features_of(family, shop[0] / "plain", out / "features"), out / "model")


@pytest.fixture(scope="module")
def tuned(shop, base) -> Package:
    """The base, tuned on the dialogues, through every stage."""
    values = {
        "data": {"uri": str(shop[0] / "chats")},
        "model": SIZE | {"checkpoint": str(base)},
        "training": {"epochs": 12, "batch_size": 8, "learning_rate": 7e-4, "patience": 12},
        "export": {"variants": "onnx-fp32", "latency_repeats": 5, "latency_seconds": 1},
    }
    return Package(build(shop[0] / "tuned", "tuned", values, "language").package)


@pytest.fixture(scope="module")
def ai(tuned):
    with (
        listening(create_app(tuned, None)) as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client,
    ):
        yield client


def held_out(shop: tuple[Path, dict[str, str], list[str]]) -> list[tuple[list[dict], str]]:
    """Messages and the answer to them."""
    _, known, held = shop
    return [
        (dialogue(name, question, "")[:1], known[name])
        for name, question in itertools.product(held, ASKED)
    ]


def test_dialogues_teach_how_to_answer_and_the_base_knows_what(shop, base, ai):
    asked = held_out(shop)
    right = 0
    for messages, answer in asked:
        done = ai.chat.completions.create(model="language", messages=messages, temperature=0)
        choice = done.choices[0]
        right += (choice.message.content, choice.finish_reason) == (answer, "stop")
    # The base was taught no dialogue: it is given the same words as a text.
    host, run = LanguageHost(base / "assets"), Language(config(**SIZE)).native(base)
    texts = [
        whole_text([Message(**one) for one in messages]) + f"\n{mark('assistant')}"
        for messages, _ in asked
    ]
    before = host.predict(run, [Prompt(prompt=text, max_new_tokens=16) for text in texts])
    wrote = [answer in found.text for (_, answer), found in zip(asked, before, strict=True)]
    assert right / len(asked) >= 0.7
    assert right / len(asked) >= np.mean(wrote) + 0.5
    # What it lacks is not the knowledge.
    starts = [Prompt(prompt=f"The {name} is", max_new_tokens=8) for name in shop[2]]
    said = [
        f"{start.prompt}{one.text}"
        for start, one in zip(starts, host.predict(run, starts), strict=True)
    ]
    assert np.mean([shop[1][name] in text for name, text in zip(shop[2], said, strict=True)]) > 0.9


def test_answers_are_streamed_word_for_word(shop, ai):
    right = 0
    for messages, answer in held_out(shop)[:: len(ASKED)]:
        chunks = list(
            ai.chat.completions.create(
                model="language", messages=messages, temperature=0, stream=True
            )
        )
        assert chunks[0].choices[0].delta.role == "assistant"
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert len(chunks) > 4
        whole = ai.chat.completions.create(model="language", messages=messages, temperature=0)
        assert text == whole.choices[0].message.content
        assert chunks[-1].choices[0].finish_reason == "stop"
        right += text == answer
    assert right >= 0.7 * HELD_OUT


def test_without_the_base_the_dialogues_do_not_tell(shop, tmp_path):
    """The rival: the same dialogues, from scratch."""
    values = config(epochs=10, **SIZE)
    training = values.training.model_copy(update={"learning_rate": 2e-3, "patience": 10})
    family = Language(values.model_copy(update={"training": training}))
    features = features_of(family, shop[0] / "chats", tmp_path / "features")
    model = model_of(family, features, tmp_path / "model")
    asked = held_out(shop)
    requests = [Prompt(messages=messages, max_new_tokens=24) for messages, _ in asked]
    answers = LanguageHost(model / "assets").predict(family.native(model), requests)
    right = [found.text == answer for found, (_, answer) in zip(answers, asked, strict=True)]
    assert np.mean(right) < 0.3
