"""Translations: pairs of texts, greedy and beam search over an encoder and a decoder, and figures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sacrebleu
import torch
import transformers
from pydantic import ValidationError

from modelyard.errors import BadData, UsageError
from modelyard.families.text.config import TextConfig
from modelyard.families.text.tasks.build import build as open_family
from modelyard.families.text.tasks.data import data as open_data
from modelyard.families.text.tasks.host import host as open_host
from modelyard.families.text.translating.decoding import (
    Writer,
    write_greedily,
    write_with_beams,
)
from modelyard.families.text.translating.host import TranslateHost, TranslationRequest
from modelyard.families.text.translating.judged import (
    COPY,
    MEMORY,
    JudgedTranslations,
    judge_translations,
    remember,
    translation_metrics,
)
from modelyard.families.text.translating.network import Translator
from modelyard.families.text.translating.spec import (
    IGNORED,
    TranslationSpec,
    pair_of,
    trained_tokenizer,
)
from modelyard.host import Streams
from modelyard.kit.classifier import store
from modelyard.kit.text.tokenizer import open_tokenizer
from modelyard.kit.text.words import figures_of
from modelyard.runtimes.torch import TorchRuntime
from modelyard.training.loop import Trainer

COLOURS = {"red": "rot", "green": "grün", "blue": "blau", "white": "weiß", "black": "schwarz"}
THINGS = {"house": "Haus", "horse": "Pferd", "book": "Buch", "boat": "Boot", "wheel": "Rad"}


SIZES = {"big": "große", "small": "kleine", "old": "alte", "new": "neue", "long": "lange"}


def phrases() -> list[tuple[str, str]]:
    """All of `the red house and 2 big ones`."""
    return [
        (
            f"the {first} {thing} and {number} {second} ones",
            f"das {one} {object_} und {number} {two}",
        )
        for first, one in COLOURS.items()
        for second, two in SIZES.items()
        for thing, object_ in THINGS.items()
        for number in (2, 7)
    ]


def config(**sections: Any) -> TextConfig:
    features = {"task": "translate", "vocabulary": 400, **sections.pop("features", {})}
    model = {"width": 64, "layers": 1, **sections.pop("model", {})}
    return TextConfig.model_validate({"features": features, "model": model, **sections})


def read(raw: Path, settings: TextConfig) -> tuple[dict[str, Any], Path]:
    out = raw.parent / "out"
    (out / "assets").mkdir(parents=True, exist_ok=True)
    return open_data(settings).features(raw, out), out


def pairs_of(out: Path) -> list[tuple[str, str]]:
    return sorted(
        pair_of(data)
        for split in ("train", "validation", "test")
        for _, data in store.load_files(out, split)
    )


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


def lines(rows: list[tuple[str, str]], separator: str = "\t") -> str:
    return "".join(f"{source}{separator}{target}\n" for source, target in rows)


@pytest.mark.parametrize(
    ("name", "content", "settings"),
    [
        ("pairs.tsv", lines([("source", "target"), *phrases()]), {}),
        ("pairs.tsv", lines([("en", "de"), *phrases()]), {}),
        ("pairs.csv", lines([("English", "target"), *phrases()], ";"), {}),
        (
            "pairs.csv",
            lines(
                [("German", "English")] + [(target, source) for source, target in phrases()], ","
            ),
            {"text_column": "English", "label_column": "German"},
        ),
        (
            "pairs.jsonl",
            "".join(json.dumps({"source": one, "target": two}) + "\n" for one, two in phrases()),
            {},
        ),
        (
            "pairs.jsonl",
            "".join(
                json.dumps({"translation": {"en": one, "de": two}}) + "\n" for one, two in phrases()
            ),
            {"text_column": "en", "label_column": "de"},
        ),
        (
            "pairs.jsonl",
            "".join(
                json.dumps({"id": "7", "translation": {"en": one, "de": two}}) + "\n"
                for one, two in phrases()
            ),
            {"text_column": "en", "label_column": "de"},
        ),
    ],
    ids=["tsv", "languages", "csv", "named", "jsonl", "datasets", "numbered"],
)
def test_pairs_are_read_from_tables_and_json(raw, name, content, settings):
    (raw / name).write_text(content, encoding="utf-8")
    summary, out = read(raw, config(features=settings))
    assert pairs_of(out) == sorted(phrases())
    assert sum(summary["rows"].values()) == len(phrases())


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("pairs.tsv", lines(phrases()), r"needs a first row with names, such as source,target"),
        (
            "pairs.jsonl",
            "".join(json.dumps({"en": one, "de": two}) + "\n" for one, two in phrases()),
            r"seen: 'de', 'en'.*--set features.text_column=SOURCE",
        ),
        ("pairs.txt", lines(phrases()), r"needs a first row with names, such as source,target"),
        ("pairs.bin", lines(phrases()), r"holds no pairs of texts"),
        ("pairs.jsonl", '{"source": "a", "target": "b"}\n{"source": \n', r"pairs.jsonl.*row 2"),
        ("pairs.jsonl", '["a", "b"]\n', r"row 1.*must be a JSON object"),
        ("pairs.jsonl", '{"source": "a", "target": ["b"]}\n', r"'target': holds lists.*of its own"),
        ("pairs.jsonl", '{"source": ["a"], "target": "b"}\n', r"'source': holds lists"),
        ("pairs.csv", "source,target\na,b\n", r"has 1 different pairs.*6 are needed. Add pairs$"),
        ("pairs.tsv", "source\ttarget\na\tb\textra\n", r"row 1.*3 cells where the header has 2"),
        ("pairs.tsv", "source\ttarget\n\tb\n", r"no row has both"),
        ("pairs.tsv", "source\ttarget\n", r"no row below it"),
        ("pairs.csv", "source,target,split\na,b,trian\n", r"row 1.*'trian'.*train"),
        ("pairs.csv", "source,target\n" + "a,b\n" * 9, r"."),
    ],
)
def test_what_is_no_pair_is_one_line_with_file_and_row(raw, name, content, said):
    (raw / name).write_text(content, encoding="utf-8")
    with pytest.raises(BadData, match=said) as caught:
        read(raw, config())
    assert "\n" not in str(caught.value)


def test_a_pair_that_is_too_large_is_refused_in_the_data(raw):
    (raw / "pairs.tsv").write_text(lines([("source", "target"), *phrases()]), encoding="utf-8")
    said = r"pairs.tsv, row 1, column 'source': has .* bytes; at most 40 are"
    with pytest.raises(BadData, match=said):
        read(raw, config(features={"most_megabytes": 40e-6}))


def test_incomplete_pairs_and_copies_are_counted(raw):
    rows = [("source", "target"), *phrases(), phrases()[0], ("alone", ""), ("", "allein")]
    (raw / "pairs.tsv").write_text(lines(rows), encoding="utf-8")
    summary, _ = read(raw, config())
    assert summary["dropped"] == {"no target": 1, "no source": 1, "same pair as another": 1}


def test_translations_of_one_source_are_in_one_split(raw):
    several = [(source, f"{target}{end}") for source, target in phrases() for end in ("", "!")]
    (raw / "pairs.tsv").write_text(lines([("source", "target"), *several]), encoding="utf-8")
    _, out = read(raw, config())
    seen: dict[str, set[str]] = {}
    for split in ("train", "validation", "test"):
        for _, data in store.load_files(out, split):
            seen.setdefault(pair_of(data)[0], set()).add(split)
    assert len(seen) == len(phrases())
    assert all(len(splits) == 1 for splits in seen.values())


@pytest.mark.parametrize(
    "text", ["12,345.67 kg", "Zürich  two   spaces", "日本 €5\tx", "</s><pad>"]
)
def test_the_tokenizer_gives_every_text_back(text):
    opened = open_tokenizer(trained_tokenizer(["some words", "einige Wörter"] * 3, 300), "it")
    assert opened.decode(opened.encode(text).ids, skip_special_tokens=True)[1:] == text


def test_a_target_is_its_tokens_its_end_and_nothing_behind(raw):
    (raw / "pairs.tsv").write_text(lines([("source", "target"), *phrases()]), encoding="utf-8")
    _, out = read(raw, config())
    spec = TranslationSpec.load(out / "assets")
    (_, data), *_ = store.load_files(out, "train")
    labels = store.load_labels(out, "train")[0]
    written = labels[labels != IGNORED]
    assert written[-1] == spec.end
    assert (labels[len(written) :] == IGNORED).all()
    assert spec.text_of(written.tolist()) == pair_of(data)[1]


def test_a_target_ends_also_where_a_checkpoints_tokenizer_writes_no_end(raw):
    (raw / "pairs.tsv").write_text(lines([("source", "target"), *phrases()]), encoding="utf-8")
    _, out = read(raw, config())
    spec = TranslationSpec.load(out / "assets")
    bare = json.loads(spec.tokenizer) | {"post_processor": None}
    endless = spec.model_copy(update={"tokenizer": json.dumps(bare)})
    targets = [target for _, target in phrases()]
    assert endless.opened.encode(targets[0]).ids[-1] != spec.end
    assert np.array_equal(endless.written(targets), spec.written(targets))


def test_an_empty_text_has_figures_also_where_a_tokenizer_writes_no_end(raw):
    (raw / "pairs.tsv").write_text(lines([("source", "target"), *phrases()]), encoding="utf-8")
    _, out = read(raw, config())
    spec = TranslationSpec.load(out / "assets")
    bare = json.loads(spec.tokenizer) | {"post_processor": None}
    endless = spec.model_copy(update={"tokenizer": json.dumps(bare)})
    assert endless.encoded("").ids == []
    assert figures_of(endless, "")["unknown_share"] is None


def test_a_checkpoint_names_its_end_and_its_tokenizer_need_not_call_it_so(raw, tmp_path):
    (raw / "pairs.tsv").write_text(lines([("source", "target"), *phrases()]), encoding="utf-8")
    folder = tmp_path / "t5"
    folder.mkdir()
    (folder / "model.safetensors").touch()
    (folder / "config.json").write_text(json.dumps({"model_type": "t5", "eos_token_id": 1}))
    both = [text for pair in phrases() for text in pair]
    renamed = trained_tokenizer(both, 350).replace("</s>", "<end>")
    (folder / "tokenizer.json").write_text(renamed)
    settings = config(model={"checkpoint": str(folder)})
    _, out = read(raw, settings)
    assert TranslationSpec.load(out / "assets").end == 1
    (folder / "config.json").write_text(json.dumps({"model_type": "t5"}))
    with pytest.raises(UsageError, match="neither config.json names eos_token_id nor"):
        read(raw, settings)


class Copying:
    """A model that copies tokens of the source, with the end behind them; another path has a first
    token that is a little likelier and is worse from then on."""

    def __init__(self, spec: TranslationSpec, tempting: int | None = None) -> None:
        self.spec, self.tempting, self.calls = spec, tempting, 0

    def __call__(self, graph: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if graph == "encoder":
            rows, length = arrays["tokens"].shape
            empty = np.zeros((rows, 1, length, 1), np.float32)
            return {"source_key_0": empty, "source_value_0": empty}
        self.calls += 1
        before = arrays["past_key_0"]
        rows = len(before)
        # What was written is kept in the keys, as the decoder's own memory would be.
        now = arrays["input_ids"][:, None, :, None].astype(np.float32)
        written = np.concatenate([before, now], axis=2)
        logits = np.full((rows, 1, 40), -20.0, np.float32)
        for row in range(rows):
            past = written[row, 0, 1:, 0].astype(int).tolist()
            source = arrays["tokens"][row]
            if self.tempting in past:
                logits[row, 0, 5:15] = 0.0  # ten tokens are as likely
                continue
            logits[row, 0, source[len(past)]] = 0.0
            if not past and self.tempting is not None:
                logits[row, 0, self.tempting] = 0.1
        return {"logits": logits, "present_key_0": written, "present_value_0": written}


@pytest.fixture
def small() -> TranslationSpec:
    return TranslationSpec.model_construct(
        length=8, most_written=6, pad=0, start=0, end=1, special=[0, 1, 2]
    )


SHAPE = (1, 1, 1)
SOURCES = np.array([[7, 8, 9, 1, 0], [6, 1, 0, 0, 0], [9, 9, 9, 9, 1]])


def test_each_row_ends_by_itself_and_is_not_gone_on_with(small):
    from modelyard.families.text.translating.spec import Decoding

    *_, found = write_greedily(Copying(small), SOURCES, small, Decoding(*SHAPE))
    assert [one.tokens for one in found] == [[7, 8, 9], [6], [9, 9, 9, 9]]
    assert all(one.ended for one in found)
    assert all(one.log_p == pytest.approx(0.0, abs=1e-6) for one in found)


def test_what_does_not_end_is_as_long_as_allowed(small):
    from modelyard.families.text.translating.spec import Decoding

    endless = np.array([[7, 8, 9, 10, 11, 12, 13]])
    for found in (
        [*write_greedily(Copying(small), endless, small, Decoding(*SHAPE))][-1][0],
        write_with_beams(Copying(small), endless, small, Decoding(*SHAPE), 2),
    ):
        assert found.tokens == [7, 8, 9, 10, 11, 12]
        assert not found.ended


def test_beams_find_what_a_greedy_first_step_misses(small):
    from modelyard.families.text.translating.spec import Decoding

    shape = Decoding(*SHAPE)
    *_, (greedy,) = write_greedily(Copying(small, tempting=30), SOURCES[:1], small, shape)
    assert greedy.tokens[0] == 30
    found = write_with_beams(Copying(small, tempting=30), SOURCES[:1], small, shape, 3)
    assert found.tokens == [7, 8, 9]
    assert found.log_p > greedy.log_p


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Features and a model, trained for a few epochs."""
    folder = tmp_path_factory.mktemp("translate")
    raw = folder / "raw"
    raw.mkdir()
    (raw / "pairs.tsv").write_text(lines([("source", "target"), *phrases()]), encoding="utf-8")
    training = {"epochs": 40, "batch_size": 8, "learning_rate": 3e-3, "patience": 40}
    family = open_family(config(training=training, model={"dropout": 0.0}))
    out, model = folder / "out", folder / "model"
    (out / "assets").mkdir(parents=True)
    family.features(raw, out)
    shutil.copytree(out / "assets", model / "assets")
    family.fit(out, model, Trainer(0, family.config.training))
    return out, model


