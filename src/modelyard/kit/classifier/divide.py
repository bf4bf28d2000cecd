"""Which files train, tune and judge. No file, no copy of one, and no group is in two splits."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from modelyard.errors import BadData
from modelyard.kit.classes.rare import (
    LEAST_OF_CLASS,
    SHOWN,
    rare_classes,
    too_rare,
)
from modelyard.kit.classifier.examples import Example
from modelyard.kit.classifier.kind import FileKind
from modelyard.kit.classifier.lacking import is_tail, lacking_in
from modelyard.kit.splits import draw, keys_of

SPLITS = ("train", "validation", "test")


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
    for digest, same in by_content.items():
        if len({example.label for example in same}) > 1:
            unclear += same
            continue
        first = min(same, key=_strictest)
        kept.append(replace(first, digest=digest))
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
    # Test before validation before training: a test example that training has too flatters the
    # figures, and taken out of training it costs one example.
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
        shown = [f"{example.name} ({example.label})" for example in unclear[:SHOWN]]
        more = " …" if len(unclear) > SHOWN else ""
        listed = ", ".join(shown) + more
        notes.append(f"Equal {kind.many} under several labels were left out: {listed}.")
    return notes


def rare_in(examples: Sequence[Example], wanted: Collection[str]) -> dict[str, int]:
    """Classes of too few examples to divide, or that a split of the data's own lacks, with their
    counts; none where they should stay, for the reasons in `kit.classes.rare` or because one looks like
    a list of labels.

    Args:
        wanted: classes that settings name.
    """
    found = lacking_in(examples)
    # Where the data name all splits, nothing is drawn: any number of examples is enough.
    if not {example.split for example in examples}.issuperset(SPLITS):
        counts = Counter(example.label for example in examples if example.split in (None, "train"))
        found |= {name: counts[name] for name in rare_classes(counts, wanted)}
    # A split that the data name may hold many of what training has few of: that is no tail.
    if not is_tail(found, examples, wanted) or any(is_list(name) for name in found):
        return {}
    return found


def divide(
    examples: Sequence[Example], kind: FileKind, wanted: Mapping[str, float], seed: int, raw: Path
) -> dict[str, list[Example]]:
    """The data's own splits; those that it lacks are taken from the training examples.

    What an example holds, or the name of its group, decides its split. Each class has the same share in
    all of them, the share of all that is `wanted` by split. The order within a split is random.

    Raises:
        BadData: a class with too few examples or groups, or a group in two of the data's splits.
    """
    given: dict[str, list[Example]] = {split: [] for split in SPLITS}
    for example in examples:
        if example.split is not None:
            given[example.split].append(example)
    pool = [example for example in examples if example.split in (None, "train")]
    if not pool:
        seen = ", ".join(split for split in SPLITS if given[split])
        hint = "Add the training split, or give the files names that are no splits, so that splits are drawn"
        raise BadData(f"has no training {kind.many}; seen: {seen}", file=raw, hint=hint)
    shares = {split: share for split, share in wanted.items() if not given[split]}
    if shares:
        _check_counts(pool, kind, raw)
    _check_groups(examples)
    labels = np.array([example.label for example in pool])
    keys = keys_of(map(_what_decides, pool), seed)
    drawn = draw(keys, shares, labels)
    parts = dict(given)
    for split, places in drawn.items():
        parts[split] = [pool[place] for place in places]
    _check_splits(parts, kind, raw)
    return {split: _mixed(part, seed) for split, part in parts.items()}


def _mixed(examples: list[Example], seed: int) -> list[Example]:
    """In an order as if shuffled."""
    # By name they would lie class by class, and the first rows show nothing of the others.
    keys = keys_of(map(_content, examples), seed)
    return [examples[place] for place in np.argsort(keys, kind="stable")]


def _what_decides(example: Example) -> str:
    if example.group is not None:
        return f"group {example.group}"
    return _content(example)


def _content(example: Example) -> str:
    if example.digest:
        return f"content {example.digest}"
    return f"name {example.name}"


def _check_counts(pool: list[Example], kind: FileKind, raw: Path) -> None:
    counts: dict[str, int] = defaultdict(int)
    for example in pool:
        counts[example.label] += 1
    rare = too_rare(counts)
    if not rare:
        return
    label = rare[0]
    what = f"has {counts[label]} different {kind.many} to divide"
    what += f"; at least {LEAST_OF_CLASS} are needed"
    hint = f"Add {kind.many}"
    # Some kinds have no classes: all their examples are called as the kind.
    if label != kind.one:
        what = f"class {label!r} {what}"
        hint += " of it, or leave it out"
    if len(rare) > 1:
        others = ", ".join(map(repr, rare[1 : 1 + SHOWN]))
        what += f". {len(rare) - 1} more classes have too few: {others}"
        if len(rare) > 1 + SHOWN:
            what += ", …"
    # Classes are rare where what is read as one is a list of labels, or a path that is too deep.
    lists = [other for other in sorted(counts) if is_list(other)]
    if lists:
        hint = f"Should {lists[0]!r} be several labels: --set features.labels=many"
    elif "/" in label:
        hint = "Should fewer folders of the path be the class: --set features.class_folder=1"
    raise BadData(what, file=raw, hint=hint)


def is_list(label: str) -> bool:
    """Whether it looks like several labels in one cell."""
    return label.startswith("[") or "|" in label or ";" in label


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
    classes: dict[str, set[str]] = {}
    for split, part in parts.items():
        classes[split] = {example.label for example in part}
    every = set().union(*classes.values())
    for split, part in parts.items():
        # A class that a split lacks has no figure there, or is never learnt.
        if missing := sorted(every - classes[split]):
            what = f"the {split} split ({len(part)} {kind.many}) has none of class {missing[0]!r}"
            hint = f"It needs more different {kind.many}, or more groups"
            if any(example.split == split for example in part):
                hint = (
                    f"Give it some in this split, or move the class's {kind.many} out of the data"
                )
            raise BadData(what, file=raw, hint=hint)
