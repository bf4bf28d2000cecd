"""Classes that one of the data's own splits lacks, as published splits do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from modelyard.kit.classes.rare import MOST_LEFT_OUT
from modelyard.kit.classifier.examples import Example, wrong_label
from modelyard.kit.classifier.kind import FileKind
from modelyard.kit.splits import ORDER


def lacking_in(examples: Sequence[Example]) -> dict[str, int]:
    """Classes that a split which the data name has no example of, with their examples in all splits.
    Without one in training nothing learns them; without one elsewhere nothing judges them."""
    counts = Counter(example.label for example in examples)
    seen: dict[str, set[str]] = {}
    for example in examples:
        seen.setdefault(example.split or "train", set()).add(example.label)
    found = set()
    for split in ORDER:
        # A split that the data do not name is drawn from the training examples.
        if split in seen:
            found |= counts.keys() - seen[split]
    return {name: counts[name] for name in sorted(found)}


def is_tail(
    left_out: Collection[str], examples: Sequence[Example], wanted: Collection[str]
) -> bool:
    """Whether classes may be left out: they have few of all examples, settings do not name one as
    `wanted`, and two others stay."""
    classes = {example.label for example in examples}
    lost = sum(example.label in left_out for example in examples)
    few = lost <= MOST_LEFT_OUT * len(examples)
    return few and not set(left_out) & set(wanted) and len(classes) - len(left_out) >= 2


def check_training(examples: Sequence[Example], kind: FileKind, wanted: Collection[str]) -> None:
    """Refuses classes without a training example, unless they may be left out.

    Raises:
        BadData: with file, and row of a table.
    """
    if is_tail(lacking_in(examples), examples, wanted):
        return
    training = [example for example in examples if example.split in (None, "train")]
    known = {example.label for example in training}
    for example in examples:
        if example.label not in known:
            problem = f"class {example.label!r} has no training {kind.one}"
            hint = f"Add training {kind.many} of it, or leave it out"
            raise wrong_label(example, problem, hint)