def opened(model: Path) -> tuple[Any, TranslateHost, TorchRuntime]:
    family = open_family(config())
    host = open_host(model / "assets")
    assert isinstance(host, TranslateHost)
    return family, host, TorchRuntime(family.graphs(model))


def test_it_learns_the_words_of_another_language(trained):
    out, model = trained
    family, host, run = opened(model)
    found = family.evaluate(host, run, out)
    assert found.metrics["bleu"] > 90
    assert found.baseline["bleu"] < 20
    assert found.metrics["bleu"] > found.rivals[MEMORY]


def test_step_by_step_is_what_the_whole_network_says(trained):
    """Against transformers' own forward pass, with the source padded."""
    _, model = trained
    family, host, run = opened(model)
    net = next(graph for graph in family.graphs(model) if graph.name == "encoder").module
    assert net is not None
    sources = ["the red house and 7 old ones", "the boat"]
    tokens = host.spec.read(sources).astype(np.int64)
    targets = np.array([[9, 8, 7, 6], [5, 9, 3, 4]])
    begun = np.concatenate([np.full((2, 1), host.spec.start), targets[:, :-1]], axis=1)
    with torch.no_grad():
        whole = net.net(
            input_ids=torch.from_numpy(tokens),
            attention_mask=torch.from_numpy((tokens != host.spec.pad).astype(np.int64)),
            decoder_input_ids=torch.from_numpy(begun),
        ).logits.log_softmax(-1)
    writer = Writer(run, tokens, host.decoding)
    steps = [writer.step(begun[:, at : at + 1]) for at in range(4)]
    np.testing.assert_allclose(np.concatenate(steps, axis=1), whole.numpy(), atol=1e-4)


