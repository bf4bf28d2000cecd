"""Classes that are called as what nobody labelled: CamVid's `Void`, Cityscapes' `unlabeled`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping

from modelyard.errors import first_of

VOID = frozenset(
    {"void", "unlabelled", "unlabeled", "notlabelled", "notlabeled", "nolabel", "unannotated"}
) | {"unknown", "ignore", "ignored", "dontcare"}
"""Names of such classes, letters only, in lower case."""
LEAST_CLASSES = 2
"""Others that must be left."""
MOST_SHARE = 0.5
"""Of all pixels. Where more are called so, they are what lies around the things that somebody drew, and a
network that is not judged there sees such things everywhere."""
SHOWN = 3


def voids(
    names: Mapping[int, str], total: Counter[int], known: Collection[str]
) -> tuple[frozenset[int], list[str]]:
    """The numbers of such classes, and sentences on them for the card.

    Args:
        names: of classes by number; total: pixels by number.
        known: classes of the earlier model, which stay.
    """
    called = [number for number, name in names.items() if is_void(name) and total[number]]
    found = frozenset(number for number in called if names[number] not in known)
    if not found:
        return frozenset(), []
    shown = first_of(sorted(names[number] for number in found), SHOWN)
    share = sum(total[number] for number in found) / total.total()
    others = {number for number in names if total[number]} - found
    if len(others) < LEAST_CLASSES or share > MOST_SHARE:
        said = f"{share:.0%} of the pixels are called {shown}: learnt as a class like any other."
        return frozenset(), [said]
    said = f"Called {shown}, and so neither learnt nor judged: {share:.1%} of the pixels. "
    return found, [f"{said}To learn them, give them another name."]


def is_void(name: str) -> bool:
    """Whether a class is called so."""
    return re.sub("[^a-z]", "", name.lower()) in VOID
