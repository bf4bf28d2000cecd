"""Answers to texts: what they depend on, warnings, reasons, figures for drift."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.errors import BadData
from modelyard.families.text.config import TextConfig
from modelyard.families.text.family import Text
from modelyard.families.text.host import TextHost, TextRequest
from modelyard.families.text.spec import TEXTS, TextSpec
from modelyard.judging.evaluation import GateSettings, judge
from modelyard.kit.classes.decision import Decision, Temperature
from modelyard.kit.classifier.bodies import read_bodies
from modelyard.kit.classifier.kind import FileLimits
from modelyard.kit.text import simple
from modelyard.runtimes.types import Arrays
from tests.unit.text.test_text_data import BAD, GOOD, built, reviews, table


@pytest.fixture
def features(tmp_path: Path) -> Path:
    rows = [*reviews(), ("worse " * 60, "blame")]
    return built(table(tmp_path / "raw", ("review", "label"), rows), length=16)[1]


def host_of(features: Path) -> TextHost:
    Decision(calibration=Temperature(value=2.0)).save(features / "assets")
    return TextHost(features / "assets")


class Counting:
    """A network that counts the tokens of two words."""

    def __init__(self, host: TextHost) -> None:
        self.good, self.poor = (host.spec.encoded(word).ids[1] for word in ("good", "poor"))
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, graph: str, arrays: Arrays) -> Arrays:
        tokens = arrays["tokens"]
        self.shapes.append(tokens.shape)
        counts = [(tokens == self.poor).sum(axis=1), (tokens == self.good).sum(axis=1)]
        # `praise` is the second class by name, and the positive one.
        return {"logits": 4 * np.stack(counts, axis=1).astype(np.float32)}


def test_an_answer_does_not_depend_on_the_other_texts_of_its_batch(features: Path) -> None:
    host = host_of(features)
    run = Counting(host)
    texts = ["good", "a poor film " * 20, "poor", "good " * 5, ""]
    requests = [TextRequest(text=text) for text in texts]
    together = host.predict(run, requests)
    assert run.shapes == [(4, 7), (1, 16)]
    assert together == [host.predict(run, [request])[0] for request in requests]
    assert run.shapes[2] == (1, 3)
    assert [answer.label for answer in together[:4]] == ["praise", "blame", "blame", "praise"]


def test_a_text_is_tokenized_once_for_answer_warning_and_drift(
    features: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = host_of(features)
    requests = [TextRequest(text=f" {text}") for text in ("good", "word " * 40, "∰ film")]
    before = [host.figures(host.bytes_of(request)) for request in requests]
    host = host_of(features)
    answers = host.predict(Counting(host), requests)
    assert [len(answer.warnings) for answer in answers] == [0, 1, 0]
    monkeypatch.setattr(TextSpec, "encoded", None)
    after = [host.describe(*pair) for pair in zip(requests, answers, strict=True)]
    assert [row | figures for row, figures in zip(after, before, strict=True)] == after


def test_a_text_that_is_refused_is_named_among_others(features: Path) -> None:
    host = host_of(features)
    host.spec = host.spec.model_copy(update={"limits": FileLimits(10)})
    texts = [TextRequest(text="good"), TextRequest(text="good " * 9)]
    with pytest.raises(BadData, match="'text': has 44 bytes; at most 10 are"):
        host.predict(Counting(host), texts)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a good film", None),
        ("  \n", "is empty, which no training example was"),
        ("word " * 40, "only 16 tokens of it were read"),
        ("∰ ∮", "is mostly of characters that were not in the training data"),
        ("\x01\x02", "is mostly of characters that were not in the training data"),
    ],
)
def test_what_training_never_saw_or_nobody_reads_is_warned_of(
    features: Path, text: str, said: str | None
) -> None:
    host = host_of(features)
    (answer,) = host.predict(Counting(host), [TextRequest(text=text)])
    assert [warning.message for warning in answer.warnings] == ([said] if said else [])


def test_reasons_are_the_words_that_carry_the_answer(features: Path) -> None:
    host = host_of(features)
    found = host.explain(Counting(host), TextRequest(text=" a good, GOOD film, poor acting"))
    assert found.output == "log-odds of praise"
    ranked = list(found.contributions.items())
    # Temperature 2 halves the four that a word adds.
    assert ranked[:3] == [("2 good", 2.0), ("4 GOOD", 2.0), ("7 poor", -2.0)]
    assert {value for _, value in ranked[3:]} == {0.0}


def test_figures_for_drift_follow_the_text(features: Path) -> None:
    figures = host_of(features).figures("good ∰ filmé".encode())
    assert figures["characters"] == 12
    assert figures["words"] == 3
    assert figures["unknown_share"] is not None
    assert figures["unknown_share"] > 0
    assert figures["non_ascii_share"] == pytest.approx(2 / 12)
    assert host_of(features).figures(b"")["tokens_per_word"] is None


def test_rows_of_a_file_are_read_by_the_column_of_the_training_data(
    features: Path, tmp_path: Path
) -> None:
    table(tmp_path / "new", ("id", "review"), [("1", "good"), ("2", "")])
    host = host_of(features)
    assert host.read_file(tmp_path / "new/data.csv") == [
        {"text": "good", "id": "1"},
        {"id": "2"},
    ]
    assert host.read_file(tmp_path / "new/data.xyz") is None
    rows = '{"review": "good", "id": 1}\n{"text": "bad", "review": "x"}\n"good"\n'
    (tmp_path / "new.jsonl").write_text(rows)
    assert host.read_file(tmp_path / "new.jsonl") == [
        {"text": "good", "id": 1},
        {"text": "bad", "review": "x"},
        "good",
    ]
    (tmp_path / "new.jsonl").write_text('{"text": "good"}\n')
    assert host.read_file(tmp_path / "new.jsonl") is None
    (tmp_path / "note.txt").write_bytes("schön".encode("latin1"))
    assert host.read_file(tmp_path / "note.txt") == [{"text": "schön"}]
    # A mail that training reads is answered too.
    (tmp_path / "note.txt").write_bytes("schön \x1b ".encode("latin1") + b"words " * 40)
    (mail,) = host.read_file(tmp_path / "note.txt") or []
    assert mail["text"].startswith("schön \x1b words")


def test_texts_without_a_header_are_read_for_a_model_that_was_trained_on_such(
    features: Path, tmp_path: Path
) -> None:
    file = tmp_path / "new.tsv"

    def read(content: str) -> list[dict[str, Any]] | None:
        file.write_text(content)
        return read_bodies(file, TEXTS, "c2")

    both = read("ham\ta good one of some words it is\nspam\tbad\nham\tgood\n")
    assert both is not None
    assert both[1] == {"text": "bad", "c1": "spam"}
    assert read("a good film\na bad one\n") == [{"text": "a good film"}, {"text": "a bad one"}]
    assert read("a good film\n") == [{"text": "a good film"}]
    assert read("text\na bad one\n") == [{"text": "a bad one"}]


def test_word_counts_stand_next_to_the_model_and_the_card_says_which_is_better(
    tmp_path: Path,
) -> None:
    raw = table(tmp_path / "raw", ("text", "label"), reviews(100))
    features = built(raw)[1]
    host = host_of(features)
    family = Text(TextConfig())

    def guesses(graph: str, arrays: Arrays) -> Arrays:
        lengths = arrays["tokens"].sum(axis=1) % 7
        return {"logits": np.stack([lengths, 3.0 - lengths], axis=1).astype(np.float32)}

    bad = family.evaluate(host, guesses, features)
    assert bad.rivals == {simple.NAME: 1.0}
    assert any("the model is worse beyond chance" in note for note in bad.notes)
    good = family.evaluate(host, Counting(host), features)
    assert judge(GateSettings(), good).passed
    assert any("no difference beyond chance" in note for note in good.notes)
    assert any(
        note.startswith(f"{simple.NAME} on the same examples: roc_auc 1") for note in good.notes
    )


def test_the_hardest_texts_come_first_on_the_card(tmp_path: Path) -> None:
    features = built(table(tmp_path / "raw", ("text", "label"), reviews(30)))[1]
    host = host_of(features)
    run = Counting(host)
    run.good = -1  # knows one class alone
    (shown,) = Text(TextConfig()).evaluate(host, run, features).tables
    assert shown.columns == ["text", "label", "answer", "probability of the label"]
    first = shown.rows[0]
    assert first[0].startswith(GOOD[:9])
    assert first[1:] == ["praise", "blame", 0.5]
    assert shown.rows[-1][0].startswith(BAD[:9])
