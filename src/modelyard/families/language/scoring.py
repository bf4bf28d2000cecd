"""Teacher forcing: the loss of every token of a document, from those before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from modelyard.families.language.chat import words_of
from modelyard.families.language.documents import Document
from modelyard.families.language.host import LanguageHost
from modelyard.kit.logits import log_softmax
from modelyard.runtimes.types import Runtime


@dataclass
class Judged:
    """Every token of a document after its start token, its end token included."""

    bytes: int
    source: str
    tokens: np.ndarray
    """Their numbers, int64 (tokens,)."""
    losses: np.ndarray
    """Negative log probability, nats, float64 (tokens,)."""
    hits: np.ndarray
    """Whether it was the likeliest, bool (tokens,)."""
    seen: np.ndarray
    """How many tokens the model saw before it, int64 (tokens,)."""


@dataclass(frozen=True)
class _Window:
    document: int
    start: int
    scored: int
    """First target of the window that no window before it scored."""
    tokens: list[int] = field(repr=False)


def judge_documents(host: LanguageHost, run: Runtime, documents: list[Document]) -> list[Judged]:
    """Reads documents in windows of the context that overlap by half, and as a whole where prompts
    are endless; a token is scored where it is seen first."""
    sequences = [sequence_of(host, document) for document in documents]
    judged: list[Judged] = []
    windows: list[_Window] = []
    for number, (document, (ids, _)) in enumerate(zip(documents, sequences, strict=True)):
        count = len(ids) - 1
        empty = Judged(
            _learned_bytes(document),
            document.source,
            tokens=np.array(ids[1:]),
            losses=np.zeros(count),
            hits=np.zeros(count, bool),
            seen=np.zeros(count, np.int64),
        )
        judged.append(empty)
        windows += _windows(number, ids, host.spec.reach)
    # Of similar length together: a batch is padded to its longest.
    windows.sort(key=lambda one: len(one.tokens))
    size = host.rows(host.spec.context)
    for start in range(0, len(windows), size):
        _score(host, run, windows[start : start + size], judged)
    # What is read but not judged, such as a person's words in a dialogue, is left out in the end.
    for one, (_, learned) in zip(judged, sequences, strict=True):
        one.tokens, one.losses = one.tokens[learned], one.losses[learned]
        one.hits, one.seen = one.hits[learned], one.seen[learned]
    return judged


def sequence_of(host: LanguageHost, document: Document) -> tuple[list[int], np.ndarray]:
    """A document's tokens, and which of those after the first are judged, bool (tokens - 1,): of a
    dialogue what the assistant says."""
    if (dialogue := document.dialogue) is not None:
        ids, learned = host.chat.tokens_of(dialogue)
        return [host.spec.start, *ids], np.array(learned)
    ids = [*host.codec.encode(document.text), host.spec.end]
    return [host.spec.start, *ids], np.ones(len(ids), bool)


def _learned_bytes(document: Document) -> int:
    """Bytes of what is judged of a document."""
    dialogue = document.dialogue
    said = document.text if dialogue is None else words_of(dialogue)
    return len(said.encode())


def _windows(document: int, ids: list[int], context: int) -> Iterator[_Window]:
    """Inputs and targets are one apart, so a window holds one token more than the model reads."""
    # By half: each token but the first ones then has half a context before it at least.
    stride, scored = max(1, context // 2), 0
    for start in range(0, len(ids) - 1, stride):
        window = ids[start : start + context + 1]
        yield _Window(document, start, scored - start, window)
        scored = start + len(window) - 1
        if scored == len(ids) - 1:
            return


def _score(host: LanguageHost, run: Runtime, windows: list[_Window], judged: list[Judged]) -> None:
    rows = [window.tokens[:-1] for window in windows]
    longest = max(map(len, rows))
    for start, logits in host.decoder(run, len(rows)).read(rows, host.spec.chunk):
        for number, window in enumerate(windows):
            # The piece begins with this token of the window; below 0 is padding.
            first = start - (longest - len(rows[number]))
            places = np.arange(max(first, window.scored), first + logits.shape[1])
            if not len(places):
                continue
            targets = np.array(window.tokens)[places + 1]
            logs, one = log_softmax(logits[number, places - first]), judged[window.document]
            at = window.start + places
            one.losses[at] = -logs[np.arange(len(places)), targets]
            one.hits[at] = logs.argmax(axis=1) == targets
            one.seen[at] = places + 1
