"""Text files of equally many lines: texts next to their labels, their tags or their translations."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from modelyard.errors import BadData
from modelyard.families.text.config import TextConfig
from modelyard.families.text.tagging.reading import read_tagged
from modelyard.families.text.tasks.data import data as open_data

MOODS = ["joy", "fear"]


def built(raw: Path, **features: Any) -> dict[str, Any]:
    out = raw.parent / "out"
    (out / "assets").mkdir(parents=True, exist_ok=True)
    return open_data(TextConfig.model_validate({"features": features})).features(raw, out)


def write(raw: Path, **files: list[str]) -> Path:
    raw.mkdir(parents=True, exist_ok=True)
    for name, lines in files.items():
        (raw / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return raw


def texts(split: str, count: int) -> list[str]:
    # A separator of lines that ends none here, as tweets hold it.
    return [f"{MOODS[n % 2]} is\u2028in {split} {n}" for n in range(count)]


def labels(count: int) -> list[str]:
    return [str(n % 2) for n in range(count)]


def tweets(raw: Path) -> Path:
    for split, count in (("train", 30), ("val", 8), ("test", 9)):
        named = {f"{split}_text": texts(split, count), f"{split}_labels": labels(count)}
        write(raw, **named)
    return write(raw, mapping=["0\tjoy\t", "1\tfear\t"], README=["About it"])


def test_labels_stand_in_a_file_next_to_their_texts(tmp_path: Path) -> None:
    summary = built(tweets(tmp_path / "raw"))
    assert summary["rows"] == {"train": 30, "validation": 8, "test": 9}
    assert summary["classes"]["fear"] == {"train": 15, "validation": 4, "test": 4}
    assert "Line n of train_text.txt belongs to line n of train_labels.txt." in summary["notes"]
    assert "mapping.txt names the classes: 0 is joy, 1 is fear." in summary["notes"]


def test_a_file_without_its_other_half_is_named(tmp_path: Path) -> None:
    raw = tweets(tmp_path / "raw")
    (raw / "train_text.txt").unlink()
    with pytest.raises(BadData, match=r"train_labels.txt: there is no file of the text next to it"):
        built(raw)


def test_lines_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    raw = tweets(tmp_path / "raw")
    write(raw, val_labels=labels(7))
    with pytest.raises(BadData, match=r"val_labels.txt: has 7 lines, val_text.txt 8. Line n of"):
        built(raw)


def test_several_data_sets_below_one_folder_are_no_classes(tmp_path: Path) -> None:
    for task in ("irony", "hate"):
        tweets(tmp_path / "raw" / task)
    with pytest.raises(BadData, match=r"holds several data sets: hate, irony. Point data.uri at"):
        built(tmp_path / "raw")


def slots(raw: Path) -> Path:
    for split, count in (("train", 30), ("valid", 8), ("test", 9)):
        folder = raw / split
        folder.mkdir(parents=True)
        (folder / "seq.in").write_text("".join(f"to Rome {split}{n}\n" for n in range(count)))
        (folder / "seq.out").write_text("O B-city O \n" * count)
        (folder / "label").write_text("".join(f"go{n % 2}\n" for n in range(count)))
    return raw


def test_words_tags_and_intents_of_spoken_requests(tmp_path: Path) -> None:
    raw = slots(tmp_path / "raw")
    tagged = built(raw, task="tag")
    assert tagged["rows"] == {"train": 30, "validation": 8, "test": 9}
    assert tagged["classes"]["B-city"] == tagged["rows"]
    assert built(raw)["classes"]["go0"] == {"train": 15, "validation": 4, "test": 5}
    (raw / "test/seq.out").write_text("O B-city O\n" * 8 + "O B-city\n")
    with pytest.raises(
        BadData, match=r"seq.out, row 9: has 2 tags, the same line of seq.in 3 words"
    ):
        read_tagged(raw)


def languages(raw: Path, ending: str = "") -> Path:
    raw.mkdir()
    for stem, count in (("train", 30), ("val", 8), ("test_2016_flickr", 9)):
        for language, word in (("de", "Hunde"), ("en", "dogs")):
            content = "".join(f"{n} {word} {stem}\n" for n in range(count)).encode()
            if ending:
                content = gzip.compress(content)
            (raw / f"{stem}.{language}{ending}").write_bytes(content)
    return raw


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_file_for_each_language_is_read_in_the_direction_that_is_set(
    tmp_path: Path, ending: str
) -> None:
    raw = languages(tmp_path / "raw", ending)
    # Neither file is the first: which language is wanted must be said.
    with pytest.raises(BadData, match=r"seen: 'de', 'en'. Name them: --set features.text_column"):
        built(raw, task="translate")
    summary = built(raw, task="translate", text_column="de", label_column="en")
    assert summary["rows"] == {"train": 30, "validation": 8, "test": 9}
    assert summary["notes"][-1] == "The source is the column 'de', the target 'en'."


def test_sources_and_targets_by_their_names(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for role in ("src", "tgt"):
        (raw / f"pairs.{role}").write_text("".join(f"{role} {n}\n" for n in range(60)))
    summary = built(raw, task="translate")
    assert sum(summary["rows"].values()) == 60
    assert summary["notes"][-1] == "The source is the column 'source', the target 'target'."


def test_a_class_that_only_the_test_split_holds_is_left_out_and_counted(tmp_path: Path) -> None:
    raw = slots(tmp_path / "raw")
    lines = (raw / "test/label").read_text().splitlines()
    (raw / "test/label").write_text("\n".join(["atis_day_name", *lines[1:]]))
    summary = built(raw)
    assert summary["rows"] == {"train": 30, "validation": 8, "test": 8}
    assert summary["dropped"] == {"of rare classes": 1}
    said = "1 class of fewer than 6 texts, or that a split of the data lacks, left out"
    assert any(f"{said} (atis_day_name: 1)" in note for note in summary["notes"])
    # More of them are no tail, and named classes are wanted.
    (raw / "test/label").write_text("\n".join(["other"] * 3 + lines[3:]))
    with pytest.raises(BadData, match="class 'other' has no training text. Add training texts"):
        built(raw)


def test_data_without_a_training_split_say_so(tmp_path: Path) -> None:
    raw = slots(tmp_path / "raw")
    (raw / "train").rename(tmp_path / "train")
    with pytest.raises(BadData, match="has no training sentences; seen: validation, test. Add the"):
        built(raw, task="tag")
