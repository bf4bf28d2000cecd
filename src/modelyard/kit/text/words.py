"""Figures of a text for drift, and a text with each of its words hidden, for reasons."""

from __future__ import annotations

import numpy as np

from modelyard.kit.text.spec import TokenSpec


def figures_of(spec: TokenSpec, text: str) -> dict[str, float | str | None]:
    """Sizes, tokens a word, the share of tokens that the tokenizer cannot write, and that of
    letters beyond ASCII."""
    tally, words = spec.tally(text), len(text.split())
    return {
        "characters": float(len(text)),
        "words": float(words),
        "tokens_per_word": tally.tokens / words if words else None,
        "unknown_share": tally.unknown / tally.tokens,
        "non_ascii_share": beyond_ascii(text),
    }


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
        ids = [
            spec.hidden if place in hidden else token for place, token in enumerate(encoding.ids)
        ]
        rows.append(spec.fitted(ids))
    return names, np.stack(rows)
