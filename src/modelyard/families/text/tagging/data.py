"""From tagged sentences to tokens and tags.

A stored sentence is JSON: its words and its tags in BIO. `<split>.labels.npy` holds, at the first
token of each word, the number of its tag, and NO_WORD elsewhere: int64 (sentences, length).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.errors import BadData, UsageError
from modelyard.families.text.checkpoint import LABELLING, TokensData
from modelyard.families.text.tagging.columns import COLUMNS
from modelyard.families.text.tagging.kind import SENTENCES
from modelyard.families.text.tagging.reading import TABLES, Sentence, read_tagged
from modelyard.families.text.tagging.samples import write_sample
from modelyard.families.text.tagging.schemes import OUTSIDE, parts, spans_of, to_bio
from modelyard.families.text.tagging.spec import TagSpec, tags_of, words_of
from modelyard.kit.classes.positive import Positive
from modelyard.kit.classifier.data import Look, Parts
from modelyard.kit.classifier.examples import Example, Listing
from modelyard.kit.classifier.parts import Content
from modelyard.kit.json_lines import JSON
from modelyard.kit.splits import split_of
from modelyard.kit.text.fitting import fit_tokens

NO_WORD = -1
FEW_DOCUMENTS = 20
"""With fewer documents than these, sentences are divided by themselves."""


class TagData(TokensData[TagSpec]):
    """From tagged sentences to tokens and tags."""

    Spec = TagSpec

    def sample(self, raw: Path) -> None:
        """Writes simulated sentences."""
        write_sample(raw, self.config.features.sample_texts, self.config.seed)

    def check(self, data: Path) -> None:
        """Reads files that are read quickly."""
        if data.is_file() and data.suffix.lower() not in COLUMNS | JSON | TABLES | {""}:
            allowed = ", ".join(sorted(COLUMNS | JSON | TABLES))
            raise BadData("is no file of tagged sentences", file=data, hint=f"Allowed: {allowed}")

    def listing(self, raw: Path) -> Listing:
        """The sentences of all files."""
        found = read_tagged(raw)
        listing = Listing(Path(raw), self.Spec.KIND, [], dropped=found.dropped, notes=found.notes)
        splits = {sentence.file.name: split_of(sentence.file) for sentence in found.sentences}
        named = len(splits) > 1 and all(splits.values())
        documents = {(sentence.file.name, sentence.document) for sentence in found.sentences}
        grouped = not named and len(documents) >= FEW_DOCUMENTS
        for sentence in found.sentences:
            split = splits[sentence.file.name] if named else None
            listing.examples.append(_example(sentence, split, grouped))
        if named:
            names = sorted(f"{name} ({split})" for name, split in splits.items())
            listing.notes.append(f"The files name their splits: {', '.join(names)}.")
        elif grouped:
            listing.notes.append("The sentences of a document are in one split.")
        return listing

    def check_labels(self, listing: Listing, earlier: Sequence[str]) -> None:
        """Settings for whole texts are refused; tags were checked where they were read."""
        self.refuse_settings(*LABELLING)

    def labels_of(self, example: Example) -> list[str]:
        """The tags of its words."""
        return tags_of(example.label)

    def ordered(self, counts: Counter[str]) -> list[str]:
        """O, then B- and I- of each label."""
        labels = sorted({parts(tag)[1] for tag in counts} - {""})
        ordered = [OUTSIDE]
        for label in labels:
            # Both, whatever training holds: a label whose spans are of one word may grow.
            ordered += [f"B-{label}", f"I-{label}"]
        return ordered

    def positive_of(self, spec: TagSpec) -> Positive | None:
        """None: tags have no positive one."""
        return None

    def look(self, data: bytes) -> Look:
        """Sentences are the same that have the same words."""
        words = words_of(data.decode())
        text = " ".join(words)
        return Look(hashlib.sha256(text.encode()).hexdigest(), text)

    def fitted(self, classes: list[str], counts: list[int], facts: Sequence[str]) -> TagSpec:
        """The tokenizer, trained on the training sentences or a checkpoint's, and the length."""
        tokens = fit_tokens(facts, self.config.features, self.checkpoint(), lower=False)
        return TagSpec(limits=self.limits(), classes=classes, counts=counts, **tokens)

    def encoded(self, examples: Sequence[Example], spec: TagSpec) -> np.ndarray:
        """The tags where their words begin, (n, length); NO_WORD elsewhere, and of a label that
        training lacks."""
        index = {name: place for place, name in enumerate(spec.classes)}
        found = np.full((len(examples), spec.length), NO_WORD, np.int64)
        for row, example in enumerate(examples):
            laid = spec.laid_out(words_of(example.label))
            # A word that the tokenizer drops shares the token of the next one.
            places, words = np.unique(laid.place[laid.window == 0], return_index=True)
            tags = tags_of(example.label)
            some = [tags[word] for word in words.tolist()]
            whole = to_bio(spans_of(some), len(some))
            found[row, places] = [index.get(tag, NO_WORD) for tag in whole]
        return found

    def divided(self, examples: Sequence[Example], raw: Path) -> Parts:
        """Sentences by split, a document's in one."""
        # As one class: no two sentences have the same tags.
        plain = [replace(example, label=SENTENCES.one) for example in examples]
        stored = {example.name: example.label for example in examples}
        found = {}
        for split, part in super().divided(plain, raw).items():
            found[split] = [replace(example, label=stored[example.name]) for example in part]
        return found

    def features(self, raw: Path, out: Path) -> dict[str, Any]:
        """Tokens and tags by split; says what of long sentences is not learnt."""
        summary = super().features(raw, out)
        return summary | {"headline": summary["headline"].replace("classes", "tags", 1)}

    def body(self, data: bytes) -> dict[str, Any]:
        """A sentence as a request, a blank between its words."""
        return {self.Spec.KIND.field: " ".join(words_of(data.decode()))}

    def _grown(self, earlier: TagSpec, found: Parts) -> TagSpec:
        """The earlier tags.

        Raises:
            UsageError: there are others.
        """
        grown = super()._grown(earlier, found)
        if new := sorted(set(grown.classes) - set(earlier.classes)):
            raise UsageError(
                f"the tag {new[0]!r} is not one of the earlier model's, whose chain has no place for it. "
                "Train from scratch: --set continual.base=null"
            )
        return grown


def _example(one: Sentence, split: str | None, grouped: bool) -> Example:
    stored = json.dumps({"tokens": one.words, "tags": one.tags}, ensure_ascii=False)
    group = f"{one.file.name} {one.document}" if grouped else None
    return Example(
        name=f"{one.file.name} row {one.row}",
        file=Content(one.file, stored.encode()),
        label=stored,
        split=split,
        group=group,
        table=one.file.path,
        row=one.row,
    )
