"""Answers to questions on texts: SQuAD's files, windows, the choice of a span, and figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modelyard.errors import BadData
from modelyard.families.text.answering.choose import Choice, best_span, choose_threshold
from modelyard.families.text.answering.host import AnswerHost, QuestionRequest
from modelyard.families.text.answering.judged import (
    JudgedAnswers,
    answer_metrics,
    exact,
    judge_answers,
    overlap,
    similar_sentences,
)
from modelyard.families.text.answering.network import NEVER
from modelyard.families.text.answering.reading import read_squad
from modelyard.families.text.answering.spec import Pair, PairSpec, stored_of
from modelyard.families.text.config import TextConfig
from modelyard.families.text.tasks.build import build as open_family
from modelyard.families.text.tasks.data import data as open_data
from modelyard.families.text.tasks.host import host as open_host
from modelyard.kit.classifier import store
from modelyard.kit.splits import load_groups
from modelyard.runtimes.types import Arrays


def asked(question: str, context: str, answer: str | None) -> dict[str, Any]:
    """A question with one answer, or with none."""
    if answer is None:
        return {"question": question, "answers": [], "is_impossible": True}
    return {
        "question": question,
        "answers": [{"text": answer, "answer_start": context.index(answer)}],
    }


def squad(*paragraphs: tuple[str, list[dict[str, Any]]]) -> dict[str, Any]:
    found = [{"context": context, "qas": qas} for context, qas in paragraphs]
    return {"version": "v2.0", "data": [{"title": "a", "paragraphs": found}]}


def many(count: int = 40) -> dict[str, Any]:
    paragraphs = []
    for number in range(count):
        text = f"The red cube has number {number}. Ada likes it."
        lacking = None if number % 4 == 0 else "Ada"
        qas = [
            asked("Which number?", text, f"number {number}"),
            asked("Who likes the cube?", text, lacking),
        ]
        paragraphs.append((text, qas))
    return squad(*paragraphs)


def built(raw: Path, content: Any, **settings: Any) -> Path:
    raw.mkdir(parents=True, exist_ok=True)
    (raw / "data.json").write_text(json.dumps(content))
    out = raw.parent / "out"
    (out / "assets").mkdir(parents=True, exist_ok=True)
    config = TextConfig.model_validate({"features": {"task": "answer", **settings}})
    open_data(config).features(raw, out)
    return out


TEXT = "Ada met Bo in York."
GOOD = asked("Who?", TEXT, "Ada")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "the file is empty"),
        ("{", "row 1: is not JSON"),
        ([], "must be an object with a list `data`"),
        ({"data": [{"title": "a"}]}, r"'data\[0\]': has no list `paragraphs`"),
        ({"data": [{"paragraphs": [3]}]}, r"data\[0\].paragraphs\[0\]': must be an object"),
        (squad((" ", [GOOD])), r"paragraphs\[0\].context': must be a text, seen"),
        ({"data": [{"paragraphs": [{"context": "a"}]}]}, "has no list `qas`"),
        (
            squad((TEXT, [GOOD | {"question": None}])),
            r"qas\[0\].question': must be a text, seen null",
        ),
        (squad((TEXT, [{"question": "a?"}])), r"qas\[0\]': has no list `answers`"),
        (squad((TEXT, [GOOD, {"question": "a?", "answers": []}])), r"qas\[1\]': has no answer"),
        (squad((TEXT, [GOOD | {"is_impossible": True}])), "is_impossible, and has answers"),
        (
            squad((TEXT, [GOOD | {"answers": [{"text": "Bo", "answer_start": 7}]}])),
            r"answers\[0\]': 'Bo' does not stand at character 7",
        ),
        (
            squad((TEXT, [GOOD | {"answers": [{"text": "Bo", "answer_start": "8"}]}])),
            'answer_start\': must be a whole number, seen "8"',
        ),
        (
            {"data": [{"title": "\ud83d", "paragraphs": [{"context": TEXT, "qas": [GOOD]}]}]},
            r"data\[0\].title': holds half of a surrogate pair",
        ),
        (squad((TEXT, [])), "has no question"),
        (squad((TEXT, [asked("Who?", TEXT, None)])), "no question has an answer"),
    ],
)
def test_a_broken_file_gives_one_line(tmp_path: Path, content: Any, said: str) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / "data.json").write_text(text)
    with pytest.raises(BadData, match=said) as caught:
        read_squad(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_text_that_is_too_large_is_refused_in_the_data(tmp_path: Path) -> None:
    said = r"data.json, column 'data\[0\].paragraphs\[0\].qas\[0\]': has .* bytes; at most 40 are"
    with pytest.raises(BadData, match=said):
        built(tmp_path / "raw", squad((TEXT * 9, [GOOD])), most_megabytes=40e-6)


@pytest.mark.parametrize("title", [None, "", 7, ["a"], {"a": 1}])
def test_an_article_whose_title_is_no_text_is_called_by_its_place(
    tmp_path: Path, title: Any
) -> None:
    content = squad((TEXT, [GOOD]))
    content["data"][0]["title"] = title
    (tmp_path / "data.json").write_text(json.dumps(content))
    assert [one.article for one in read_squad(tmp_path).questions] == ["data[0]"]


def test_both_versions_of_squad_are_read_and_said(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text(json.dumps(many()))
    found = read_squad(tmp_path)
    assert found.notes == ["SQuAD 2.0: 10 of 80 questions have no answer."]
    assert found.questions[3].answers == [("Ada", 27)]
    (tmp_path / "data.json").write_text(json.dumps(squad((TEXT, [GOOD]))))
    assert read_squad(tmp_path).notes == ["SQuAD 1.1: 0 of 1 questions have no answer."]


def test_questions_on_one_text_stay_in_one_split(tmp_path: Path) -> None:
    out = built(tmp_path / "raw", many())
    texts = []
    for split in ("train", "validation", "test"):
        texts.append({stored_of(data)["context"] for _, data in store.load_files(out, split)})
    assert sum(map(len, texts)) == 40
    groups = load_groups(out, "test")
    assert groups is not None
    assert len(np.unique(groups)) == len(texts[2]) < len(groups)


def test_the_answer_is_marked_in_every_window_that_holds_it(tmp_path: Path) -> None:
    filler = "and so it goes on here " * 6
    paragraphs = []
    for number in range(20):
        text = f"{filler}. The key is number {number} of all. {filler}"
        paragraphs.append((text, [asked("Which is the key?", text, f"number {number}")]))
    out = built(tmp_path / "raw", squad(*paragraphs), length=40)
    spec = PairSpec.load(out / "assets")
    rows, labels = store.load_arrays(out, "train"), store.load_labels(out, "train")
    assert len(rows) > len(list(store.load_files(out, "train")))
    marked = labels[:, 0] > 0
    assert marked.any()
    assert not marked.all()
    for row, (first, last) in zip(rows[marked], labels[marked].tolist(), strict=True):
        assert spec.opened.decode(row[first : last + 1].tolist()).strip("▁ ").startswith("number")


def pair_of(count: int) -> Pair:
    """A question of two tokens before a text of words of one letter."""
    offsets = np.array([[2 * place, 2 * place + 1] for place in range(count)])
    return Pair(np.zeros((1, 4 + count), np.int32), 4, np.zeros(1, np.int64), offsets, False)


def logits_of(begins: dict[int, float], ends: dict[int, float], length: int) -> np.ndarray:
    found = np.full((length, 2), NEVER)
    found[[0, *range(4, length - 1)]] = 0.0
    for column, some in enumerate((begins, ends)):
        for place, value in some.items():
            found[place, column] = value
    return found


def test_the_best_span_is_the_most_probable_that_may_be_one() -> None:
    pair = pair_of(5)
    scores = logits_of({8: 6.0, 5: 5.0}, {4: 7.0, 6: 4.0}, 10)
    found = best_span(pair, [scores], 3)
    # It begins at 5 and ends at 6: the token 4 lies before every likely beginning.
    assert (found.start, found.end) == (2, 5)
    p = [np.exp(scores[:, one]) / np.exp(scores[:, one]).sum() for one in (0, 1)]
    assert found.log_p == pytest.approx(np.log(p[0][5] * p[1][6]))
    assert found.log_none == pytest.approx(np.log(p[0][0] * p[1][0]))
    shorter = best_span(pair, [scores], 1)
    assert shorter.end - shorter.start == 1


def test_the_best_of_all_windows_is_given_and_none_is_the_least_likely_one() -> None:
    whole = pair_of(8)
    pair = whole._replace(begins=np.array([0, 3]))
    quiet = logits_of({0: 9.0}, {0: 9.0}, 10)
    loud = logits_of({6: 9.0}, {6: 9.0}, 10)
    found = best_span(pair, [quiet, loud], 5)
    assert (found.start, found.end) == (10, 11)  # the token 3 + 6 - 4
    assert found.log_none < -10
    assert found.ahead > 10
    turned = pair._replace(begins=np.array([3, 0]))
    assert best_span(turned, [loud, quiet], 5) == found


def test_the_threshold_has_the_best_f1() -> None:
    ahead = np.array([-2.0, -1.0, 1.0, 3.0])
    f1 = np.array([0.0, 0.2, 0.9, 1.0])
    assert choose_threshold(ahead, f1, np.array([1.0, 1.0, 0.0, 0.0])) == 0
    assert choose_threshold(ahead, f1, np.zeros(4)) < -2
    assert choose_threshold(ahead, f1, np.ones(4)) > 1


@pytest.mark.parametrize(
    ("answer", "accepted", "match", "f1"),
    [
        ("The Cat!", ["cat"], 1, 1),
        ("a big cat", ["the cat", "dog"], 0, 2 / 3),
        ("cat cat", ["cat"], 0, 2 / 3),
        (None, [], 1, 1),
        (None, ["cat"], 0, 0),
        ("cat", [], 0, 0),
        ("the", [], 1, 1),  # as SQuAD's script has it: nothing is left of it
    ],
)
def test_figures_are_squad_s(
    answer: str | None, accepted: list[str], match: int, f1: float
) -> None:
    assert exact(answer, accepted) == match
    assert overlap(answer, accepted) == pytest.approx(f1)


def test_questions_without_an_answer_are_judged_by_themselves_too() -> None:
    found = answer_metrics(["cat", None, "dog"], [["cat"], [], []])
    assert found["f1"] == pytest.approx(2 / 3)
    assert (found["answerable_f1"], found["unanswerable_accuracy"]) == (1, 0.5)


def test_the_baseline_is_the_sentence_most_like_the_question() -> None:
    context = "Ada likes tea. The cube is red, and new. Bo sleeps."
    assert similar_sentences(["What colour is the cube?"], [context]) == [
        "The cube is red, and new."
    ]


def test_the_card_shows_the_surest_wrong_answers() -> None:
    judged = JudgedAnswers(
        questions=["Who came?", "Where is it?", "Who left?"],
        contexts=["Ada came.", "It is in York.", "Bo left."],
        accepted=[["Ada"], ["York"], []],
        answers=["Ada", "It", "Bo"],
        scores=[0.9, 0.5, 0.7],
    )
    found = judge_answers(judged, split="test", note="")
    assert found.rivals == {"no answer to any": pytest.approx(1 / 3)}
    table = found.tables[1]
    assert [row[:3] for row in table.rows] == [
        ["Who left?", "Bo", "–"],
        ["Where is it?", "It", "York"],
    ]


class Pointing:
    """A network that marks the places of a token."""

    def __init__(self, host: AnswerHost, word: str) -> None:
        self.token = host.spec.encoded(word).ids[1]
        self.end = host.spec.end[0]

    def __call__(self, graph: str, arrays: Arrays) -> Arrays:
        tokens = arrays["tokens"]
        text = np.cumsum(tokens == self.end, axis=1) == 1
        scores = np.where(text & (tokens == self.token), 8.0, 0.0)
        scores[:, 0] = 4.0
        return {"logits": np.stack([scores, scores], axis=2).astype(np.float32)}


def test_answers_are_places_in_the_context_however_long_it_is(tmp_path: Path) -> None:
    out = built(tmp_path / "raw", many(), length=32)
    Choice(threshold=0.0, most_tokens=4).save(out / "assets")
    host = open_host(out / "assets")
    assert isinstance(host, AnswerHost)
    run = Pointing(host, "Ada")
    contexts = [
        "The cube, Ada  has.",
        "the red cube " * 40 + "Ada" + " likes it" * 9,
        "the cube",
        "",
    ]
    requests = [QuestionRequest(question="Who, Ada?", context=text) for text in contexts]
    answers: list[Any] = host.predict(run, requests)
    assert [answer.answer for answer in answers] == ["Ada", "Ada", None, None]
    assert answers[1].start == contexts[1].index("Ada")
    assert [bool(answer.warnings) for answer in answers] == [False, False, False, True]
    assert [host.predict(run, [request])[0] for request in requests] == answers
    (long,) = host.predict(run, [QuestionRequest(question="who " * 50, context="Ada has it")])
    assert long.warnings[0].message == "only its beginning was read"
    assert host.describe(requests[2], answers[2])["label"] == "none"
    with pytest.raises(BadData, match="'context': has 3,000,000 bytes"):
        host.predict(run, [QuestionRequest(question="a", context="a" * 3_000_000)])


@pytest.mark.parametrize("kind", ["lstm", "bert"])
def test_no_answer_begins_in_the_question_or_the_padding(tmp_path: Path, kind: str) -> None:
    out = built(tmp_path / "raw", many())
    model = {"kind": kind, "width": 32}
    family = open_family(
        TextConfig.model_validate({"features": {"task": "answer"}, "model": model})
    )
    net = family.model(out / "assets").eval()
    spec = PairSpec.load(out / "assets")
    pair = spec.pair("Which number?", "The red cube has it.")
    with torch.inference_mode():
        logits = net(torch.from_numpy(pair.rows.astype(np.int64)))["logits"][0, :, 0].numpy()
    places = np.flatnonzero(logits > NEVER)
    assert places.tolist() == [0, *range(pair.first, pair.first + len(pair.offsets))]
