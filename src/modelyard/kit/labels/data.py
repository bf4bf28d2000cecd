"""Reading examples with any number of labels each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Generic

import numpy as np

from modelyard.errors import BadData, UsageError, choices, first_of
from modelyard.kit.classes.positive import Positive
from modelyard.kit.classes.rare import LEAST_OF_CLASS
from modelyard.kit.classifier.data import C, ClassifierData, Parts, S
from modelyard.kit.classifier.divide import SPLITS
from modelyard.kit.classifier.examples import Example, Listing, wrong_label
from modelyard.kit.labels.config import LabelsFeatures

SEPARATORS = ("|", ";", ",")
"""What may stand between labels, the least usual within a label first."""
NAMED = 5
"""Labels that a reason names."""


class ManyLabelsData(ClassifierData[C, S], Generic[C, S]):
    """An example's label is a JSON list of names here, in alphabetical order."""

    def check_labels(self, listing: Listing, earlier: Sequence[str]) -> None:
        """Splits the labels of each example; then as for one label.

        Raises:
            BadData: a list that is none, a label that is not allowed, or fewer than two classes.
        """
        settings = self.config.features
        if settings.positive is not None:
            raise UsageError("setting 'features.positive' is for one label of two classes")
        separator = self._separator(listing)
        labels = []
        for example in listing.examples:
            names = _names(example, separator)
            for name in names:
                if settings.classes and name not in settings.classes:
                    allowed = choices("class", name, settings.classes)
                    raise wrong_label(example, f"{allowed} (features.classes)")
            labels.append(names)
        # The data's own splits may have rare labels: they were divided by somebody who knew them.
        if all(example.split is None for example in listing.examples):
            labels = _without_rare(listing, labels, earlier)
        for place, names in enumerate(labels):
            listing.examples[place] = replace(listing.examples[place], label=json.dumps(names))
        known = _counted(labels)
        classes = known.keys() | set(earlier)
        if len(classes) < 2:
            seen = f"only the label {min(classes)!r}" if classes else "no label at all"
            raise BadData(f"has {seen}; at least two are needed", file=listing.raw)
        without = sum(not names for names in labels)
        mean = known.total() / len(listing.examples)
        kind = listing.kind
        listing.notes.append(
            f"{mean:.2f} labels a {kind.one} on average; {without} {kind.many} have none."
        )

    def labels_of(self, example: Example) -> list[str]:
        """The names in its list."""
        names: list[str] = json.loads(example.label)
        return names

    def ordered(self, counts: Counter[str]) -> list[str]:
        """By name."""
        return sorted(counts)

    def positive_of(self, spec: S) -> Positive | None:
        """None: each label is a question of its own."""
        return None

    def rare(self, examples: Sequence[Example]) -> dict[str, int]:
        """None: rare labels are gone already, and their examples stay."""
        return {}

    def encoded(self, examples: Sequence[Example], spec: S) -> np.ndarray:
        """(n, classes): 1 where an example has the label."""
        index = {name: place for place, name in enumerate(spec.classes)}
        found = np.zeros((len(examples), len(index)), np.int64)
        for row, example in enumerate(examples):
            for name in self.labels_of(example):
                # Classes are those of the training examples, and of an earlier model.
                if name in index:
                    found[row, index[name]] = 1
        return found

    def divided(self, examples: Sequence[Example], raw: Path) -> Parts:
        """Examples by split. Each counts under its rarest label, so that rare ones are in every
        split (a short form of Sechidis et al. 2011); labels of too few examples count as none."""
        given = any(example.split is not None for example in examples)
        if given:
            strata = [""] * len(examples)
        else:
            strata = _strata([self.labels_of(example) for example in examples])
        # What divides single labels sees the stratum in the place of the label.
        marked = []
        for example, stratum in zip(examples, strata, strict=True):
            marked.append(replace(example, label=stratum))
        labels = {example.name: example.label for example in examples}
        parts = super().divided(marked, raw)
        found = {}
        for split, part in parts.items():
            found[split] = [replace(example, label=labels[example.name]) for example in part]
        _check_train(found, raw, self)
        return found

    def _separator(self, listing: Listing) -> str | None:
        """What the settings say, or the one that most cells hold."""
        settings = self.config.features
        assert isinstance(settings, LabelsFeatures)
        if settings.separator is not None:
            return settings.separator
        labels = [example.label for example in listing.examples]
        cells = [label for label in labels if not label.startswith("[")]
        counts = dict.fromkeys(SEPARATORS, 0)
        for cell in cells:
            for mark in SEPARATORS:
                counts[mark] += mark in cell
        # Of equally frequent ones the first: a comma is part of a label now and then.
        best = max(SEPARATORS, key=lambda mark: counts[mark])
        if counts[best]:
            listing.notes.append(f"Labels stand between {best!r} (features.separator).")
            return best
        if cells:
            problem = f"no label holds any of {' '.join(SEPARATORS)}: no {listing.kind.one} has two"
            hint = "Type: --set features.labels=one, or name features.separator"
            raise BadData(problem, file=listing.raw, hint=hint)
        return None


