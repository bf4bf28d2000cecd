"""The half that translates, with numpy and `tokenizers` only."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from modelyard.errors import BadData, BrokenArtifact
from modelyard.families.text.translating.decoding import Written, write_greedily, write_with_beams
from modelyard.families.text.translating.spec import PAIRS, Decoding, TranslationSpec
from modelyard.host import Caution, Cost, Host, WithWarnings
from modelyard.kit.cautions import cut, empty
from modelyard.kit.classifier import store
from modelyard.kit.classifier.host import CHUNK
from modelyard.kit.classifier.kind import check_size
from modelyard.kit.text.groups import similar
from modelyard.kit.text.words import figures_of
from modelyard.runtimes.types import Arrays, Runtime

CHARACTERS, SECONDS = 4, 2e-6
"""About so many characters are a token; to find the tokens of a character, at most."""
MOST_BEAMS = 8
UNFINISHED = "�"
"""What a character is decoded to of which not all bytes are there."""


class TranslationRequest(BaseModel, extra="forbid"):
    """A text to translate."""

    text: str = Field(description="The text to translate")
    beams: int = Field(
        default=1,
        ge=1,
        le=MOST_BEAMS,
        description="How many translations are followed at a time; 1 takes the likeliest token each time",
    )


class Translation(WithWarnings):
    """A text in the other language."""

    translation: str
    score: float
    """Geometric mean of its tokens' probabilities."""
    ended: bool
    """Whether it came to its end; else it is as long as allowed, and something may be missing."""


class TranslationPart(BaseModel):
    """A piece of a translation that is being written."""

    text: str