def test_texts_at_once_are_translated_as_each_alone(trained):
    _, model = trained
    _, host, run = opened(model)
    texts = ["the red house and 2 big ones", "the boat", "  ", "the white wheel and 7 old ones"]
    for beams in (1, 3):
        requests = [TranslationRequest(text=text, beams=beams) for text in texts]
        together = host.predict(run, requests)
        alone = [host.predict(run, [one])[0] for one in requests]
        for one, two in zip(together, alone, strict=True):
            assert one.translation == two.translation
            assert one.score == pytest.approx(two.score, abs=1e-4)
    assert together[0].translation == "das rot Haus und 2 große"
    assert together[2].translation == ""
    assert "is empty" in together[2].warnings[0].message


def test_the_parts_of_a_translation_are_the_answer_as_it_is_written(trained):
    _, model = trained
    _, host, run = opened(model)
    assert isinstance(host, Streams)
    for text in ("the red house and 2 big ones", "the boat", "the red house " * 20):
        request = TranslationRequest(text=text)
        (whole,) = host.predict(run, [request])
        *parts, answer = host.stream(run, request)
        assert answer == whole
        assert "".join(part.text for part in parts) == whole.translation
        assert len(parts) > 1
    for request in (TranslationRequest(text="the boat", beams=3), TranslationRequest(text=" ")):
        assert list(host.stream(run, request)) == host.predict(run, [request])


