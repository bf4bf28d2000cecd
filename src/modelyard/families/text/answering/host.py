"""The half that answers questions, with numpy and `tokenizers` only."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from modelyard.families.text.answering.choose import Best, Choice, best_span
from modelyard.families.text.answering.reading import is_squad, read_asked
from modelyard.families.text.answering.spec import MOST_ASKED, Pair, PairSpec
from modelyard.host import Caution, Cost, Host, WithWarnings
from modelyard.kit.cautions import empty
from modelyard.kit.classifier.host import CHUNK
from modelyard.kit.classifier.kind import check_size
from modelyard.kit.text.groups import logits_of
from modelyard.kit.text.words import figures_of
from modelyard.runtimes.types import Runtime
from modelyard.store.files import File

CHARACTERS, SECONDS = 4, 4e-6
"""About so many characters are a token; to tokenize a character and look for spans, at most."""


class QuestionRequest(BaseModel, extra="forbid"):
    """A question on a text."""

    question: str = Field(description="What is asked")
    context: str = Field(description="The text whose words may answer it")


class TextAnswer(WithWarnings):
    """The words that answer, or that none do."""

    answer: str | None
    """Words of the context; None: it does not answer."""
    start: int | None
    """Their first character in the context."""
    end: int | None
    """The character behind their last."""
    score: float
    """Probability of the best span, also where it is not given."""
    none: float
    """Probability that the context does not answer; the two need not add up to 1."""


class AnswerHost(Host):
    """Answers for one trained network."""

    Request = QuestionRequest
    Response = TextAnswer
    sensitive = frozenset({"question", "context"})

    def __init__(self, assets: Path) -> None:
        super().__init__(assets)
        self.spec = PairSpec.load(self.assets)
        self.choice = Choice.load(self.assets)

    def predict(self, run: Runtime, requests: Sequence[BaseModel]) -> list[BaseModel]:
        """One answer a request, in order.

        Raises:
            BadData: question or context has too many bytes.
        """
        asked = [self._checked(request) for request in requests]
        pairs = [self.spec.pair(checked.question, checked.context) for checked in asked]
        answers: list[BaseModel] = []
        for checked, pair, best in zip(asked, pairs, self.found(run, pairs), strict=True):
            answer = self._answer(checked.context, best)
            answer.warnings = _cautions(checked, pair)
            answers.append(answer)
        return answers

    def found(self, run: Runtime, pairs: Sequence[Pair]) -> Iterator[Best]:
        """The best span of each pair."""
        for start in range(0, len(pairs), CHUNK):
            some = pairs[start : start + CHUNK]
            rows = np.concatenate([pair.rows for pair in some])
            counts = (rows != self.spec.pad).sum(axis=1)
            scores: list[np.ndarray] = [np.empty(0)] * len(rows)
            for row, logits in logits_of(run, self.spec, rows):
                # What stands behind it is padding.
                scores[row] = logits[: counts[row]]
            first = 0
            for pair in some:
                own = scores[first : first + len(pair.rows)]
                yield best_span(pair, own, self.choice.most_tokens)
                first += len(pair.rows)

    def answers(self, best: Best) -> bool:
        """Whether a span is given as the answer."""
        if best.end <= best.start:
            return False
        return self.choice.threshold is None or best.ahead > self.choice.threshold

    def describe(self, request: BaseModel, response: BaseModel) -> dict[str, float | str | None]:
        """Figures of the context, the question's words, the score, and whether there is an answer."""
        assert isinstance(request, QuestionRequest)
        assert isinstance(response, TextAnswer)
        return {
            **figures_of(self.spec, request.context),
            "question_words": float(len(request.question.split())),
            "score": response.score,
            "none": response.none,
            "label": "none" if response.answer is None else "answered",
        }

    def cost(self, request: BaseModel) -> Cost:
        """Tokens of all windows, at most: each may hold as much of the question as of the text."""
        assert isinstance(request, QuestionRequest)
        size = len(request.question) + len(request.context)
        asked = min(len(request.question) / CHARACTERS, self.spec.length / MOST_ASKED)
        room = max(1.0, self.spec.length - asked)
        shown = len(request.context) / CHARACTERS
        # Windows share a quarter of their tokens: each adds three quarters.
        windows = 1 + math.ceil(shown / (0.75 * room))
        if shown < room:
            tokens = min(windows * self.spec.length, shown + asked)
        else:
            tokens = windows * self.spec.length
        return Cost(tokens + 3, size * SECONDS)

    def read_file(self, file: Path) -> list[dict[str, Any]] | None:
        """The questions of a file as of SQuAD; None for any other file."""
        source = File(file.parent, file.name)
        if is_squad(source):
            return read_asked(source)
        return None

    def _checked(self, request: BaseModel) -> QuestionRequest:
        assert isinstance(request, QuestionRequest)
        check_size(request.question, self.spec.limits, "question")
        check_size(request.context, self.spec.limits, "context")
        return request

    def _answer(self, context: str, best: Best) -> TextAnswer:
        score, none = math.exp(best.log_p), math.exp(best.log_none)
        if not self.answers(best):
            return TextAnswer(answer=None, start=None, end=None, score=score, none=none)
        return TextAnswer(
            answer=context[best.start : best.end],
            start=best.start,
            end=best.end,
            score=score,
            none=none,
        )


def _cautions(request: QuestionRequest, pair: Pair) -> tuple[Caution, ...]:
    """What is empty, and a question that was cut."""
    found = []
    if not request.question.strip():
        found.append(empty("question"))
    if not request.context.strip():
        found.append(empty("context"))
    if pair.cut:
        found.append(Caution(field="question", message="only its beginning was read"))
    return tuple(found)
