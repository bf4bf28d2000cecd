"""Which annotated pictures train, tune and judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from modelyard.errors import BadData
from modelyard.kit.classes.rare import LEAST_OF_CLASS
from modelyard.kit.classifier.divide import SPLITS, divide, without_copies
from modelyard.kit.classifier.examples import Example, Listed, grouped
from modelyard.kit.pictures.pixels import PICTURES
from modelyard.kit.pictures.settings import SquareFeatures


def parted(
    raw: Path,
    listing: Listed,
    examples: Sequence[Example],
    digests: Sequence[str],
    settings: SquareFeatures,
    seed: int,
    what: str,
) -> dict[str, list[Example]]:
    """The examples by split, without copies; adds to the listing what was left out.

    Args:
        examples: their labels are words that differ for different annotations.
        digests: of the pictures' contents, in the same order.
        what: the annotations of a picture, in messages: `boxes`.

    Raises:
        BadData: too few pictures, or a group in two splits.
    """
    unique = without_copies(examples, digests, PICTURES)
    for reason, count in unique.dropped.items():
        listing.drop(reason.replace("several labels", f"other {what}"), count)
    for note in unique.notes:
        listing.notes.append(note.replace("several labels", f"different {what}"))
    some = [replace(example, label=PICTURES.one) for example in unique.examples]
    if settings.group_pattern is not None:
        some = [grouped(example, settings.group_pattern) for example in some]
    named = {example.split for example in some}
    if len(named) == 1 and not named & {None, "train"}:
        # Of COCO many have the validation pictures only: they are a data set like any other.
        some = [replace(example, split=None) for example in some]
        said = f"All pictures are of the split {named.pop()}: new splits are drawn from them."
        listing.notes.append(said)
    pool = [example for example in some if example.split in (None, "train")]
    if len(pool) < LEAST_OF_CLASS and len({example.split for example in some}) < len(SPLITS):
        problem = f"has {len(pool)} different pictures to divide"
        raise BadData(f"{problem}; at least {LEAST_OF_CLASS} are needed", file=raw)
    # Some of a data set's lists name a split, some do not: those belong to training.
    if any(example.split for example in some):
        some = [replace(example, split=example.split or "train") for example in some]
    wanted = {"validation": settings.validation_share, "test": settings.test_share}
    return divide(some, PICTURES, wanted, seed, raw)
