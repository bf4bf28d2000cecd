"""Which of two classes is the positive one: the event that precision, recall and the threshold speak
of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from modelyard.errors import option


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


EVENTS = _listed(
    """
    yes true positive event abnormal accident alarm anomalous anomaly attack bad bankrupt
    bankruptcy bought broken cancelled canceled cancer churn churned clicked converted crash
    damaged dead death deceased default defaulted defect defective defects delinquent died
    disease diseased exited failed failure fault faulty fraud fraudulent ill infected
    intrusion late malicious malignant malware offensive outlier overdue phishing pneumonia
    purchased readmitted rejected responded scam sick spam subscribed toxic tumor tumour
    ausschuss betrug defekt krank wahr fraude malade vrai oui ja verdadero
    """
)
"""Words of a class's name that mean that something happened."""
ABSENCES = _listed(
    """
    false negative benign clean fine genuine good ham healthy inlier intact legit
    legitimate none normal nothing ok okay safe undamaged falsch gesund nein faux sain
    """
)
"""Words of a class's name that mean that nothing happened."""
NEGATIONS = _listed("no non not never un without nicht kein keine ohne pas sans sin")
"""Before a word for the event: it did not happen."""
_DENIALS = (["non"], ["not"])
"""First words of a class that denies the other one, `non_irony`. With others it may be the event: `no show`."""
PAIRS = (("y", "n"), ("t", "f"), ("pos", "neg"), ("+", "-"), ("si", "no"), ("sí", "no"))
"""Short names that mean the event only where the other class has the second of them."""


@dataclass(frozen=True)
class Positive:
    """A positive class, and why it is."""

    name: str
    other: str
    reason: str

    @property
    def headline(self) -> str:
        """A clause for the line of the features stage."""
        return f"; positive class: {self.name} ({self.reason})"

    @property
    def note(self) -> str:
        """A sentence for the card."""
        return (
            f"Of two classes {self.name} is the positive one ({self.reason}): precision, recall and the "
            f"threshold speak of it. For the other: {option('features.positive', self.other)}"
        )


def positive_class(
    counts: Mapping[str, int], named: str | None = None, setting: str = "features.positive"
) -> Positive:
    """The positive one of two classes with these counts.

    It is the one that is named; else the one whose name means that something happened (yes, churned,
    fraud, 1 against 0), or the other of one that means that nothing did (no, ok, healthy); else the
    rarer one, of equally frequent ones the later by name.

    Args:
        named: one of the classes; setting: who named it.
    """
    first, second = sorted(counts)
    if named == first:
        return Positive(first, second, f"set by {setting}")
    if named == second:
        return Positive(second, first, f"set by {setting}")
    pairs = ((first, second), (second, first))
    for name, other in pairs:
        is_event = says_event(name) and not says_event(other)
        if is_event or _is_pair(name, other):
            return Positive(name, other, "by its name")
    for name, other in pairs:
        if says_absence(other) and not says_absence(name):
            return Positive(name, other, f"as {other} means that nothing happened")
        if _words(other)[:1] in _DENIALS and _words(other)[1:] == _words(name):
            return Positive(name, other, f"as {other} denies it")
    if counts[first] == counts[second]:
        return Positive(second, first, "the later by name of two equally frequent ones")
    rarer, other = sorted(counts, key=lambda name: counts[name])
    return Positive(rarer, other, f"the rarer one, {counts[rarer]:,} of {sum(counts.values()):,}")


def _is_pair(name: str, other: str) -> bool:
    """Whether the first says yes where the second says no, by a letter or a number."""
    if (name.casefold(), other.casefold()) in PAIRS:
        return True
    try:
        return float(name) == 1 and float(other) in (0, -1)
    except ValueError:
        return False


def _words(name: str) -> list[str]:
    """Its words in lower case: NotChurned and not_churned have two."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W\d_]+", parted.casefold())


def says_event(name: str) -> bool:
    """Whether a class's name means that something happened: `fraud`, `broken`."""
    words = _words(name)
    return not EVENTS.isdisjoint(words) and NEGATIONS.isdisjoint(words)


def says_absence(name: str) -> bool:
    """Whether a class's name means that nothing happened: `normal`, `no fault`."""
    words = _words(name)
    is_negated = not NEGATIONS.isdisjoint(words)
    denied = is_negated and not EVENTS.isdisjoint(words)
    absent = not is_negated and not ABSENCES.isdisjoint(words)
    # `no` is a negation, and by itself the answer.
    return denied or absent or words == ["no"]