def test_a_character_is_sent_once_all_its_bytes_are_there(trained, monkeypatch):
    _, model = trained
    _, host, run = opened(model)
    texts = ["", "K", "K�", "Kö", "Köl", "Köln"]
    monkeypatch.setattr(
        TranslationSpec, "text_of", lambda self, tokens: texts[min(len(tokens), len(texts) - 1)]
    )
    *parts, answer = host.stream(run, TranslationRequest(text="the red house and 2 big ones"))
    assert [part.text for part in parts] == ["K", "ö", "l", "n"]
    assert answer.translation == "Köln"


def test_a_text_that_is_longer_than_the_model_reads_is_said(trained):
    _, model = trained
    _, host, run = opened(model)
    (answer,) = host.predict(run, [TranslationRequest(text="the red house " * 20)])
    assert any("tokens of it were read" in one.message for one in answer.warnings)


def test_bleu_and_chrf_are_those_of_sacrebleu_with_its_signature():
    answers = ["das rote Haus", "zwei blaue Boote fahren .", "ein Buch"]
    references = ["das rote Haus", "zwei blaue Boote segeln .", "das Buch"]
    found = translation_metrics(answers, references)
    assert found["bleu"] == sacrebleu.corpus_bleu(answers, [references]).score
    assert found["chrf"] == sacrebleu.corpus_chrf(answers, [references]).score
    assert found["exact_match"] == pytest.approx(1 / 3)
    judged = JudgedTranslations(["x"] * 3, references, answers, [0.9] * 3, references)
    evaluation = judge_translations(judged, split="test")
    assert "BLEU: sacrebleu, nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|" in evaluation.notes[1]
    assert evaluation.baseline_name == COPY


