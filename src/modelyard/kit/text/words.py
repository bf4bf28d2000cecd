"""Figures of a text for drift, and a text with each of its words hidden, for reasons."""

from __future__ import annotations

import numpy as np

from modelyard.kit.text.spec import TokenSpec


def figures_of(spec: TokenSpec, text: str) -> dict[str, float | str | None]:
    """Sizes, tokens a word, the share of tokens that the tokenizer cannot write, and that of
    letters beyond ASCII."""
    tally, words = spec.tally(text), len(text.split())
    found: dict[str, float | str | None] = {
        "characters": float(len(text)),
        "words": float(words),
        "tokens_per_word": None,
        "unknown_share": None,
        "non_ascii_share": beyond_ascii(text),
    }
    if words:
        found["tokens_per_word"] = tally.tokens / words
    # Not every checkpoint's tokenizer marks the ends of a text: an empty one may have no token.
    if tally.tokens:
        found["unknown_share"] = tally.unknown / tally.tokens
    return found


def beyond_ascii(text: str) -> float:
    """Share of the characters that are not ASCII."""
    ascii_ones = len(text.encode("ascii", "ignore"))
    return (len(text) - ascii_ones) / max(1, len(text))


def each_hidden(spec: TokenSpec, text: str, most: int) -> tuple[list[str], np.ndarray]:
    """The first `most` words of a text as `number word`; and its tokens as the model reads them,
    int64 (1 + words, length): whole, then with one word hidden each."""
    encoding = spec.encoded(text)
    places: dict[int, list[int]] = {}
    for place, word in enumerate(encoding.word_ids):
        if word is not None:
            places.setdefault(word, []).append(place)
    names: list[str] = []
    rows = [spec.fitted(encoding.ids)]
    for hidden in list(places.values())[:most]:
        begin, end = encoding.offsets[hidden[0]][0], encoding.offsets[hidden[-1]][1]
        names.append(f"{len(names) + 1} {text[begin:end]}")
        ids = list(encoding.ids)
        for place in hidden:
            ids[place] = spec.hidden
        rows.append(spec.fitted(ids))
    return names, np.stack(rows)