class TranslateHost(Host):
    """Answers for one trained network."""

    Request = TranslationRequest
    Response = Translation
    sensitive = frozenset({"text"})
    reads = PAIRS.suffixes

    def __init__(self, assets: Path) -> None:
        super().__init__(assets)
        self.spec = TranslationSpec.load(self.assets)

    def predict(self, run: Runtime, requests: Sequence[BaseModel]) -> list[BaseModel]:
        """One answer a request, in order.

        Raises:
            BadData: a text has too many bytes.
        """
        asked = [self._checked(request) for request in requests]
        # An empty text is translated by nothing, surely.
        answers = [Translation(translation="", score=1.0, ended=True) for _ in asked]
        by_beams: dict[int, list[int]] = defaultdict(list)
        for place, one in enumerate(asked):
            if one.text.strip():
                by_beams[one.beams].append(place)
        for beams, places in sorted(by_beams.items()):
            texts = [asked[place].text.strip() for place in places]
            for place, found in zip(places, self.written(run, texts, beams), strict=True):
                answers[place] = self._answer(found)
        for one, answer in zip(asked, answers, strict=True):
            answer.warnings = self._cautions(one, answer)
        return list(answers)

    def stream(self, run: Runtime, request: BaseModel) -> Iterator[BaseModel]:
        """Parts as they are written, then the answer; beams have no part before their end.

        Raises:
            BadData: the text has too many bytes.
        """
        asked = self._checked(request)
        if asked.beams > 1 or not asked.text.strip():
            return (answer for answer in self.predict(run, [asked]))
        return self._streamed(run, asked)

    def _streamed(self, run: Runtime, asked: TranslationRequest) -> Iterator[BaseModel]:
        rows = self.spec.read([asked.text.strip()]).astype(np.int64)
        tokens = rows[:, : int((rows != self.spec.pad).sum())]
        sent = ""
        for (found,) in write_greedily(run, tokens, self.spec, self.decoding):
            text = self.spec.text_of(found.tokens)
            # The bytes of a character may come one by one; and a tokenizer may write the end of a
            # text otherwise once it continues.
            has_grown = text.startswith(sent) and text != sent
            if has_grown and not text.endswith(UNFINISHED):
                yield TranslationPart(text=text[len(sent) :])
                sent = text
        answer = self._answer(found)
        answer.warnings = self._cautions(asked, answer)
        yield answer

    def _answer(self, found: Written) -> Translation:
        return Translation(
            translation=self.spec.text_of(found.tokens),
            score=math.exp(found.log_p),
            ended=found.ended,
        )

    def written(self, run: Runtime, texts: Sequence[str], beams: int = 1) -> list[Written]:
        """Translations in tokens; texts of similar length are read and written at once."""
        found: list[Written | None] = [None] * len(texts)
        rows = self.spec.read(texts).astype(np.int64)
        counts = (rows != self.spec.pad).sum(axis=1)
        # Beams fill a batch by themselves: one text at a time.
        most = 1 if beams > 1 else CHUNK
        for places in similar(counts, most):
            tokens = rows[places, : counts[places[-1]]]
            if beams > 1:
                some = [write_with_beams(run, tokens, self.spec, self.decoding, beams)]
            else:
                *_, some = write_greedily(run, tokens, self.spec, self.decoding)
            for place, one in zip(places.tolist(), some, strict=True):
                found[place] = one
        return [one for one in found if one is not None]

    @cached_property
    def decoding(self) -> Decoding:
        """Shape of the decoder, which training leaves in the assets."""
        file = self.assets / store.PLAN
        try:
            shape = store.load_plan(self.assets)["config"]
        except (OSError, ValueError, KeyError) as error:
            raise BrokenArtifact(f"{file} cannot be read: {error}") from None
        layers = shape.get("num_decoder_layers") or shape["num_layers"]
        return Decoding(layers, shape["num_heads"], shape["d_kv"])

    def describe(self, request: BaseModel, response: BaseModel) -> dict[str, float | str | None]:
        """Figures of the text, the score, how much longer the translation is, and whether it ended."""
        assert isinstance(request, TranslationRequest)
        assert isinstance(response, Translation)
        return {
            **figures_of(self.spec, request.text),
            "score": response.score,
            "longer": len(response.translation) / max(1, len(request.text)),
            "label": "ended" if response.ended else "cut",
        }

    def cost(self, request: BaseModel) -> Cost:
        """Tokens to write, at most, times the beams, and those to read."""
        assert isinstance(request, TranslationRequest)
        read = min(len(request.text) / CHARACTERS + 2, self.spec.length)
        written = min(2 * read + 8, self.spec.most_written)
        return Cost(written * request.beams + read / 4, len(request.text) * SECONDS)

    def check_arrays(self, graph: str, arrays: Arrays) -> None:
        """Bounds the tokens of one call: attention grows with their product."""
        read, written = self.spec.length, self.spec.most_written
        for name, limit in (("tokens", read), ("input_ids", written)):
            if name in arrays and arrays[name].shape[1] > limit:
                problem = f"{arrays[name].shape[1]} tokens; at most {limit} are allowed"
                raise BadData(problem, column=name)
        for name, array in arrays.items():
            limit = read if name.startswith("source_") else written
            # Keys and values: (batch, heads, tokens, head width).
            if array.ndim == 4 and array.shape[2] > limit:
                problem = f"holds {array.shape[2]} tokens; at most {limit} are allowed"
                raise BadData(problem, column=name)

    def read_file(self, file: Path) -> list[dict[str, Any]] | None:
        """A table's column that held the sources in training, with its other columns; a .txt as one
        request."""
        from modelyard.kit.classifier.bodies import read_bodies

        return read_bodies(file, PAIRS, self.spec.text_column)

    def _checked(self, request: BaseModel) -> TranslationRequest:
        assert isinstance(request, TranslationRequest)
        check_size(request.text, self.spec.limits, PAIRS.field)
        return request

    def _cautions(self, request: TranslationRequest, answer: Translation) -> tuple[Caution, ...]:
        if not request.text.strip():
            return (empty(PAIRS.field),)
        found = []
        if self.spec.tally(self.spec.prompt + request.text.strip()).tokens > self.spec.length:
            found.append(cut(PAIRS.field, self.spec.length))
        if not answer.ended:
            said = f"the translation is cut at {self.spec.most_written} tokens"
            found.append(Caution(field=PAIRS.field, message=said))
        return tuple(found)