@pytest.mark.parametrize(
    ("lengths", "quarters"),
    [
        (
            [1, 2, 3, 4, 5, 6, 7, 8, 9],
            [["1 to 3", 2], ["3 to 5", 2], ["5 to 7", 2], ["7 to 9", 3]],
        ),
        ([4, 4, 4], [["4 to 4", 3]]),
    ],
)
def test_figures_by_length_are_of_all_pairs(lengths, quarters):
    sources = ["x" * length for length in lengths]
    judged = JudgedTranslations(sources, sources, sources, [0.9] * len(sources), sources)
    by_length, _ = judge_translations(judged, split="test").tables
    assert [row[:2] for row in by_length.rows] == quarters


@pytest.mark.parametrize(
    ("tokenize", "references", "answers"),
    [
        (
            "zh",
            ["我今天很高兴见到你。", "他在北京工作。"],
            ["我今天高兴见到你。", "他在上海工作。"],
        ),
        ("char", ["赤いねことあおいいぬ"], ["赤いねことしろいいぬ"]),
        ("char", ["ฉันรักแมวตัวนี้มาก"], ["ฉันรักหมาตัวนี้มาก"]),
        ("13a", ["the red 猫 sat down here"], ["the blue 猫 sat down here"]),
    ],
)
def test_a_script_without_blanks_is_not_one_word_to_bleu(tokenize, references, answers):
    judged = JudgedTranslations(references, references, answers, [0.5] * len(answers), references)
    found = judge_translations(judged, split="test")
    expected = sacrebleu.corpus_bleu(answers, [references], tokenize=tokenize).score
    assert found.metrics["bleu"] == pytest.approx(expected)
    assert 5 < expected < 95
    assert found.rivals[MEMORY] == pytest.approx(100)
    assert any(f"tok:{tokenize}" in note for note in found.notes)


