"""Labelled examples, and what is wrong with their labels."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from modelyard.errors import BadData, UsageError, choices
from modelyard.kit.classifier.config import FileFeatures
from modelyard.kit.classifier.kind import FileKind
from modelyard.store.files import File


@dataclass(frozen=True)
class Example:
    """One labelled file."""

    name: str
    """Relative to the raw folder; of a row its file and number."""
    file: File
    label: str
    split: str | None = None
    """Where the data says so itself."""
    group: str | None = None
    digest: str = ""
    """Of its content, where that was looked at: its split follows from it."""
    row: int | None = None
    """Of the table that lists it."""
    table: Path | None = None
    """That table: labels.csv, or where its content stands."""
    columns: tuple[str, str] = ("file", "label")
    """Of the table: that of the example, and that of its label."""


@dataclass(kw_only=True)
class Listed:
    """What was read of a raw folder, and what is to be said of it."""

    dropped: dict[str, int] = field(default_factory=dict)
    """How many were left out, by reason."""
    notes: list[str] = field(default_factory=list)
    """Sentences for the card."""

    def drop(self, reason: str, count: int = 1) -> None:
        """Counts what is left out."""
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count


@dataclass
class Listing(Listed):
    """The labelled files of a raw folder, by name."""

    raw: Path
    kind: FileKind
    examples: list[Example]
    several: bool = False
    """Whether its labels are lists of JSON, since the table has a column for each label."""
    headline: str = ""
    """A clause for the stage's line."""


def check_splits(examples: Sequence[Example]) -> None:
    """Refuses rows of which some name their split and others don't."""
    bare = [example for example in examples if example.split is None]
    if 0 < len(bare) < len(examples):
        problem = "empty, where other rows name a split"
        raise BadData(problem, file=bare[0].table, row=bare[0].row, column="split")


def name_single_flags(listing: Listing) -> None:
    """Where every example has a 1 in exactly one of the columns of 0 and 1, as in the archives of skin
    pictures, that column is its class."""
    # A table of one split may have a column of labels, where that of another has flags.
    if not listing.several or any(example.columns[1] for example in listing.examples):
        return
    lists = [json.loads(example.label) for example in listing.examples]
    if any(len(names) != 1 for names in lists):
        return
    for place, names in enumerate(lists):
        listing.examples[place] = replace(listing.examples[place], label=names[0])
    listing.several = False
    listing.notes.append(f"The one column with a 1 is the class of a {listing.kind.one}.")


def usual_name(
    usual: Sequence[str], names: Iterable[str], aside: Collection[str | None] = ()
) -> str | None:
    """Of the `names` of columns, but for those aside, the one that is called as the first of the
    usual ones, in whatever case."""
    known = {name.casefold(): name for name in names if name not in aside}
    for name in usual:
        if name in known:
            return known[name]
    return None


def check_labels(listing: Listing, settings: FileFeatures, earlier: Sequence[str]) -> None:
    """At least two classes, and none that is not allowed.
    `earlier` names classes that an earlier model knows: the data need not have them.

    Raises:
        BadData: with file, and row of a table.
        UsageError: `features.positive` does not fit the data.
    """
    kind = listing.kind
    if listing.several:
        problem = "has a column of 0 and 1 for each label, and no column label"
        hint = f"For several labels a {kind.one}: --set features.labels=many"
        raise BadData(problem, file=listing.examples[0].table, hint=hint)
    for example in listing.examples:
        if not example.label:
            hint = ""
            # Not all families can learn several labels: those that do have the setting.
            if example.table is not None and hasattr(settings, "labels"):
                hint = f"Where a {kind.one} may have any number of labels: "
                hint += "--set features.labels=many"
            raise wrong_label(example, "empty", hint)
        if settings.classes and example.label not in settings.classes:
            allowed = choices("class", example.label, settings.classes)
            raise wrong_label(example, f"{allowed} (features.classes)")
    labels = {example.label for example in listing.examples} | set(earlier)
    for name in settings.classes:
        if name not in labels:
            problem = f"has no {kind.one} of class {name!r}, which features.classes names"
            raise BadData(problem, file=listing.raw)
    if len(labels) < 2:
        problem = f"has only one class, {labels.pop()!r}; a classifier needs at least two"
        raise BadData(problem, file=listing.raw)
    _check_positive(settings.positive, labels)


def _check_positive(positive: str | None, labels: set[str]) -> None:
    if positive is None or (len(labels) == 2 and positive in labels):
        return
    allowed = f"it is for two, not {len(labels)}"
    if len(labels) == 2:
        allowed = choices("class", positive, labels)
    raise UsageError(f"setting 'features.positive': {allowed}")


def wrong_label(example: Example, problem: str, hint: str = "") -> BadData:
    """The fault of an example's label, with its file and row."""
    if example.table is not None:
        column = example.columns[1] or None
        return BadData(problem, file=example.table, row=example.row, column=column, hint=hint)
    return BadData(problem, file=example.file.path, hint=hint)


def first_group(pattern: str, name: str, setting: str) -> str | None:
    """What the one group of a pattern finds in a name; None where the pattern is not found.

    Raises:
        UsageError: no regular expression, or one without a group.
    """
    try:
        match = re.search(pattern, name)
    except re.error as error:
        raise UsageError(f"setting {setting!r} = {pattern!r}: {error}") from None
    if match is None:
        return None
    if not match.groups():
        problem = "has no group: put one part in parentheses"
        raise UsageError(f"setting {setting!r} = {pattern!r} {problem}")
    found: str | None = match.group(1)
    return found


def grouped(example: Example, pattern: str) -> Example:
    """An example with the group that the pattern finds in its name.

    Raises:
        UsageError: the pattern finds none.
    """
    setting = "features.group_pattern"
    group = first_group(pattern, example.name, setting)
    if group is None:
        problem = f"is not found in the name {example.name!r}"
        raise UsageError(f"setting {setting!r} = {pattern!r} {problem}")
    return replace(example, group=group)
