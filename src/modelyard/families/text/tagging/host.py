"""The half that answers: texts to spans, with numpy and `tokenizers` only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, Field

from modelyard.families.text.spec import TEXTS
from modelyard.families.text.tagging.chain import Chain
from modelyard.families.text.tagging.columns import COLUMNS
from modelyard.families.text.tagging.kind import SENTENCES
from modelyard.families.text.tagging.reading import read_untagged
from modelyard.families.text.tagging.schemes import spans_of
from modelyard.families.text.tagging.spec import WORD, Laid, TagSpec
from modelyard.host import Caution, Cost, Host, WithWarnings
from modelyard.kit.cautions import empty, mostly_unknown
from modelyard.kit.classifier.host import CHUNK
from modelyard.kit.classifier.kind import check_size
from modelyard.kit.text.groups import logits_of, similar
from modelyard.kit.text.words import figures_of
from modelyard.runtimes.types import Runtime
from modelyard.store.files import File

CHARACTERS, SECONDS = 4, 2e-5
"""About so many characters are a token; to tokenize a character and decode its tags, at most."""


class TagRequest(BaseModel, extra="forbid"):
    """One text in."""

    text: str = Field(description="The text whose spans are looked for")


class TaggedSpan(BaseModel):
    """A span of the text."""

    start: int
    """Its first character."""
    end: int
    """The character behind its last."""
    label: str
    """What it is."""
    score: float
    """Probability that just these words are such a span, under the chain of tags."""
    text: str
    """Its characters."""


class TagAnswer(WithWarnings):
    """The spans of a text."""

    text: str
    """As it came."""
    spans: list[TaggedSpan]
    """In their order in the text; they do not overlap."""


class Found(NamedTuple):
    """What is found in the words of a text."""

    tags: list[str]
    """Of each word, in BIO."""
    scores: list[float]
    """Of each span."""


class TagHost(Host):
    """Answers for one trained network and its chain."""

    Request = TagRequest
    Response = TagAnswer
    sensitive = frozenset({"text"})
    reads = COLUMNS

    def __init__(self, assets: Path) -> None:
        super().__init__(assets)
        self.spec = TagSpec.load(self.assets)
        self.chain = Chain.load(self.assets)

    def predict(self, run: Runtime, requests: Sequence[BaseModel]) -> list[BaseModel]:
        """One answer a request, in order.

        Raises:
            BadData: a text of too many bytes.
        """
        texts = [self._text(request) for request in requests]
        places = [_words(text) for text in texts]
        # A text without a word has no span, and nothing for the network to read.
        filled = [number for number, some in enumerate(places) if some]
        laid = []
        for number in filled:
            starts = np.array([start for start, _ in places[number]])
            laid.append(self.spec.laid(texts[number], starts))
        answers = [TagAnswer(text=text, spans=[]) for text in texts]
        for number, found in zip(filled, self.found(run, laid), strict=True):
            answers[number].spans = _spans(texts[number], places[number], found)
        for number, text in enumerate(texts):
            answers[number].warnings = self._cautions(text)
        return list(answers)

    def found(self, run: Runtime, laid: Sequence[Laid]) -> Iterator[Found]:
        """The tags of each text's words, one word at least, and the scores of its spans."""
        for start in range(0, len(laid), CHUNK):
            some = laid[start : start + CHUNK]
            emissions = self._emissions(run, some)
            counts = np.array([len(scores) for scores in emissions])
            chosen: list[np.ndarray] = [np.empty(0, np.int64)] * len(some)
            for rows in similar(counts, CHUNK):
                longest = int(counts[rows].max())
                padded = np.zeros((len(rows), longest, len(self.spec.classes)))
                for place, row in enumerate(rows.tolist()):
                    padded[place, : counts[row]] = emissions[row]
                best = self.chain.best(padded, counts[rows])
                for place, row in enumerate(rows.tolist()):
                    chosen[row] = best[place, : counts[row]]
            for scores, numbers in zip(emissions, chosen, strict=True):
                tags = [self.spec.classes[number] for number in numbers.tolist()]
                spans = [(span.start, span.end) for span in spans_of(tags)]
                yield Found(tags, self.chain.probabilities(scores, numbers, spans))

    def describe(self, request: BaseModel, response: BaseModel) -> dict[str, float | str | None]:
        """Figures of the text, how many spans there are, the mean of their scores and the most
        frequent label."""
        assert isinstance(response, TagAnswer)
        labels = [span.label for span in response.spans]
        scores = [span.score for span in response.spans]
        most = max(sorted(set(labels)), key=labels.count, default="none")
        # Of a text without spans there is nothing to be sure of.
        score = float(np.mean(scores)) if scores else None
        return {
            **figures_of(self.spec, self._text(request).strip()),
            "spans": float(len(labels)),
            "score": score,
            "label": most,
        }

    def cost(self, request: BaseModel) -> Cost:
        """Tokens, all of which are read, and the time around the network."""
        assert isinstance(request, TagRequest)
        size = len(request.text)
        return Cost(size / CHARACTERS + 2, size * SECONDS)

    def read_file(self, file: Path) -> list[dict[str, Any]] | None:
        """The sentences of a file as of CoNLL or of JSON rows with `tokens`; a table's column `text`,
        with its other columns; a .txt as one request."""
        from modelyard.kit.classifier.bodies import read_bodies

        found = read_untagged(File(file.parent, file.name))
        if found is None:
            return read_bodies(file, TEXTS, SENTENCES.field)
        return found

    def _text(self, request: BaseModel) -> str:
        assert isinstance(request, TagRequest)
        check_size(request.text, self.spec.limits, SENTENCES.field)
        return request.text

    def _cautions(self, text: str) -> tuple[Caution, ...]:
        """That the text is empty, or of characters that training never saw."""
        if not text.strip():
            return (empty(SENTENCES.field),)
        tally = self.spec.tally(text.strip())
        if tally.unknown > 0 and 2 * tally.unknown >= tally.tokens:
            return (mostly_unknown(SENTENCES.field),)
        return ()

    def _emissions(self, run: Runtime, laid: Sequence[Laid]) -> list[np.ndarray]:
        """The scores of each text's words, float64 (words, tags)."""
        rows = np.concatenate([text.rows for text in laid])
        scores = dict(logits_of(run, self.spec, rows))
        found, first = [], 0
        for text in laid:
            pairs = zip((first + text.window).tolist(), text.place.tolist(), strict=True)
            found.append(np.array([scores[row][place] for row, place in pairs], np.float64))
            first += len(text.rows)
        return found


def _words(text: str) -> list[tuple[int, int]]:
    """First character of each word, and the one behind its last."""
    return [match.span() for match in WORD.finditer(text)]


def _spans(text: str, places: list[tuple[int, int]], found: Found) -> list[TaggedSpan]:
    spans = []
    for span, score in zip(spans_of(found.tags), found.scores, strict=True):
        start, end = places[span.start][0], places[span.end - 1][1]
        spans.append(
            TaggedSpan(start=start, end=end, label=span.label, score=score, text=text[start:end])
        )
    return spans
