"""How tags say where a span begins and ends.

BIO (IOB2): B- on the first word of every span, I- on the others. IOB1: B- only where a span follows
another of its type, I- else. BIOES (IOBES, BILOU): E- (L-) on the last word, S- (U-) on the only one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

OUTSIDE = "O"
PREFIXES = ("B", "I", "E", "S", "L", "U")
BEGINS, ENDS = ("B", "S", "U"), ("E", "S", "L", "U")
Scheme = Literal["BIO", "IOB1", "BIOES"]


class Span(NamedTuple):
    """Words `start` to `end` (one behind the last) of a sentence."""

    start: int
    end: int
    label: str


def parts(tag: str) -> tuple[str, str]:
    """Prefix and label of a tag: `B-PER` to `("B", "PER")`; of O, `("O", "")`."""
    prefix, _, label = tag.partition("-")
    return prefix, label


def is_tag(tag: str) -> bool:
    """Whether it is O, or a prefix with a label."""
    prefix, label = parts(tag)
    is_labelled = prefix in PREFIXES and bool(label)
    return is_labelled or tag == OUTSIDE


def has_prefix(tag: str) -> bool:
    """Whether it begins as those that say where a span begins or ends."""
    return "-" in tag and parts(tag)[0] in PREFIXES


def with_prefixes(labels: Sequence[str], *, joined: bool) -> list[str]:
    """Labels of words as tags in BIO; where they are `joined`, neighbours of one label are one span."""
    tags = []
    before = OUTSIDE
    for label in labels:
        if label == OUTSIDE:
            tags.append(OUTSIDE)
        elif joined and label == before:
            tags.append(f"I-{label}")
        else:
            tags.append(f"B-{label}")
        before = label
    return tags


def spans_of(tags: Sequence[str]) -> list[Span]:
    """The spans that tags of any scheme say, read leniently as conlleval does: a tag that continues
    nothing begins a span."""
    found: list[Span] = []
    start, open_label, ended = 0, "", True
    # An O more, which ends the last span.
    for place, tag in enumerate([*tags, OUTSIDE]):
        prefix, label = parts(tag)
        begins = label != open_label or prefix in BEGINS or ended
        if open_label and begins:
            found.append(Span(start, place, open_label))
            open_label = ""
        if label and not open_label:
            start, open_label = place, label
        ended = prefix in ENDS
    return found


def to_bio(spans: Iterable[Span], words: int) -> list[str]:
    """Spans as tags in BIO."""
    tags = [OUTSIDE] * words
    for start, end, label in spans:
        tags[start:end] = [f"B-{label}"] + [f"I-{label}"] * (end - start - 1)
    return tags


def scheme_of(sentences: Iterable[Sequence[str]]) -> Scheme:
    """The scheme that the tags of a data set are in."""
    odd_starts = apart = 0
    for tags in sentences:
        before = ""
        for tag in tags:
            prefix, label = parts(tag)
            if prefix in ENDS:
                return "BIOES"
            if label != before:
                odd_starts += prefix == "I"
                apart += prefix == "B"
            before = label
    # In BIO spans begin with B after another tag; in IOB1 none should, but in CoNLL-2003 two do.
    if odd_starts > apart:
        return "IOB1"
    return "BIO"


def broken_in(tags: Sequence[str], scheme: Scheme) -> int:
    """How many tags the scheme does not allow where they stand; IOB1 allows every order."""
    if scheme == "IOB1":
        return 0
    count = 0
    before = OUTSIDE
    for tag in [*tags, OUTSIDE]:
        prefix, label = parts(tag)
        was, old = parts(before)
        inside = was in ("B", "I")
        if prefix in ("I", "E", "L"):
            count += not (inside and label == old)
        elif scheme == "BIOES":
            count += inside  # the span before was not ended
        before = tag
    return count
