"""Texts as people keep them: what is read of a file, what is counted, what is refused."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.errors import BadData, UsageError
from modelyard.families.text.config import TextConfig, TextFeatures
from modelyard.families.text.data import TextData
from modelyard.families.text.spec import TextSpec
from modelyard.kit.classifier import store
from modelyard.kit.text.simple import load_simple
from modelyard.stages.lost import losses

GOOD = "good film, lovely acting, scene {}"
BAD = "poor film, wooden acting, scene {}"


def reviews(each: int = 20) -> list[tuple[str, str]]:
    found = [(GOOD.format(number), "praise") for number in range(each)]
    return found + [(BAD.format(number), "blame") for number in range(each)]


def table(raw: Path, header: tuple[str, ...], rows: list[Any], name: str = "data.csv") -> Path:
    raw.mkdir(parents=True, exist_ok=True)
    with (raw / name).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)
    return raw


def built(raw: Path, **settings: object) -> tuple[dict[str, Any], Path]:
    out = raw.parent / "out"
    (out / "assets").mkdir(parents=True, exist_ok=True)
    config = TextConfig(features=TextFeatures.model_validate(settings))
    return TextData(config).features(raw, out), out


def stored(out: Path) -> dict[str, str]:
    """Label by text, over all splits."""
    classes = TextSpec.load(out / "assets").classes
    found = {}
    for split in ("train", "validation", "test"):
        labels = store.load_labels(out, split).tolist()
        for (_, data), label in zip(store.load_files(out, split), labels, strict=True):
            found[data.decode()] = classes[label]
    return found


def test_columns_are_found_by_their_names_or_by_what_they_hold(tmp_path: Path) -> None:
    rows = [(f"{number}", label, text) for number, (text, label) in enumerate(reviews())]
    summary, out = built(table(tmp_path / "a/raw", ("id", "sentiment", "review"), rows))
    assert stored(out) == dict(reviews())
    assert "The text is the column 'review', the label 'sentiment'." in summary["notes"]
    rows = [(label, text) for text, label in reviews()]
    summary, out = built(table(tmp_path / "b/raw", ("оценка", "отзыв"), rows))
    assert stored(out) == dict(reviews())
    assert "The text is the column 'отзыв', the label 'оценка'." in summary["notes"]


def test_columns_that_a_spreadsheet_left_behind_the_last_one_are_none(tmp_path: Path) -> None:
    """As in the table of SMS that people try first."""
    rows = [
        (label, text, "", "and more" if text.endswith("7") else "") for text, label in reviews()
    ]
    summary, out = built(table(tmp_path / "raw", ("v1", "v2", "Unnamed: 2", "Unnamed: 3"), rows))
    assert "The text is the column 'v2', the label 'v1'." in summary["notes"]
    assert len(stored(out)) == len(rows)


def test_a_table_whose_label_nobody_can_tell_is_refused_with_what_to_type(tmp_path: Path) -> None:
    rows = [(text, label, "x") for text, label in reviews()]
    raw = table(tmp_path / "raw", ("words", "a", "b"), rows)
    with pytest.raises(BadData, match=r"seen: words, a, b.*--set features.label_column=NAME"):
        built(raw)
    assert built(raw, label_column="a")[0]["classes"].keys() == {"blame", "praise"}
    with pytest.raises(BadData, match="column 'aa' is unknown"):
        built(raw, label_column="aa")


def test_rows_without_a_text_or_a_label_are_counted_on_the_stage_s_line(tmp_path: Path) -> None:
    rows = [*reviews(), ("", "praise"), ("   ", "blame"), ("no label here", "")]
    summary, _ = built(table(tmp_path / "raw", ("text", "label"), rows))
    assert "3 of 43 texts dropped: no text (2), no label (1)" in losses(summary)


def test_one_class_is_refused(tmp_path: Path) -> None:
    raw = table(tmp_path / "raw", ("text", "label"), reviews()[:20])
    with pytest.raises(BadData, match="has only one class, 'praise'"):
        built(raw)


def test_all_classes_with_too_few_texts_are_named_and_lists_are_told_what_they_are(
    tmp_path: Path,
) -> None:
    rows = [*reviews(), ("one", "b"), ("two", "a"), ("three", "c")]
    raw = table(tmp_path / "few/raw", ("text", "label"), rows)
    said = "class 'a' has 1 .*6 are needed. 2 more classes have too few: 'b', 'c'. Add texts of it"
    with pytest.raises(BadData, match=said):
        built(raw)
    raw = table(tmp_path / "lists/raw", ("text", "label"), [*reviews(), ("x", '["blame", "long"]')])
    with pytest.raises(BadData, match="several labels: --set features.labels=many"):
        built(raw)


def test_windows_1252_is_read_and_said(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    lines = ["text;label", *(f"größer {text};{label}" for text, label in reviews())]
    (raw / "data.csv").write_bytes("\n".join(lines).encode("cp1252"))
    summary, out = built(raw)
    assert set(stored(out)) == {f"größer {text}" for text, _ in reviews()}
    assert any("was read as Windows-1252" in note for note in summary["notes"])


def test_quotes_over_lines_and_emoji_are_part_of_a_text(tmp_path: Path) -> None:
    rows = [(f'a "quote",\n\nand 🎉 {text}', label) for text, label in reviews()]
    _, out = built(table(tmp_path / "raw", ("text", "label"), rows))
    assert set(stored(out)) == {text for text, _ in rows}


def test_numbers_as_labels_stay_as_they_are_written(tmp_path: Path) -> None:
    rows = [(text, {"praise": "01", "blame": "1"}[label]) for text, label in reviews()]
    _, out = built(table(tmp_path / "raw", ("text", "label"), rows))
    assert Counter(stored(out).values()) == {"01": 20, "1": 20}


def test_a_text_under_two_labels_is_left_out_and_copies_are_read_once(tmp_path: Path) -> None:
    unclear = [("so so", "praise"), ("so so", "blame")]
    copies = [(f" {GOOD.format(3)}", "praise"), (GOOD.format(3).replace(" ", "  "), "praise")]
    summary, out = built(
        table(tmp_path / "raw", ("text", "label"), [*reviews(), *unclear, *copies])
    )
    assert len(stored(out)) == 40
    assert summary["dropped"] == {"same text as another": 2, "same text under several labels": 2}


def test_a_long_text_is_cut_and_counted(tmp_path: Path) -> None:
    rows = [*reviews(), ("wörd " * 200_000, "praise")]
    summary, out = built(table(tmp_path / "raw", ("text", "label"), rows))
    assert "; 1 texts cut at 16 tokens" in summary["headline"]
    assert store.load_arrays(out, "train").shape[1] == 16
    raw = table(tmp_path / "b/raw", ("text", "label"), rows)
    with pytest.raises(
        BadData, match=r"row 41, column 'text': has 500,000 bytes; at most 499,999 are"
    ):
        built(raw, most_megabytes=0.499999)  # within a letter


def test_both_ends_of_a_long_text_are_read_where_the_settings_say_so(tmp_path: Path) -> None:
    rows = reviews()
    spec = TextSpec.load(built(table(tmp_path / "raw", ("text", "label"), rows))[1] / "assets")
    ends = spec.model_copy(update={"long": "ends", "length": 8})
    ids = spec.encoded(" ".join(text for text, _ in rows)).ids
    assert ends.fitted(ids).tolist() == [*ids[:4], *ids[-4:]]
    head = spec.model_copy(update={"length": 8})
    assert head.fitted(ids).tolist() == [*ids[:7], ids[-1]]
    assert head.fitted(ids[:3]).tolist() == [*ids[:3], *[spec.pad] * 5]


def test_json_rows_are_read_and_broken_ones_named(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    lines = [json.dumps({"body": text, "class": label == "praise"}) for text, label in reviews()]
    (raw / "data.jsonl").write_text("\n".join(lines))
    assert Counter(stored(built(raw)[1]).values()) == {"true": 20, "false": 20}
    # Other fields may hold anything, such as numbers that no table can.
    numbered = [line.replace("{", '{"id": 1%s, ' % ("0" * 30), 1) for line in lines]
    (raw / "data.jsonl").write_text("\n".join(numbered))
    assert Counter(stored(built(raw, label_column="class")[1]).values()) == {
        "true": 20,
        "false": 20,
    }
    for line, said in (
        ("{", "row 41: is not JSON"),
        ("[1]", "row 41: must be a JSON object"),
        ('{"body": "\\ud83d", "class": true}', "row 41, column 'body': holds half of a surrogate"),
    ):
        (raw / "data.jsonl").write_text("\n".join([*lines, line]))
        with pytest.raises(BadData, match=said):
            built(raw)


def test_files_named_as_splits_and_a_column_split_are_these_splits(tmp_path: Path) -> None:
    for name, numbers in (("train", (0, 12)), ("dev", (12, 16)), ("test", (16, 20))):
        rows = [
            (text.format(number), label)
            for text, label in ((GOOD, "praise"), (BAD, "blame"))
            for number in range(*numbers)
        ]
        table(tmp_path / "raw", ("text", "label"), rows, f"{name}.csv")
    summary, _ = built(tmp_path / "raw")
    assert summary["rows"] == {"train": 24, "validation": 8, "test": 8}
    rows = [(text, label, "train") for text, label in reviews()]
    for value, said in (
        ("somewhere", "split 'somewhere' is unknown"),
        ("", "empty, where other rows name a split"),
    ):
        rows[7] = (*rows[7][:2], value)
        raw = table(tmp_path / "b/raw", ("text", "label", "split"), rows)
        with pytest.raises(BadData, match=rf"row 8, column 'split': {said}"):
            built(raw)


def test_rows_of_one_group_stay_in_one_split(tmp_path: Path) -> None:
    rows = [(text, label, number % 10) for number, (text, label) in enumerate(reviews(40))]
    raw = table(tmp_path / "raw", ("text", "label", "group"), rows)
    _, out = built(raw)
    groups = {text: group for text, _, group in rows}
    seen = [
        {groups[data.decode()] for _, data in store.load_files(out, split)}
        for split in ("train", "validation", "test")
    ]
    assert sum(map(len, seen)) == 10
    with pytest.raises(UsageError, match="'features.group_pattern' is for files"):
        built(raw, group_pattern="(a)")


def test_a_file_without_the_label_is_named(tmp_path: Path) -> None:
    table(tmp_path / "raw", ("text", "label"), reviews(), "train.csv")
    table(tmp_path / "raw", ("text",), [["new"]], "more.csv")
    with pytest.raises(
        BadData, match=r"more.csv, column 'label': the column is missing; seen: text"
    ):
        built(tmp_path / "raw")


def test_text_files_in_class_folders_are_read(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for number, (text, label) in enumerate(reviews()):
        (raw / label).mkdir(parents=True, exist_ok=True)
        (raw / label / f"{number}.txt").write_bytes(f"é {text}\n".encode("cp1252"))
    (raw / "praise" / "scan.pdf").write_text("x")
    summary, out = built(raw)
    assert set(stored(out)) == {f"é {text}" for text, _ in reviews()}
    assert "1 of 41 texts dropped: .pdf is not read: save it as .txt" in losses(summary)
    (note,) = [note for note in summary["notes"] if "Windows-1252" in note]
    assert note.endswith("(and so on for 39 more files)")
    (raw / "praise" / "empty.txt").touch()
    with pytest.raises(BadData, match=r"empty.txt: the file is empty"):
        built(raw)


def test_what_lies_unlabelled_in_a_split_is_no_class(tmp_path: Path) -> None:
    """As in the folder of the IMDB reviews."""
    raw = tmp_path / "raw"
    for number, (text, label) in enumerate(reviews(40)):
        for split in ("train", "test"):
            (raw / split / label).mkdir(parents=True, exist_ok=True)
            (raw / split / label / f"{number}.txt").write_text(f"{text} {split}")
    for name in ("unsup", "rumour"):
        (raw / "train" / name).mkdir()
        for number in range(30):
            (raw / "train" / name / f"{number}.txt").write_text(f"{name} {number}")
    with pytest.raises(BadData, match="test split .* none of class 'rumour'. Give it some in this"):
        built(raw)
    shutil.rmtree(raw / "train" / "rumour")
    summary, out = built(raw)
    assert "30 of 190 texts dropped: without a label, in train/unsup" in losses(summary)
    assert set(stored(out).values()) == {label for _, label in reviews()}


def test_a_file_that_is_no_table_is_refused_before_a_run(tmp_path: Path) -> None:
    file = tmp_path / "notes.docx"
    file.write_bytes(b"PK\x03\x04")
    with pytest.raises(BadData, match=r"notes.docx: is no table of texts. Allowed: .csv"):
        TextData(TextConfig()).check(file)


def test_special_tokens_typed_by_a_person_are_text(tmp_path: Path) -> None:
    spec = TextSpec.load(built(table(tmp_path / "raw", ("text", "label"), reviews()))[1] / "assets")
    ids = spec.encoded("[SEP] [PAD]").ids
    assert ids[0] in spec.special
    assert ids[-1] in spec.special
    assert spec.pad not in ids
    assert spec.special.index(ids[-1]) not in ids[1:-1]


def test_the_simple_answer_is_fitted_on_the_training_texts_alone(tmp_path: Path) -> None:
    _, out = built(table(tmp_path / "raw", ("text", "label"), reviews(30)))
    found = load_simple(out, "test")
    assert found is not None
    assert found.sum(axis=1) == pytest.approx(1)
    assert (found.argmax(axis=1) == store.load_labels(out, "test")).all()
    before = found.copy()
    files = dict(store.load_files(out, "test"))
    rows = [
        (text + " unseen", label) for text, label in reviews(30) if text.encode() in files.values()
    ]
    rows += [(text, label) for text, label in reviews(30) if text.encode() not in files.values()]
    assert np.abs(before - found).max() == 0
    assert load_simple(out, "train") is None


def test_settings_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ValueError, match="--set model.kind=bert"):
        TextConfig.model_validate({"model": {"kind": "lstm", "pretrain_epochs": 2}})
    with pytest.raises(ValueError, match="a multiple of 32"):
        TextConfig.model_validate({"model": {"kind": "bert", "width": 100}})


def test_a_checkpoint_that_is_none_is_refused(tmp_path: Path) -> None:
    raw = table(tmp_path / "raw", ("text", "label"), reviews())
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    model = {"kind": "bert", "checkpoint": str(folder)}
    data = TextData(TextConfig.model_validate({"model": model}))
    (tmp_path / "out/assets").mkdir(parents=True)
    for content, said in (
        (None, "has no config.json"),
        ({"model_type": "gpt2"}, "model_type 'gpt2' is unknown.*bert"),
        ([], "config.json holds no JSON object"),
        ("{", "config.json is not JSON"),
    ):
        if content is not None:
            text = content if isinstance(content, str) else json.dumps(content)
            (folder / "config.json").write_text(text)
            (folder / "tokenizer.json").write_text("{}")
            (folder / "model.safetensors").touch()
        with pytest.raises(UsageError, match=said):
            data.features(raw, tmp_path / "out")


@pytest.mark.parametrize(
    ("first", "names", "classes"),
    [
        (0, "bad\ngood\n", {"bad", "good"}),
        (1, "bad\ngood\n", {"bad", "good"}),
        (1, "none\nbad\ngood\n", {"1", "2"}),
        (4, "bad\ngood\n", {"4", "5"}),
    ],
)
def test_a_file_names_classes_that_are_numbers(
    tmp_path: Path, first: int, names: str, classes: set[str]
) -> None:
    words = ("awful", "lovely")
    rows = [(f"{words[n % 2]} item {n}", first + n % 2) for n in range(40)]
    raw = table(tmp_path / "raw", ("text", "label"), rows)
    (raw / "classes.txt").write_text(names)
    summary, out = built(raw)
    assert set(summary["classes"]) == classes
    said = "classes.txt is not read" if "4" in classes or "1" in classes else "classes.txt names"
    assert any(said in note for note in summary["notes"])
    if "good" in classes:
        spec = TextSpec.load(out / "assets").classes
        for split in ("train", "validation", "test"):
            held = zip(store.load_files(out, split), store.load_labels(out, split), strict=True)
            assert all((spec[label] == "good") == (b"lovely" in data) for (_, data), label in held)


def test_a_mail_with_a_few_unreadable_characters_is_read_and_they_are_counted(
    tmp_path: Path,
) -> None:
    raw = tmp_path / "raw"
    for label in ("ham", "spam"):
        (raw / label).mkdir(parents=True)
        for number in range(12):
            (raw / label / f"{number}.txt").write_text(f"{label} words {number} of a letter")
    mail = b"gr\xfc\xdfe, \x81 and \x1b " + b"words " * 40
    (raw / "spam/0.txt").write_bytes(mail)
    summary, out = built(raw)
    assert any("2 characters of 0.txt could not be read" in note for note in summary["notes"])
    assert any("grüße, \ufffd" in text for text in stored(out))
    # Of UTF-8 only what is broken is lost, and no letter becomes two others.
    (raw / "spam/0.txt").write_bytes("grüße, æøå ".encode() + b"\xe4 " + b"words " * 40)
    summary, out = built(raw)
    assert any("1 character of 0.txt could not be read" in note for note in summary["notes"])
    assert any("grüße, æøå \ufffd" in text for text in stored(out))
    (raw / "spam/0.txt").write_bytes(mail[:60] + b"\x81" * 9)
    with pytest.raises(BadData, match="spam/0.txt.*is not text in UTF-8 or Windows-1252"):
        built(raw)
