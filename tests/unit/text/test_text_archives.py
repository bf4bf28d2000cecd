"""Collections of texts as archives hand them out: single files without a header, splits as text files, and
tagged words in a table."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from modelyard.errors import BadData
from modelyard.families.text.config import TextConfig
from modelyard.families.text.tagging.reading import Sentence, read_tagged
from modelyard.families.text.tasks.data import data as open_data
from modelyard.kit.classifier import store

WORDS = ["Ada", "of", "New", "York", "said", ",", "NA", "null"]
TAGS = ["B-PER", "O", "B-LOC", "I-LOC", "O", "O", "O", "O"]


def built(raw: Path, **features: Any) -> tuple[dict[str, Any], Path]:
    out = raw.parent / "out"
    (out / "assets").mkdir(parents=True, exist_ok=True)
    return open_data(TextConfig.model_validate({"features": features})).features(raw, out), out


def write(file: Path, rows: list[list[str]], delimiter: str = ",") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="cp1252") as stream:
        csv.writer(stream, delimiter=delimiter).writerows(rows)
    return file.parent


def pairs(count: int = 60) -> list[list[str]]:
    # As Tatoeba's: a source has several translations, and each row says where it is from.
    found = [["Go.", "Va !"], ["Go.", "Marche."]]
    found += [[f"I saw {n} cats.", f"J'ai vu {n} chats."] for n in range(count)]
    return found


@pytest.mark.parametrize("origin", [[], ["CC-BY 2.0 (France) Attribution: tatoeba.org #1 (x)"]])
def test_pairs_without_a_header_are_sources_and_targets(tmp_path: Path, origin: list[str]) -> None:
    raw = write(tmp_path / "raw/fra.txt", [pair + origin for pair in pairs()], "\t")
    summary, _ = built(raw, task="translate")
    assert sum(summary["rows"].values()) == 62
    assert "The source is the column 'c1', the target 'c2'." in summary["notes"]


def test_of_a_table_of_two_columns_the_second_is_the_target(tmp_path: Path) -> None:
    header = ["English words/sentences", "French words/sentences"]
    summary, _ = built(
        write(tmp_path / "raw/eng_-french.csv", [header, *pairs()]), task="translate"
    )
    assert "the target 'French words/sentences'." in summary["notes"][-1]


def test_text_files_that_are_called_as_splits_are_tables(tmp_path: Path) -> None:
    moods = {"joy": "glad and happy", "fear": "scared and afraid", "anger": "mad and furious"}
    for split, count in (("train", 30), ("val", 9), ("test", 9)):
        rows = []
        for number in range(count):
            mood = list(moods)[number % 3]
            rows.append([f"i feel {moods[mood]} today, {split} {number}", mood])
        write(tmp_path / f"raw/{split}.txt", rows, ";")
    summary, out = built(tmp_path / "raw")
    assert summary["rows"] == {"train": 30, "validation": 9, "test": 9}
    assert all(b"val" in data for _, data in store.load_files(out, "validation"))


def test_text_files_called_as_splits_next_to_class_folders_are_no_tables(tmp_path: Path) -> None:
    for label in ("a", "b"):
        for number in range(12):
            write(tmp_path / f"raw/{label}/{number}.txt", [[f"{label} {number} of some words"]])
    write(tmp_path / "raw/train.txt", [["a/0.txt"], ["b/0.txt"]])
    summary, _ = built(tmp_path / "raw")
    assert sum(summary["rows"].values()) == 24
    assert summary["dropped"] == {"outside a class folder": 1}


def test_lines_of_fasttext_are_texts_with_labels_in_front(tmp_path: Path) -> None:
    lines = [f"__label__{'ab'[n % 2]} some {['good', 'bad'][n % 2]} words {n}" for n in range(40)]
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/train.txt").write_text("\n".join([*lines, "", "__label__a  more   words"]))
    summary, out = built(tmp_path / "raw")
    assert sum(summary["rows"].values()) == 41
    assert sorted(summary["classes"]) == ["a", "b"]
    assert any(data == b"some good words 0" for _, data in store.load_files(out, "train"))
    (tmp_path / "raw/train.txt").write_text("\n".join([*lines, "no label here"]))
    with pytest.raises(BadData, match="row 41: begins with 'no', where other lines have __label__"):
        built(tmp_path / "raw")


def test_several_labels_of_fasttext_ask_for_labels_many(tmp_path: Path) -> None:
    lines = [f"__label__{'ab'[n % 2]} __label__c some words {n}" for n in range(60)]
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/cooking.txt").write_text("\n".join(lines))
    summary, _ = built(tmp_path / "raw", labels="many")
    assert sorted(summary["classes"]) == ["a", "b", "c"]


def words_of(sentences: list[Sentence]) -> list[tuple[list[str], list[str]]]:
    return [(one.words, one.tags) for one in sentences]


@pytest.mark.parametrize("repeated", [False, True])
def test_a_row_a_word_with_a_column_of_sentences(tmp_path: Path, repeated: bool) -> None:
    rows = [["Sentence #", "Word", "POS", "Tag"]]
    for number in range(3):
        for place, (word, tag) in enumerate(zip(WORDS, TAGS, strict=True)):
            first = f"Sentence: {number + 1}" if repeated or place == 0 else ""
            rows.append([first, word, "NN", tag])
    found = read_tagged(write(tmp_path / "raw/ner_dataset.csv", rows))
    assert words_of(found.sentences) == [(WORDS, TAGS)] * 3
    assert [one.row for one in found.sentences] == [1, 9, 17]


def test_a_row_a_sentence_with_its_tags_as_a_list(tmp_path: Path) -> None:
    rows = [
        ["Sentence #", "Sentence", "Tag"],
        ["Sentence: 1", " ".join(WORDS), str(TAGS)],
        ["Sentence: 2", str(WORDS), str(TAGS)],
    ]
    found = read_tagged(write(tmp_path / "raw/ner.csv", rows))
    assert words_of(found.sentences) == [(WORDS, TAGS)] * 2


def test_a_quote_that_nothing_closes_is_named_with_its_row(tmp_path: Path) -> None:
    lines = ["sentence,word,tag", "1,a,O", '1,"b,O', *["1,c,O"] * 40_000]
    (tmp_path / "ner.csv").write_text("\n".join(lines))
    with pytest.raises(BadData, match="row 2: a quote is opened and never closed"):
        read_tagged(tmp_path)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([["Word", "Tag"], ["a", "O"]], "no column is the sentence by its name; seen: Word, Tag"),
        (
            [["sentence", "word", "tag"], ["1", "a", "PER"], ["1", "b", "B-PER"]],
            "row 1, column 'tag': 'PER' is no tag",
        ),
        ([["sentence", "word", "tag"], ["1", " ", "O"]], "row 1, column 'word': the word is empty"),
        ([["sentence", "word", "tag"], ["1", "a"]], "row 1: has 2 cells where the header has 3"),
        ([["text", "tags"], ["a b", "['O']"]], "row 1, column 'tags': has 2 words and 1 tags"),
        ([["text", "tags"], ["a b", "[O, O]"]], "row 1, column 'tags': is no list of texts"),
    ],
)
def test_what_is_no_tagged_table_is_named(tmp_path: Path, rows: list[list[str]], said: str) -> None:
    raw = write(tmp_path / "raw/ner.csv", rows)
    with pytest.raises(BadData) as caught:
        read_tagged(raw)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["SMSSpamCollection", "messages.xlsx", "citations.xlsx"])
def test_what_tells_about_the_only_table_does_not_hide_it(tmp_path: Path, name: str) -> None:
    rows = [
        [label, f"please call me at {n} o'clock, it is {label}"]
        for n in range(20)
        for label in ("ham", "spam")
    ]
    raw = tmp_path / "raw"
    raw.mkdir()
    if name.endswith("xlsx"):
        pd.DataFrame(rows, columns=["label", "text"]).to_excel(raw / name, index=False)
    else:
        write(raw / name, rows, "\t")
    (raw / "readme").write_text("Messages that people sent, and what they are.\n")
    (raw / "LICENSE.txt").write_text("Use them as you like.\n")
    summary, _ = built(raw)
    assert sum(summary["rows"].values()) == 40
    assert "2 classes" in summary["headline"]


def test_a_workbook_called_as_what_tells_about_others_is_read_where_it_is_the_only_file(
    tmp_path: Path,
) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    rows = [[f"please call at {n} o'clock", "ab"[n % 2]] for n in range(40)]
    pd.DataFrame(rows, columns=["text", "label"]).to_excel(raw / "changes.xlsx", index=False)
    summary, _ = built(raw)
    assert sum(summary["rows"].values()) == 40
