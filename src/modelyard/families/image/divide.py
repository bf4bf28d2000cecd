"""Which pictures train, which tune and which judge. No picture, and no group, is in two splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modelyard.errors import BadData
from modelyard.families.image.config import ImageFeatures
from modelyard.families.image.read import LABELS, Example

SPLITS = ("train", "validation", "test")
LEAST_OF_CLASS = 6
"""Pictures a class needs where the splits are drawn here."""


def without_copies(
    examples: Sequence[Example], hashes: Sequence[str]
) -> tuple[list[Example], dict[str, int], list[str]]:
    """Keeps one file of each picture, that of the split that judges most strictly; `hashes` tell pictures apart.

    A picture under several labels is left out whole: nothing says which is right.

    Returns:
        The examples kept, how many were left out by reason, and sentences for the card.
    """
    copies: dict[str, list[Example]] = defaultdict(list)
    for example, digest in zip(examples, hashes, strict=True):
        copies[digest].append(example)
    kept, unclear = [], []
    same = straddling = 0
    for group in copies.values():
        if len({example.label for example in group}) > 1:
            unclear += group
            continue
        first = min(group, key=lambda one: (-SPLITS.index(one.split or "train"), one.name))
        kept.append(first)
        same += len(group) - 1
        straddling += sum(example.split != first.split for example in group)
    dropped = {"same picture as another": same, "same picture under several labels": len(unclear)}
    notes = [f"{same} pictures are copies of others and were left out, so that none is in two splits."] * bool(same)
    if straddling:
        notes.append(f"{straddling} of the copies were in another split than the picture that was kept.")
    if unclear:
        shown = ", ".join(f"{one.name} ({one.label})" for one in unclear[:6])
        notes.append(f"Equal pictures under several labels were left out: {shown}{' …' if len(unclear) > 6 else ''}.")
    return sorted(kept, key=lambda one: one.name), {reason: n for reason, n in dropped.items() if n}, notes


def divide(examples: Sequence[Example], settings: ImageFeatures, seed: int, raw: Path) -> dict[str, list[Example]]:
    """The data's own splits; those that it lacks are drawn from the training pictures, each class in the same share.

    The order within a split is random.

    Raises:
        BadData: a class with too few pictures or groups, or a group that the data itself puts into two splits.
    """
    given: dict[str, list[Example]] = {split: [one for one in examples if one.split == split] for split in SPLITS}
    pool = [one for one in examples if one.split in (None, "train")]
    wanted = {"validation": settings.validation_share, "test": settings.test_share}
    shares = {split: share for split, share in wanted.items() if not given[split]}
    if shares:
        _check_counts(pool, raw)
    _check_groups(examples, raw)
    generator = np.random.default_rng(seed)
    drawn = _draw(pool, shares, generator)
    parts = {split: drawn[split] if split in drawn else given[split] for split in SPLITS}
    _check_splits(parts, raw)
    return {split: [part[i] for i in generator.permutation(len(part))] for split, part in parts.items()}


def _draw(pool: list[Example], shares: dict[str, float], generator: np.random.Generator) -> dict[str, list[Example]]:
    """Groups go, the largest first, where they fill most of what is lacking by class."""
    names = ["train", *shares]
    classes = {label: index for index, label in enumerate(sorted({one.label for one in pool}))}
    counts = np.bincount([classes[one.label] for one in pool], minlength=len(classes))
    quota = np.array([1 - sum(shares.values()), *shares.values()])[:, None] * counts
    groups: dict[str, list[Example]] = defaultdict(list)
    for number, one in enumerate(pool):
        groups[f"group {one.group}" if one.group is not None else f"alone {number}"].append(one)
    mixed = list(groups.values())
    order = sorted(generator.permutation(len(mixed)), key=lambda index: -len(mixed[index]))
    lacking = quota.copy()
    parts: dict[str, list[Example]] = {name: [] for name in names}
    for index in order:
        members = np.bincount([classes[one.label] for one in mixed[index]], minlength=len(classes))
        best = int(np.argmax((members * lacking / quota).sum(axis=1)))
        lacking[best] -= members
        parts[names[best]] += mixed[index]
    return parts


def _check_counts(pool: list[Example], raw: Path) -> None:
    counts: dict[str, int] = defaultdict(int)
    for one in pool:
        counts[one.label] += 1
    for label, count in sorted(counts.items()):
        if count < LEAST_OF_CLASS:
            what = f"class {label!r} has {count} different pictures to divide; at least {LEAST_OF_CLASS} are needed"
            raise BadData(what, file=raw)


def _check_groups(examples: Sequence[Example], raw: Path) -> None:
    seen: dict[str, Example] = {}
    for one in examples:
        if one.group is None:
            continue
        first = seen.setdefault(one.group, one)
        if first.split != one.split:
            what = f"group {one.group!r} is in the splits {first.split} and {one.split}; see {first.name}"
            if one.row is not None:
                raise BadData(what, file=raw / LABELS, row=one.row, column="group")
            raise BadData(what, file=one.path)


def _check_splits(parts: dict[str, list[Example]], raw: Path) -> None:
    classes = {one.label for part in parts.values() for one in part}
    for split, part in parts.items():
        if missing := sorted(classes - {one.label for one in part}):
            what = f"the {split} split ({len(part)} pictures) has none of class {missing[0]!r}"
            raise BadData(what, file=raw, hint="It needs more different pictures, or more groups")