def _names(example: Example, separator: str | None) -> list[str]:
    """The labels of an example, each once, in alphabetical order."""
    cell = example.label
    if not cell.startswith("["):
        parts = cell.split(separator) if separator else [cell]
        return sorted({part.strip() for part in parts} - {""})
    try:
        values = json.loads(cell)
    except ValueError as error:
        raise wrong_label(example, f"is no list of JSON: {error}") from None
    for value in values:
        # true is an int to Python, and 1.0 and 1 would be two labels.
        if isinstance(value, bool) or not isinstance(value, str | int):
            problem = f"holds {json.dumps(value)[:40]}; a label is a text or a whole number"
            raise wrong_label(example, problem)
    return sorted({str(value).strip() for value in values} - {""})


def _without_rare(
    listing: Listing, labels: list[list[str]], earlier: Sequence[str]
) -> list[list[str]]:
    """Without labels of so few examples that no split could judge them; they are counted."""
    counts = _counted(labels)
    rare = []
    for name, count in sorted(counts.items()):
        if count < LEAST_OF_CLASS and name not in earlier:
            rare.append(name)
    if rare:
        reason = (
            f"labels: in fewer than {LEAST_OF_CLASS} {listing.kind.many} ({first_of(rare, NAMED)})"
        )
        listing.dropped[reason] = sum(counts[name] for name in rare)
    return [sorted(set(names) - set(rare)) for names in labels]


def _counted(labels: Iterable[list[str]]) -> Counter[str]:
    """Examples by label."""
    return Counter(chain.from_iterable(labels))


def _strata(labels: list[list[str]]) -> list[str]:
    """What each example counts as: its rarest label that enough of them count as."""
    counts = _counted(labels)
    found = []
    for names in labels:
        usual = [name for name in names if counts[name] >= LEAST_OF_CLASS]
        # A common label is in every split by itself; the rarest one needs to be divided evenly.
        found.append(min(usual, key=lambda name: (counts[name], name), default=""))
    sizes = Counter(found)
    large = max(sizes, key=lambda name: (sizes[name], name))
    # Too few of one stratum for all splits: they count as the largest.
    for place, name in enumerate(found):
        if sizes[name] < LEAST_OF_CLASS:
            found[place] = large
    return found


def _check_train(parts: Parts, raw: Path, data: ManyLabelsData[C, S]) -> None:
    """Every split has an example of a label that training knows; other labels are refused."""
    labels: dict[str, set[str]] = {}
    for split in SPLITS:
        labels[split] = set()
        for example in parts[split]:
            labels[split].update(data.labels_of(example))
    known = labels["train"]
    for split, seen in labels.items():
        if not seen & known:
            raise BadData(f"no example of the {split} split has a label of training", file=raw)
        if strange := sorted(seen - known):
            problem = f"the {split} split has labels that no training example has: "
            problem += first_of(strange, NAMED)
            hint = "Add training examples of them, remove them, or list features.classes"
            raise BadData(problem, file=raw, hint=hint)
