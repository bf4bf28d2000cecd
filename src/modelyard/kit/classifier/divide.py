"""Which files train, tune and judge. No file, no copy of one, and no group is in two splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modelyard.errors import BadData
from modelyard.kit.classifier.examples import Example
from modelyard.kit.classifier.kind import FileKind

SPLITS = ("train", "validation", "test")
LEAST_OF_CLASS = 6
"""Examples a class needs where the splits are drawn here."""
SHOWN = 6
"""Names of examples in a note, at most."""


@dataclass(frozen=True)
class Unique:
    """One example of each content."""

    examples: list[Example]
    """By name."""
    dropped: dict[str, int]
    """How many were left out, by reason."""
    notes: list[str]
    """Sentences for the card."""


def without_copies(examples: Sequence[Example], digests: Sequence[str], kind: FileKind) -> Unique:
    """Keeps one file of each content, that of the split that judges most strictly.

    `digests` identify the contents. One under several labels is left out whole: nothing says
    which is right.
    """
    by_content: dict[str, list[Example]] = defaultdict(list)
    for example, digest in zip(examples, digests, strict=True):
        by_content[digest].append(example)
    kept: list[Example] = []
    unclear: list[Example] = []
    copies = straddling = 0
    for same in by_content.values():
        if len({example.label for example in same}) > 1:
            unclear += same
            continue
        first = min(same, key=_strictest)
        kept.append(first)
        copies += len(same) - 1
        straddling += sum(example.split != first.split for example in same)
    dropped = {
        f"same {kind.one} as another": copies,
        f"same {kind.one} under several labels": len(unclear),
    }
    return Unique(
        examples=sorted(kept, key=lambda example: example.name),
        dropped={reason: count for reason, count in dropped.items() if count},
        notes=_notes(kind, copies, straddling, unclear),
    )


def _strictest(example: Example) -> tuple[int, str]:
    return -SPLITS.index(example.split or "train"), example.name


def _notes(kind: FileKind, copies: int, straddling: int, unclear: list[Example]) -> list[str]:
    notes = []
    if copies:
        copied = f"{copies} {kind.many} are copies of others and were left out"
        notes.append(f"{copied}, so that none is in two splits.")
    if straddling:
        crossed = f"{straddling} of the copies were in another split"
        notes.append(f"{crossed} than the {kind.one} that was kept.")
    if unclear:
        shown = ", ".join(f"{example.name} ({example.label})" for example in unclear[:SHOWN])
        more = " …" if len(unclear) > SHOWN else ""
        notes.append(f"Equal {kind.many} under several labels were left out: {shown}{more}.")
    return notes


def divide(
    examples: Sequence[Example], kind: FileKind, wanted: Mapping[str, float], seed: int, raw: Path
) -> dict[str, list[Example]]:
    """The data's own splits; those that it lacks are drawn from the training examples.

    They are drawn with each class in the same share, the share of all that is `wanted` by split. The
    order within a split is random.

    Raises:
        BadData: a class with too few examples or groups, or a group in two of the data's splits.
    """
    given: dict[str, list[Example]] = {split: [] for split in SPLITS}
    for example in examples:
        if example.split is not None:
            given[example.split].append(example)
    pool = [example for example in examples if example.split in (None, "train")]
    shares = {split: share for split, share in wanted.items() if not given[split]}
    if shares:
        _check_counts(pool, kind, raw)
    _check_groups(examples)
    generator = np.random.default_rng(seed)
    parts = given | _draw(pool, shares, generator)
    _check_splits(parts, kind, raw)
    shuffled = {}
    for split, part in parts.items():
        shuffled[split] = [part[place] for place in generator.permutation(len(part))]
    return shuffled


def _draw(
    pool: list[Example], shares: dict[str, float], generator: np.random.Generator
) -> dict[str, list[Example]]:
    """Groups go, the largest first, where they fill most of what is lacking by class."""
    names = ["train", *shares]
    classes = sorted({example.label for example in pool})
    index_of = {label: index for index, label in enumerate(classes)}

    def count(members: list[Example]) -> np.ndarray:
        indices = [index_of[example.label] for example in members]
        return np.bincount(indices, minlength=len(classes))

    counts = count(pool)
    quota = np.array([1 - sum(shares.values()), *shares.values()])[:, None] * counts
    groups: dict[str, list[Example]] = defaultdict(list)
    for number, example in enumerate(pool):
        name = f"alone {number}" if example.group is None else f"group {example.group}"
        groups[name].append(example)
    mixed = list(groups.values())
    order = sorted(generator.permutation(len(mixed)), key=lambda index: -len(mixed[index]))
    lacking = quota.copy()
    parts: dict[str, list[Example]] = {name: [] for name in names}
    for index in order:
        members = count(mixed[index])
        best = int(np.argmax((members * lacking / quota).sum(axis=1)))
        lacking[best] -= members
        parts[names[best]] += mixed[index]
    return parts


def _check_counts(pool: list[Example], kind: FileKind, raw: Path) -> None:
    counts: dict[str, int] = defaultdict(int)
    for example in pool:
        counts[example.label] += 1
    for label, count in sorted(counts.items()):
        if count < LEAST_OF_CLASS:
            what = f"class {label!r} has {count} different {kind.many} to divide"
            hint = ""
            if "/" in label:
                hint = (
                    "Should fewer folders of the path be the class: --set features.class_folder=1"
                )
            raise BadData(f"{what}; at least {LEAST_OF_CLASS} are needed", file=raw, hint=hint)


def _check_groups(examples: Sequence[Example]) -> None:
    seen: dict[str, Example] = {}
    for example in examples:
        if example.group is None:
            continue
        first = seen.setdefault(example.group, example)
        if first.split != example.split:
            splits = f"{first.split} and {example.split}"
            what = f"group {example.group!r} is in the splits {splits}; see {first.name}"
            if example.table is not None:
                raise BadData(what, file=example.table, row=example.row, column="group")
            raise BadData(what, file=example.file.path)


def _check_splits(parts: dict[str, list[Example]], kind: FileKind, raw: Path) -> None:
    classes = {example.label for part in parts.values() for example in part}
    for split, part in parts.items():
        if missing := sorted(classes - {example.label for example in part}):
            what = f"the {split} split ({len(part)} {kind.many}) has none of class {missing[0]!r}"
            hint = f"It needs more different {kind.many}, or more groups"
            raise BadData(what, file=raw, hint=hint)
