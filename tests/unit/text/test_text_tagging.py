"""Spans in texts: files as people keep them, the chain of tags, answers and figures."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modelyard.errors import BadData, UsageError
from modelyard.families.text.config import TextConfig
from modelyard.families.text.tagging.chain import NEVER, Chain, forbidden, insides
from modelyard.families.text.tagging.host import TagAnswer, TagHost, TagRequest
from modelyard.families.text.tagging.judged import (
    FrequentTags,
    JudgedTags,
    judge_tags,
    span_metrics,
)
from modelyard.families.text.tagging.network import TorchChain
from modelyard.families.text.tagging.reading import read_tagged
from modelyard.families.text.tagging.schemes import Span, broken_in, scheme_of, spans_of, to_bio
from modelyard.families.text.tagging.spec import TagSpec, tags_of, words_of
from modelyard.families.text.tasks.build import build as open_family
from modelyard.families.text.tasks.data import data as open_data
from modelyard.families.text.tasks.host import host as open_host
from modelyard.judging.evaluation import Evaluation
from modelyard.kit.classifier import store
from modelyard.runtimes.torch import TorchRuntime
from modelyard.runtimes.types import Arrays
from modelyard.training.loop import Trainer

WORDS = ["Ada", "of", "New", "York", "met", "Bo"]
BIO = ["B-PER", "O", "B-LOC", "I-LOC", "O", "B-PER"]
CLASSES = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]


def columns(sentences: list[tuple[list[str], list[str]]], between: str = " ") -> str:
    lines = []
    for words, tags in sentences:
        lines += [between.join(pair) for pair in zip(words, tags, strict=True)] + [""]
    return "\n".join(lines)


def many(count: int = 40) -> list[tuple[list[str], list[str]]]:
    return [([*WORDS, str(number)], [*BIO, "O"]) for number in range(count)]


def built(raw: Path, content: str, name: str = "data.conll", **settings: Any) -> Path:
    raw.mkdir(parents=True, exist_ok=True)
    (raw / name).write_text(content)
    out = raw.parent / "out"
    (out / "assets").mkdir(parents=True, exist_ok=True)
    config = TextConfig.model_validate({"features": {"task": "tag", **settings}})
    open_data(config).features(raw, out)
    return out


def stored(out: Path) -> list[tuple[list[str], list[str]]]:
    found = []
    for split in ("train", "validation", "test"):
        for _, data in store.load_files(out, split):
            found.append((words_of(data.decode()), tags_of(data.decode())))
    return sorted(found, key=lambda one: int(one[0][-1]))


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("BIO", ["B-PER", "B-PER", "O", "B-LOC", "I-LOC", "I-LOC"]),
        ("IOB1", ["I-PER", "B-PER", "O", "I-LOC", "I-LOC", "I-LOC"]),
        ("BIOES", ["S-PER", "S-PER", "O", "B-LOC", "I-LOC", "E-LOC"]),
        ("BIOES", ["U-PER", "U-PER", "O", "B-LOC", "I-LOC", "L-LOC"]),
    ],
)
def test_each_scheme_is_recognised_and_says_the_same_spans(scheme: str, tags: list[str]) -> None:
    spans = [Span(0, 1, "PER"), Span(1, 2, "PER"), Span(3, 6, "LOC")]
    assert scheme_of([tags]) == scheme
    assert spans_of(tags) == spans
    assert broken_in(tags, scheme) == 0
    assert to_bio(spans, 6) == ["B-PER", "B-PER", "O", "B-LOC", "I-LOC", "I-LOC"]


def test_broken_tags_are_counted_and_begin_a_span() -> None:
    tags = ["O", "I-PER", "I-LOC", "B-LOC", "I-LOC"]
    assert spans_of(tags) == [Span(1, 2, "PER"), Span(2, 3, "LOC"), Span(3, 5, "LOC")]
    assert broken_in(tags, "BIO") == 2
    assert spans_of(["B-PER", "E-PER", "I-PER"]) == [Span(0, 2, "PER"), Span(2, 3, "PER")]
    assert broken_in(["B-PER", "O", "E-PER", "S-PER"], "BIOES") == 2


def test_columns_of_conll_2003_are_read(tmp_path: Path) -> None:
    lines = ["-DOCSTART- -X- -X- O", "", "EU NNP I-NP I-ORG", "rejects VBZ I-VP O", ""]
    lines += ["", "Peter NNP I-NP I-PER", "Blackburn NNP I-NP I-PER"]
    (tmp_path / "eng.testa").write_text("\n".join(lines))
    found = read_tagged(tmp_path)
    assert [one.words for one in found.sentences] == [["EU", "rejects"], ["Peter", "Blackburn"]]
    assert [one.tags for one in found.sentences] == [["B-ORG", "O"], ["B-PER", "I-PER"]]
    assert [one.row for one in found.sentences] == [3, 7]
    assert found.notes == ["The tags are IOB1, read as BIO."]


@pytest.mark.parametrize("between", [" ", "\t", "\tx y\t"])
def test_words_keep_their_tags_whatever_stands_between(tmp_path: Path, between: str) -> None:
    sentences = many()
    sentences[0][0][0] = "Ada B." if "\t" in between else "Ada"
    out = built(tmp_path / "raw", columns(sentences, between))
    assert stored(out) == sentences


def test_json_lines_are_read_and_empty_sentences_counted(tmp_path: Path) -> None:
    lines = [json.dumps({"tokens": words, "ner_tags": tags}) for words, tags in many()]
    raw = tmp_path / "raw"
    out = built(raw, "\n".join([*lines, '{"tokens": [], "tags": []}']), "data.jsonl")
    assert stored(out) == many()
    assert read_tagged(raw).dropped == {"sentences: without a word": 1}


def test_a_json_list_is_read_where_it_is_the_only_file(tmp_path: Path) -> None:
    listed = json.dumps([{"tokens": words, "tags": tags} for words, tags in many()], indent=1)
    assert stored(built(tmp_path / "raw", listed, "data.json")) == many()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.conll", "", "a.conll: the file is empty"),
        ("a.conll", "Ada B-PER\nmet\n", "row 2: has one column, 'met'; the lines above have 2"),
        ("a.conll", "Ada NNP B-PER\nmet O\n", "row 2: has 2 columns; the lines above have 3"),
        ("a.conll", "Ada NNP\nmet I-VB\n", "row 1: 'NNP' is no tag: O, or B-, I-"),
        ("a.conll", "Ada B-\n", "row 1: 'B-' is no tag"),
        ("a.conll", "Ada O\nmet PER of\n", "row 2: has 3 columns"),
        ("a.conll", "Ada O\nmet O\n", "every tag is O: there is no span to learn"),
        ("a.conll", "\tB-PER\n", "row 1: the word is empty"),
        ("a.conll", "-DOCSTART- O\n\n", "no sentence has a word"),
        (
            "a.conll",
            "Ada B-PER\n" * 5_001,
            "row 1: a sentence of more than 5,000 words.*blank line",
        ),
        ("a.xyz", "Ada B-PER", "holds no file of tagged sentences. Allowed: .bio"),
        ("a.jsonl", "{", "row 1: is not JSON"),
        ("a.jsonl", "[]", "row 1: must be a JSON object"),
        ("a.jsonl", '{"tags": ["O"]}', "row 1, column 'tokens': the field is missing; seen: tags"),
        ("a.jsonl", '{"tokens": ["a"]}', "row 1, column 'tags': the field is missing"),
        ("a.jsonl", '{"tokens": "a", "tags": ["O"]}', "column 'tokens': must be a list of texts"),
        ("a.jsonl", '{"tokens": ["a"], "tags": [3]}', r"column 'tags': must be a list.*\[3\]"),
        ("a.jsonl", '{"tokens": ["a", "b"], "tags": ["O"]}', "row 1: has 2 tokens and 1 tags"),
        ("a.jsonl", '{"tokens": [" "], "tags": ["O"]}', "column 'tokens': holds the token"),
        (
            "a.jsonl",
            '{"tokens": ["a", "b"], "tags": ["X", "B-Z"]}',
            "row 1, column 'tags': 'X' is no tag",
        ),
        (
            "a.jsonl",
            '{"tokens": ["\\ud83d"], "tags": ["B-X"]}',
            "row 1, column 'tokens': holds half of a surrogate pair",
        ),
    ],
)
def test_a_broken_file_gives_one_line(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(BadData, match=said) as caught:
        read_tagged(tmp_path)
    assert "\n" not in str(caught.value)


def test_files_named_as_splits_are_these_and_documents_stay_together(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for name, start in (("eng.testa", 100), ("eng.testb", 200)):
        part = [
            ([*words[:-1], str(start + place)], tags) for place, (words, tags) in enumerate(many(5))
        ]
        (raw / name).write_text(columns(part))
    out = built(raw, columns(many(9)), "eng.train")
    sizes = [len(store.load_arrays(out, split)) for split in ("train", "validation", "test")]
    assert sizes == [9, 5, 5]
    text = "".join(
        "-DOCSTART- O\n\n" + columns(many(99)[start : start + 3]) + "\n"
        for start in range(0, 99, 3)
    )
    out = built(tmp_path / "b/raw", text)
    documents = [
        {int(words_of(data.decode())[-1]) // 3 for _, data in store.load_files(out, split)}
        for split in ("train", "validation", "test")
    ]
    assert sum(map(len, documents)) == 33


def test_settings_for_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model.class_weight is for features.task=classify"):
        TextConfig.model_validate(
            {"features": {"task": "tag"}, "model": {"class_weight": "balanced"}}
        )
    with pytest.raises(UsageError, match=r"'features.positive' is for features.task=classify"):
        built(tmp_path / "raw", columns(many()), positive="PER")


def random_chain(seed: int) -> tuple[TorchChain, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    chain = TorchChain(CLASSES)
    with torch.no_grad():
        for weight in chain.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator))
    return chain, torch.randn(2, 4, len(CLASSES), generator=generator)


def every_way(chain: Chain, emissions: np.ndarray) -> dict[tuple[int, ...], float]:
    """The score of all tags of a sentence, by counting."""
    found = {}
    for tags in itertools.product(range(len(CLASSES)), repeat=len(emissions)):
        score = chain.starts[tags[0]] + chain.ends[tags[-1]]
        score += sum(emissions[word, tag] for word, tag in enumerate(tags))
        score += sum(chain.transitions[one][two] for one, two in itertools.pairwise(tags))
        found[tags] = float(score)
    return found


@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16])
def test_half_precision_leaves_the_chain_s_loss_and_gradient_as_they_are(low: torch.dtype) -> None:
    classes = ["O", *(f"{prefix}-{name}" for name in range(40) for prefix in "BI")]
    chain = TorchChain(classes)
    # A network that is sure of itself, and long sentences.
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        chain.transitions.copy_(torch.randn(chain.transitions.shape, generator=generator))
    logits = 10 * torch.randn(2, 200, len(classes), generator=generator)
    tags = torch.zeros(2, 200, dtype=torch.int64)
    found = []
    for enabled in (False, True):
        given = logits.clone().requires_grad_()
        with torch.autocast("cpu", low, enabled=enabled):
            loss = chain(given, tags)
        (gradient,) = torch.autograd.grad(loss.sum(), given)
        found.append((loss.detach(), gradient))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_the_chain_s_loss_is_that_of_all_ways_counted() -> None:
    chain, emissions = random_chain(0)
    # Words begin at the tokens 1, 2 and 4 of the first, and at 0 of the second.
    logits = torch.zeros(2, 5, len(CLASSES))
    tags = torch.full((2, 5), -1)
    for place, token in enumerate((1, 2, 4)):
        logits[0, token] = emissions[0, place]
        tags[0, token] = (3, 1, 2)[place]
    logits[1, 0], tags[1, 0] = emissions[1, 0], 1
    loss = chain(logits, tags)
    for row, own in ((0, (3, 1, 2)), (1, (1,))):
        ways = every_way(chain.asset(), emissions[row, : len(own)].numpy())
        total = np.logaddexp.reduce(list(ways.values()))
        assert loss[row].item() == pytest.approx(total - ways[own], rel=1e-5)
    assert chain(logits, torch.full((2, 5), -1)).tolist() == [0, 0]


@pytest.mark.parametrize("seed", range(5))
def test_the_best_tags_and_their_probabilities_are_those_of_all_ways_counted(seed: int) -> None:
    torch_chain, emissions = random_chain(seed)
    chain, scores = torch_chain.asset(), emissions.double().numpy()
    ways = [every_way(chain, scores[0]), every_way(chain, scores[1, :3])]
    counts = np.array([4, 3])
    found = chain.best(scores, counts)
    for row, own in enumerate(ways):
        best = max(own, key=own.__getitem__)
        assert tuple(found[row, : counts[row]]) == best
        assert own[best] > NEVER / 2
    tags = found[0]
    spans = [(span.start, span.end) for span in spans_of([CLASSES[tag] for tag in tags])]
    total = np.logaddexp.reduce(list(ways[0].values()))
    for (start, end), p in zip(spans, chain.probabilities(scores[0], tags, spans), strict=True):
        inside = insides(CLASSES)[tags[end - 1]]
        alike = [
            score
            for way, score in ways[0].items()
            if way[start:end] == tuple(tags[start:end]) and (end == 4 or way[end] != inside)
        ]
        assert p == pytest.approx(np.exp(np.logaddexp.reduce(alike) - total))


def test_only_bio_is_allowed() -> None:
    moves, begins = forbidden(CLASSES)
    assert begins.tolist() == [False, False, True, False, True]
    allowed = {(CLASSES[one], CLASSES[two]) for one, two in np.argwhere(~moves).tolist()}
    assert {pair for pair in allowed if pair[1] == "I-LOC"} == {
        ("B-LOC", "I-LOC"),
        ("I-LOC", "I-LOC"),
    }
    assert len(allowed) == 5 * 3 + 4


def spelled(out: Path, spec: TagSpec) -> TagHost:
    """A host whose chain is neutral."""
    count = len(spec.classes)
    moves, begins = forbidden(spec.classes)
    Chain(
        transitions=(moves * NEVER).tolist(),
        starts=(begins * NEVER).tolist(),
        ends=[0.0] * count,
        inside=insides(spec.classes),
    ).save(out / "assets")
    host = open_host(out / "assets")
    assert isinstance(host, TagHost)
    return host


class ByToken:
    """A network that knows the tags of tokens."""

    def __init__(self, host: TagHost, tags: dict[str, str]) -> None:
        self.classes = host.spec.classes
        self.tags = {}
        for word, tag in tags.items():
            for place, token in enumerate(host.spec.encoded(word).ids[1:-1]):
                if place == 0:
                    self.tags[token] = tag
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, graph: str, arrays: Arrays) -> Arrays:
        tokens = arrays["tokens"]
        self.shapes.append(tokens.shape)
        logits = np.zeros((*tokens.shape, len(self.classes)), np.float32)
        for token, tag in self.tags.items():
            logits[tokens == token, self.classes.index(tag)] = 9
        return {"logits": logits}


TAGS = {"Ada": "B-PER", "New": "B-LOC", "York": "I-LOC", "Bo": "B-PER"}


def test_spans_are_places_in_the_text_as_it_came(tmp_path: Path) -> None:
    out = built(tmp_path / "raw", columns(many()))
    host = spelled(out, TagSpec.load(out / "assets"))
    text = '  "New York", said Ada\n(Bo). '
    (answer,) = host.predict(ByToken(host, TAGS), [TagRequest(text=text)])
    assert isinstance(answer, TagAnswer)
    assert answer.text == text
    assert [(span.text, span.label) for span in answer.spans] == [
        ("New York", "LOC"),
        ("Ada", "PER"),
        ("Bo", "PER"),
    ]
    assert all(text[span.start : span.end] == span.text for span in answer.spans)
    assert all(0.7 < span.score < 1 for span in answer.spans)
    row = host.describe(TagRequest(text=text), answer)
    assert (row["spans"], row["label"], row["words"]) == (3.0, "PER", 5.0)


def test_a_long_text_is_read_in_windows_that_change_nothing(tmp_path: Path) -> None:
    out = built(tmp_path / "raw", columns(many()), length=16)
    spec = TagSpec.load(out / "assets")
    host = spelled(out, spec)
    run = ByToken(host, TAGS)
    texts = ["Ada of New York met Bo", " ".join(["Ada of New York met Bo"] * 30), "", "met"]
    requests = [TagRequest(text=text) for text in texts]
    answers: list[Any] = host.predict(run, requests)
    assert [len(answer.spans) for answer in answers] == [3, 90, 0, 0]
    assert max(shape[1] for shape in run.shapes) == 16
    assert [host.predict(run, [request])[0] for request in requests] == answers
    assert [bool(answer.warnings) for answer in answers] == [False, False, True, False]


def test_windows_cover_every_token_once_and_give_each_word_surroundings(tmp_path: Path) -> None:
    out = built(tmp_path / "raw", columns(many()), length=16)
    spec = TagSpec.load(out / "assets")
    words = (WORDS * 20)[:111]
    laid, whole = spec.laid_out(words), spec.encoded(" ".join(words)).ids
    first = [spec.encoded(word).ids[1] for word in words]
    assert laid.rows[laid.window, laid.place].tolist() == first
    assert (laid.rows[:, 0] == whole[0]).all()
    assert (laid.rows == whole[-1]).sum(axis=1).tolist() == [1] * len(laid.rows)
    inner = (laid.window > 0) & (laid.window < len(laid.rows) - 1)
    assert laid.place[inner].min() >= 2
    assert laid.place[inner].max() <= 13


def test_figures_are_seqeval_s_lenient_and_strict() -> None:
    truth = [["B-PER", "I-PER", "O", "B-LOC"]]
    broken = [["I-PER", "I-PER", "O", "B-LOC"]]
    found = span_metrics(truth, broken)
    # conlleval reads the broken span as whole; strictly it is none: 1 of 1 answers, 1 of 2 spans.
    assert found["span_f1"] == 1
    assert found["strict_f1"] == pytest.approx(2 / 3)
    assert found["word_accuracy"] == 3 / 4
    assert span_metrics(truth, [["O"] * 4])["span_f1"] == 0


def test_the_baseline_knows_each_word_s_most_frequent_tag() -> None:
    frequent = FrequentTags([["May", "is", "May"], ["May"]], [["B-PER", "O", "O"], ["O"]])
    assert frequent([["May", "is", "new"]]) == [["O", "O", "O"]]
    frequent = FrequentTags([["York"], ["York"]], [["I-LOC"], ["I-LOC"]])
    assert frequent([["York"]]) == [["I-LOC"]]


def test_the_card_shows_wrong_spans_and_what_is_answered_instead() -> None:
    words, truth = [WORDS, ["so", "what"]], [BIO, ["O", "O"]]
    answers = [["B-LOC", "O", "B-LOC", "O", "O", "O"], ["O", "B-PER"]]
    judged = JudgedTags(words, truth, answers, [[0.6, 0.7], [0.9]])
    found = judge_tags(judged, [["O"] * 6, ["O"] * 2], split="test", labels=["PER"])
    assert found.confusion is not None
    assert found.confusion.labels == ["LOC", "PER", "(other bounds)", "(none)"]
    assert found.confusion.matrix == [[0, 0, 1, 0], [1, 0, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]]
    table = found.tables[1]
    assert [row[1:] for row in table.rows] == [
        ["what", "PER", "–", 0.9],
        ["New", "LOC", "New York (LOC)", 0.7],
        ["Ada", "LOC", "Ada (PER)", 0.6],
    ]
    assert any("does not know LOC" in note for note in found.notes)
    assert found.metrics["span_f1"] == 0


@pytest.mark.parametrize("kind", ["rnn", "lstm", "bert"])
def test_each_kind_learns_spans_by_what_stands_around_them(tmp_path: Path, kind: str) -> None:
    settings = {
        "features": {"task": "tag", "sample_texts": 200, "vocabulary": 300},
        "model": {"kind": kind, "width": 64, "dropout": 0.1, "pretrain_epochs": 0},
        "training": {"epochs": 8, "batch_size": 8, "learning_rate": 5e-3, "hide": 0.1},
    }
    if kind == "bert":
        settings["model"]["pretrain_epochs"] = 1
    found = trained(tmp_path, TextConfig.model_validate(settings))
    assert found.metrics["span_f1"] > found.baseline["span_f1"] + 0.1


def trained(folder: Path, config: TextConfig) -> Evaluation:
    """The test split's figures of a model on the built-in sentences."""
    family = open_family(config)
    raw, features, model = (folder / name for name in ("raw", "features", "model"))
    raw.mkdir()
    (features / "assets").mkdir(parents=True)
    family.sample(raw)
    family.features(raw, features)
    shutil.copytree(features / "assets", model / "assets")
    family.fit(features, model, Trainer(config.seed, config.training))
    host = open_host(model / "assets")
    found: Evaluation = family.evaluate(host, TorchRuntime(family.graphs(model)), features)
    return found
