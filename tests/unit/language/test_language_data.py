"""Documents from files, their splits, the tokenizer, and rows for training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from modelyard.errors import BadData
from modelyard.families.language.config import LanguageConfig, LanguageFeatures
from modelyard.families.language.data import LanguageData, divide, read_split
from modelyard.families.language.documents import Document, in_parts, read_documents
from modelyard.families.language.family import Language
from modelyard.families.language.pack import pack
from modelyard.families.language.tokens import Codec, train_tokenizer
from modelyard.settings.family import DataSettings
from modelyard.stages import features as features_stage
from modelyard.stages import ingest
from modelyard.stages.run import Run


def rows(*values) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def features(raw: Path, out: Path, **settings):
    (out / "assets").mkdir(parents=True)
    return LanguageData(
        LanguageConfig(features=LanguageFeatures(vocabulary=300, **settings))
    ).features(raw, out)


def test_a_folder_of_text_and_jsonl_is_read_in_order(tmp_path):
    (tmp_path / "b.txt").write_bytes(b"\xef\xbb\xbfzwei\r\nZeilen \xc3\xa4\r\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/c.jsonl").write_text(rows({"text": "drei", "id": 3}, {"text": "vier"}) + "\n")
    (tmp_path / "a.py").write_text("eins = 1\n")
    (tmp_path / "notes.bin").write_bytes(b"\0")
    (tmp_path / ".hidden.txt").write_text("no")
    documents, dropped = read_documents(tmp_path, "text", None)
    assert [(one.text, one.source) for one in documents] == [
        ("eins = 1\n", "a.py"),
        ("zwei\nZeilen ä\n", "b.txt"),
        ("drei", "sub/c.jsonl row 1"),
        ("vier", "sub/c.jsonl row 2"),
    ]
    assert dropped == {"files: of another kind": 1}


def test_identical_and_empty_documents_are_left_out_and_counted(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        rows(*({"text": text} for text in ("one", "two", "one", " ", "two \n", "three")))
    )
    documents, dropped = read_documents(tmp_path, "text", None)
    assert [one.text for one in documents] == ["one", "two", "three"]
    assert dropped == {"identical": 2, "empty": 1}


def test_a_separator_makes_documents_of_one_file(tmp_path):
    (tmp_path / "book.txt").write_text("first\n***\nsecond\n***\nthird")
    documents, _ = read_documents(tmp_path, "text", "\n***\n")
    assert [(one.text, one.source) for one in documents] == [
        ("first", "book.txt part 1"),
        ("second", "book.txt part 2"),
        ("third", "book.txt part 3"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", b"fine\nfine\nb\xe4d\n", ["a.txt", "row 3", "0xe4", "UTF-8"]),
        ("a.txt", b"", ["a.txt", "empty"]),
        ("a.txt", b" \n\n", ["a.txt", "empty"]),
        ("a.jsonl", b'{"text": "x"}\n{"text": \n', ["a.jsonl", "row 2", "not JSON"]),
        ("a.jsonl", b'{"text": "x"}\n\n["x"]\n', ["a.jsonl", "row 3", "object", "'text'"]),
        (
            "a.jsonl",
            b'{"body": "x"}\n',
            ["a.jsonl", "row 1", "column 'text'", "seen: body", "text_field"],
        ),
        ("a.jsonl", b'{"text": 5}\n', ["row 1", "column 'text'", "must be a text, seen 5"]),
        ("a.jsonl", b'{"text": "\\ud800"}\n', ["row 1", "surrogate"]),
        ("a.png", b"x", ["a.png", ".jsonl"]),
    ],
)
def test_unusable_data_is_named_with_file_and_row(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadData) as error:
        read_documents(tmp_path, "text", None)
    assert [word for word in words if word not in str(error.value)] == []


@pytest.mark.parametrize("mark", ["\n\n", "\n", ". ", " "])
def test_a_single_text_is_cut_into_parts_that_hold_all_of_it(mark):
    whole = Document(
        mark.join(f"Sentence {number} is about thing {number * 7}" for number in range(300)),
        "a.txt",
    )
    parts = in_parts([whole])
    assert "".join(part.text for part in parts) == whole.text
    assert 10 <= len(parts) <= 20
    assert all(part.text.endswith(mark) for part in parts[:-1])
    assert min(len(part.text) for part in parts) >= 200


def test_a_single_file_is_trained_on_in_parts_and_the_line_says_so(tmp_path):
    (tmp_path / "a.txt").write_text(
        "".join(f"Line {number} of a short file.\n" for number in range(40))
    )
    summary = features(tmp_path, tmp_path / "out")
    assert summary["headline"].endswith("; parts of one text")
    assert "1 document was cut into" in summary["notes"][0]
    assert min(summary["rows"].values()) >= 1


def test_too_little_text_is_refused_with_what_is_needed(tmp_path):
    (tmp_path / "a.txt").write_text("only one document")
    with pytest.raises(
        BadData, match=r"1 different documents; at least 3 are needed.*200 characters"
    ):
        features(tmp_path, tmp_path / "out")


def test_data_of_ones_own_goes_through_the_stages(tmp_path):
    data = tmp_path / "reviews.jsonl"
    data.write_text(
        rows(*({"body": f"Review number {number} is about a thing."} for number in range(40)))
    )
    config = LanguageConfig(
        data=DataSettings(uri=str(data)),
        features=LanguageFeatures(text_field="body", vocabulary=300),
    )
    run = Run.of("language", config.model_dump(mode="json"))
    ingest(run, dataset=tmp_path / "dataset")
    headline = features_stage(run, dataset=tmp_path / "dataset", features=tmp_path / "features")
    assert headline.startswith("40 documents")
    assert (
        sum(
            len(read_split(tmp_path / "features", split))
            for split in ("train", "validation", "test")
        )
        == 40
    )


def test_documents_stay_whole_and_shares_are_kept():
    rng = np.random.default_rng(0)
    documents = [
        Document(f"{number} " * int(rng.integers(5, 200)), str(number)) for number in range(300)
    ]
    splits = divide(documents, 0.1, 0.2, seed=1)
    total = sum(len(one.text) for one in documents)
    sizes = {
        name: sum(len(one.text) for one in members) / total for name, members in splits.items()
    }
    assert sizes["validation"] == pytest.approx(0.1, abs=0.01)
    assert sizes["test"] == pytest.approx(0.2, abs=0.01)
    assert sorted(one.source for members in splits.values() for one in members) == sorted(
        map(str, range(300))
    )
    assert divide(documents, 0.1, 0.2, seed=2) != splits == divide(documents, 0.1, 0.2, seed=1)


@pytest.mark.parametrize("sizes", [(5, 5, 5), (1000, 5, 5), (5, 1000, 1000), (1000, 1000, 1000, 1)])
def test_no_split_is_empty_however_unequal_the_documents(sizes):
    documents = [Document("x" * size, str(number)) for number, size in enumerate(sizes)]
    assert all(divide(documents, 0.1, 0.1, seed=0).values())


def test_the_tokenizer_has_seen_the_training_split_alone_and_loses_nothing(tmp_path):
    (tmp_path / "raw").mkdir()
    for number in range(20):
        (tmp_path / f"raw/{number}.txt").write_text(
            f"{'äöü' if number % 2 else 'aou'} wort{number} " * 20
        )
    features(tmp_path / "raw", tmp_path / "out")
    train = [one.text for one in read_split(tmp_path / "out", "train")]
    train_tokenizer(train, 300, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (
        tmp_path / "out/assets/tokenizer.json"
    ).read_bytes()
    codec = Codec(tmp_path / "again.json")
    for text in ("  tab\tand  spaces \n\n", "日本語 😀 \x00", "<|endoftext|>", ""):
        assert codec.decode(codec.encode(text)) == text
    assert 0 not in codec.encode("<|endoftext|>")


def test_tokens_are_counted_by_the_tokenizer_of_a_checkpoint(tmp_path):
    """The line and the card told of one that nothing used."""
    base = tmp_path / "base"
    base.mkdir()
    train_tokenizer(["weather, whether and feathers"] * 9, 270, base / "tokenizer.json")
    (base / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    (base / "model.safetensors").touch()
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    (raw / "a.jsonl").write_text(rows(*({"text": f"text {n} whether"} for n in range(9))))
    (out / "assets").mkdir(parents=True)
    config = LanguageConfig.model_validate({"model": {"checkpoint": str(base)}})
    assert config.for_features()["model"]["checkpoint"] == str(base)
    summary = LanguageData(config).features(raw, out)
    kept = out / "assets/tokenizer.json"
    assert kept.read_bytes() == (base / "tokenizer.json").read_bytes()
    assert f"{Codec(kept).size} tokens" in summary["headline"]
    assert any("is the checkpoint's" in note for note in summary["notes"])


def test_prompts_are_passages_of_their_split(tmp_path, features_of_modules):
    for split in ("train", "validation", "test"):
        bodies = LanguageData(LanguageConfig()).requests(features_of_modules, split, None)
        texts = [one.text for one in read_split(features_of_modules, split)]
        assert 20 < len(bodies) <= 96
        assert all(any(body["prompt"] in text for text in texts) for body in bodies)
        assert bodies[:5] == LanguageData(LanguageConfig()).requests(features_of_modules, split, 5)


@pytest.fixture
def features_of_modules(tmp_path) -> Path:
    family = Language(LanguageConfig.debug())
    (tmp_path / "modules").mkdir()
    (tmp_path / "made/assets").mkdir(parents=True)
    family.sample(tmp_path / "modules")
    family.features(tmp_path / "modules", tmp_path / "made")
    return tmp_path / "made"


def test_packed_rows_hold_every_target_once_and_keep_documents_apart():
    rng = np.random.default_rng(0)
    documents = [rng.integers(1, 99, size).tolist() for size in (3, 40, 1, 17, 8, 100, 5, 31)]
    packed = pack(documents, 32, start=0, end=0)
    kept = packed.targets != -100
    assert kept.sum() == sum(len(ids) + 1 for ids in documents)
    np.testing.assert_array_equal(kept, packed.positions >= 0)
    np.testing.assert_array_equal(kept, packed.segments >= 0)
    targets = sorted(packed.targets[kept].tolist())
    assert targets == sorted([token for ids in documents for token in [*ids, 0]])
    for ids, wanted, positions, segments in zip(*vars(packed).values(), strict=True):
        for segment in range(segments.max() + 1):
            inside = segments == segment
            np.testing.assert_array_equal(positions[inside], np.arange(inside.sum()))
            np.testing.assert_array_equal(ids[inside][1:], wanted[inside][:-1])
    assert kept.mean() > 0.9
