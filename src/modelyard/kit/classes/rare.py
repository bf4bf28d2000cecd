"""Classes of so few examples that no split could judge them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

LEAST_OF_CLASS = 6
"""Examples a class needs where the splits are drawn: two in each of the three."""
MOST_LEFT_OUT = 0.05
"""Of all examples, the share that may be left out. More than that is no tail: a person should say
what to do with it."""
SHOWN = 6
"""Names of classes in a message, at most."""


def rare_classes(counts: Mapping[str, int], wanted: Collection[str] = ()) -> list[str]:
    """Classes to leave out for having too few examples, rarest first.

    None where fewer than two classes would stay, where the rare ones are no small tail, or where one
    of them is `wanted` by name: then it is for a person to decide.

    Args:
        counts: examples by class.
        wanted: classes that settings or a schema name.
    """
    rare = too_rare(counts)
    left_out = sum(counts[name] for name in rare)
    is_tail = left_out <= MOST_LEFT_OUT * sum(counts.values())
    if not is_tail or len(counts) - len(rare) < 2 or set(rare) & set(wanted):
        return []
    return rare


def too_rare(counts: Mapping[str, int]) -> list[str]:
    """Classes of too few examples, rarest first."""
    rare = [name for name, count in counts.items() if count < LEAST_OF_CLASS]
    return sorted(rare, key=lambda name: (counts[name], name))


def left_out(
    rare: Collection[str], counts: Mapping[str, int], many: str, *, lacking: bool = False
) -> str:
    """A clause on what was left out: `2 classes of fewer than 6 rows left out (a: 1, b: 3)`.

    Args:
        lacking: whether one of them is left out for a split that has none of it.
    """
    named = [f"{name}: {counts[name]}" for name in rare]
    shown = ", ".join(named[:SHOWN])
    if len(named) > SHOWN:
        shown += ", …"
    classes = "class" if len(named) == 1 else "classes"
    why = f"of fewer than {LEAST_OF_CLASS} {many}"
    if lacking:
        why += ", or that a split of the data lacks,"
    return f"{len(named)} {classes} {why} left out ({shown})"
