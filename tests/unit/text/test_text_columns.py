"""Files with a word and its tags a line, as treebanks and collections of names write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelyard.errors import BadData
from modelyard.families.text.config import TextConfig
from modelyard.families.text.tagging.reading import Tagged, read_tagged, read_untagged
from modelyard.families.text.tasks.data import data as open_data
from modelyard.store.files import File

UNIVERSAL = """# sent_id = 1
# text = Im Dorf #schläft er.
1-2\tIm\t_\t_\t_\t_\t_\t_\t_\t_
1\tIn\tin\tADP\tAPPR\t_\t3\tcase\t_\t_
2\tdem\tder\tDET\tART\t_\t3\tdet\t_\t_
3\tDorf\tDorf\tNOUN\tNN\t_\t4\tobl\t_\t_
3.1\tnur\tnur\tADV\tADV\t_\t_\t_\t_\t_
4\t#schläft\tschlafen\tVERB\tVVFIN\t_\t0\troot\t_\t_
5\ter\ter\tPRON\tPPER\t_\t4\tnsubj\t_\tSpaceAfter=No
"""


def said(found: Tagged) -> list[tuple[list[str], list[str]]]:
    return [(one.words, one.tags) for one in found.sentences]


def read(tmp_path: Path, content: str, name: str = "a.conll") -> Tagged:
    (tmp_path / name).write_text(content)
    return read_tagged(tmp_path)


def test_parts_of_speech_of_universal_dependencies_are_read(tmp_path: Path) -> None:
    found = read(tmp_path, UNIVERSAL, "de_gsd-ud-dev.conllu")
    words = ["In", "dem", "Dorf", "#schläft", "er"]
    assert said(found) == [(words, ["B-ADP", "B-DET", "B-NOUN", "B-VERB", "B-PRON"])]
    assert "each word is a span" in found.notes[-1]
    bodies = read_untagged(File(tmp_path, "de_gsd-ud-dev.conllu"))
    assert bodies == [{"text": " ".join(words)}]


def test_labels_without_a_beginning_are_spans_of_neighbours(tmp_path: Path) -> None:
    found = read(tmp_path, "New LOC\nYork LOC\nAda PER\nsaid O\nRome LOC\n")
    tags = ["B-LOC", "I-LOC", "B-PER", "O", "B-LOC"]
    assert said(found) == [(["New", "York", "Ada", "said", "Rome"], tags)]
    assert "neighbouring words of one label are one span" in found.notes[0]


def test_a_first_column_that_counts_is_no_word(tmp_path: Path) -> None:
    lines = ["#\thttp://a.de/1\t[2010]\t", "1\t#Ada\tB-PER\tO", "2\tlebt\tO\tO", ""]
    lines += ["#\thttp://a.de/2\t[2010]\t", "1\tUni\tB-ORG\tO", "2\tRom\tI-ORG\tB-LOC", ""]
    found = read(tmp_path, "\n".join(lines), "dev.tsv")
    assert said(found) == [(["#Ada", "lebt"], ["B-PER", "O"]), (["Uni", "Rom"], ["B-ORG", "I-ORG"])]
    assert "the word is column 2, the tag column 3" in found.notes[0]


def test_two_odd_tags_do_not_hide_the_scheme_of_a_corpus(tmp_path: Path) -> None:
    sentence = "EU I-ORG\nsaid O\n\n"
    found = read(tmp_path, sentence * 20 + "Atlanta B-MISC\n")
    assert found.notes == ["The tags are IOB1, read as BIO."]


def test_words_that_nobody_sees_are_left_out_and_counted(tmp_path: Path) -> None:
    found = read(tmp_path, "Ada B-PER\n\ufeff\nmet O\n", "a.conll")
    assert said(found) == [(["Ada"], ["B-PER"]), (["met"], ["O"])]
    found = read(tmp_path, "Ada\tB-PER\n\ufeff\tO\nRome\tB-LOC\n")
    assert said(found) == [(["Ada", "Rome"], ["B-PER", "B-LOC"])]
    assert found.notes[0] == "a.conll: lines without a word are left out (1)."


def test_files_called_as_splits_need_no_ending(tmp_path: Path) -> None:
    for split in ("train", "dev", "test"):
        (tmp_path / split).write_text(f"de:Ada\tB-PER\nde::\tO\nde:{split}\tO\n")
    found = read_tagged(tmp_path)
    assert [one.words[2] for one in found.sentences] == ["dev", "test", "train"]
    assert found.sentences[0].words == ["Ada", ":", "dev"]
    assert "dev: de: before every word is left out." in found.notes


def test_a_file_to_answer_is_read_as_the_training_data_are(tmp_path: Path) -> None:
    lines = "de:Ada\tB-PER\nde:said\tO\n\nde:Rome\tB-LOC\n \tO\n"
    (tmp_path / "a.conll").write_text(lines)
    words = [one.words for one in read_tagged(tmp_path).sentences]
    assert words == [["Ada", "said"], ["Rome"]]
    bodies = read_untagged(File(tmp_path, "a.conll"))
    assert bodies == [{"text": " ".join(some)} for some in words]


def test_a_test_split_is_not_left_out_for_its_ending(tmp_path: Path) -> None:
    (tmp_path / "AnEM.train").write_text("heart B-Organ\n")
    (tmp_path / "AnEM.test").write_text("lung B-Organ\n")
    assert len(read_tagged(tmp_path).sentences) == 2
    (tmp_path / "AnEM.test").write_text("lung\n")
    with pytest.raises(BadData, match=r"AnEM.test, row 1: has one column.*without tags out"):
        read_tagged(tmp_path)


def test_lines_of_text_are_no_tags(tmp_path: Path) -> None:
    lines = [f"word{n} label{n}" for n in range(300)]
    with pytest.raises(BadData, match="row 1: 'label0' is no tag"):
        read(tmp_path, "\n".join(lines), "a.txt")


def test_tags_that_are_read_as_labels_say_which_task_they_are_for(tmp_path: Path) -> None:
    (tmp_path / "a.conllu").write_text(UNIVERSAL)
    for raw in (tmp_path, tmp_path / "a.conllu"):
        with pytest.raises(BadData, match="words and their tags.*Type: --set features.task=tag"):
            open_data(TextConfig()).check(raw)