def test_bleu_by_hand():
    """Two sentences of 5 and 4 words: 7 of 9 words match, 4 of 7 pairs, 2 of 5 triples, 1 of 3
    quadruples, and the answer is as long as the reference."""
    answers = ["a b c d e", "f g h i"]
    references = ["a b c d x", "f g y i"]
    expected = 100 * (7 / 9 * 4 / 7 * 2 / 5 * 1 / 3) ** 0.25
    assert translation_metrics(answers, references)["bleu"] == pytest.approx(expected)
    judged = JudgedTranslations(["x"] * 2, references, answers, [0.9] * 2, references)
    assert judge_translations(judged, split="test").metrics["bleu"] == pytest.approx(expected)


def test_the_memory_answers_with_the_nearest_training_pair():
    training = [("the red house", "das rote Haus"), ("a blue boat", "ein blaues Boot")]
    assert remember(["a blue boats", "red houses"], training) == [
        "ein blaues Boot",
        "das rote Haus",
    ]


def test_a_checkpoint_of_t5_is_fine_tuned_with_its_tokenizer_and_prompt(raw, tmp_path):
    folder = tmp_path / "t5"
    both = [text for pair in phrases() for text in pair]
    shape = transformers.T5Config(
        vocab_size=400, d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4, dropout_rate=0.0
    )
    transformers.T5ForConditionalGeneration(shape).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(trained_tokenizer(both, 350))
    (raw / "pairs.tsv").write_text(lines([("source", "target"), *phrases()]), encoding="utf-8")
    settings = config(
        features={"prompt": "translate: "},
        model={"checkpoint": str(folder)},
        training={"epochs": 1, "batch_size": 64},
    )
    family = open_family(settings)
    _, out = read(raw, settings)
    model = tmp_path / "model"
    shutil.copytree(out / "assets", model / "assets")
    family.fit(out, model, Trainer(0, settings.training))
    host = open_host(model / "assets")
    assert host.spec.prompt == "translate: "
    assert host.spec.text_of(host.spec.read(["the boat"])[0].tolist()) == "translate: the boat"
    net = family.model(model / "assets")
    assert isinstance(net, Translator)
    assert net.net.config.d_kv == 8
    (answer,) = host.predict(TorchRuntime(family.graphs(model)), [TranslationRequest(text="a")])
    assert 0 <= answer.score <= 1


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"features": {"task": "classify"}, "model": {"kind": "t5"}}, "model.kind=t5 translates"),
        ({"features": {"task": "translate"}, "model": {"kind": "rnn"}}, "model.kind=t5 translates"),
        ({"features": {"prompt": "x"}}, "features.prompt is for features.task=translate"),
        ({"features": {"task": "translate"}, "model": {"width": 40}}, "multiple of 32"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(sections, said):
    with pytest.raises(ValidationError, match=said):
        TextConfig.model_validate(sections)


def test_settings_of_labels_are_refused(raw):
    (raw / "pairs.tsv").write_text(lines([("source", "target"), *phrases()]), encoding="utf-8")
    with pytest.raises(UsageError, match=r"features.positive.*is for features.task=classify"):
        read(raw, config(features={"positive": "x"}))
