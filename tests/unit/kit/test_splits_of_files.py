"""A file stays in its split when others come, wherever it lies and whatever it is called."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

from modelyard.families.language.data import divide as divide_documents
from modelyard.families.language.documents import Document
from modelyard.kit.classifier.divide import divide
from modelyard.kit.classifier.examples import Example
from modelyard.kit.pictures.pixels import PICTURES
from modelyard.kit.splits import split_of
from modelyard.store.files import File

WANTED = {"validation": 0.15, "test": 0.2}


def pictures(numbers: range, folder: str, *, grouped: bool = False) -> list[Example]:
    return [
        Example(
            name=f"{folder}/{number}.png",
            file=File(Path("raw"), f"{folder}/{number}.png"),
            label="scratch" if number % 3 else "dent",
            group=f"part {number // 5}" if grouped else None,
            digest=f"{number:x}",
        )
        for number in numbers
    ]


def digests(examples: list[Example]) -> set[str]:
    return {example.digest for example in examples}


def parts(examples: list[Example], seed: int = 0) -> dict[str, list[Example]]:
    return divide(examples, PICTURES, WANTED, seed, Path("raw"))


def test_a_grown_folder_is_judged_on_nothing_that_trained():
    for grouped in (False, True):
        old = parts(pictures(range(300), "a", grouped=grouped))
        more = pictures(range(450), "renamed", grouped=grouped)
        random.Random(0).shuffle(more)
        new = parts(more)
        assert not digests(old["train"]) & digests(new["test"])
        assert len(new["test"]) in range(80, 100)
        dents = sum(example.label == "dent" for example in new["test"])
        assert dents in range(24, 37)


def test_splits_that_the_data_names_stay_and_only_the_others_are_drawn():
    named = [replace(one, split="test") for one in pictures(range(300, 360), "t")]
    found = parts([*pictures(range(300), "a"), *named])
    assert digests(found["test"]) == digests(named)
    assert len(found["validation"]) == 45
    # No split is in the order of its names: its first examples stand for it.
    names = [example.name for example in found["test"]]
    assert names != sorted(names)


def test_a_grown_corpus_is_judged_on_next_to_no_text_that_trained():
    drawn = random.Random(0)
    documents = [
        Document(f"document {n} " + "x" * drawn.randint(50, 800), f"{n}.txt") for n in range(400)
    ]
    old = divide_documents(documents[:300], 0.1, 0.1, 0)
    new = divide_documents(documents, 0.1, 0.1, 0)
    learned = {document.text for document in old["train"]}
    known = sum(len(one.text) for one in new["test"] if one.text in learned)
    assert known < 0.03 * sum(len(one.text) for one in new["test"])


def test_a_folder_that_is_called_as_a_split_says_it_and_a_word_of_a_file_does() -> None:
    said = {
        "train/seq.in": "train",
        "Test/a.conll": "test",
        "test/train.conll": "train",
        "eng.testa": "validation",
        "test_corpus/a.conll": None,
        "dev 2020/b/a.conll": None,
    }
    assert {name: split_of(File(Path("raw"), name)) for name in said} == said
