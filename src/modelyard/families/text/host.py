"""The half that answers: texts to labels, with numpy and `tokenizers` only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from modelyard.errors import BadData
from modelyard.families.text.spec import TEXTS, TextSpec
from modelyard.host import Caution, Cost, Explanation
from modelyard.kit.cautions import cut, empty, mostly_unknown
from modelyard.kit.classifier.host import ClassifierHost
from modelyard.kit.labels.host import ManyLabelsHost
from modelyard.kit.text.groups import logits_of
from modelyard.kit.text.words import each_hidden, figures_of
from modelyard.runtimes.types import Runtime

ENCODE_SECONDS, CHARACTERS = 2e-6, 4
"""To find the tokens of a character, at most; about so many characters are a token."""
EXPLAINED = 200
"""Most words of a text whose reasons are looked for, its first."""


class TextRequest(BaseModel, extra="forbid"):
    """One example in."""

    text: str = Field(description="The text to classify")


class TextHost(ClassifierHost[TextSpec]):
    """Answers for one trained network."""

    Spec = TextSpec
    Request = TextRequest
    sensitive = frozenset({"text"})
    reads = TEXTS.suffixes

    def bytes_of(self, request: BaseModel) -> bytes:
        """The text that a request carries, as UTF-8."""
        assert isinstance(request, TextRequest)
        return request.text.strip().encode()

    def decode_all(self, requests: Sequence[BaseModel]) -> np.ndarray:
        """Tokens of some texts, (n, length)."""
        try:
            return self.spec.decode_all([self.bytes_of(request) for request in requests])
        except BadData:
            # The text that is refused is named as one that came by itself.
            return super().decode_all(requests)

    def cost(self, request: BaseModel) -> Cost:
        """Tokens that are read, and the time to find them."""
        assert isinstance(request, TextRequest)
        tokens = min(len(request.text) / CHARACTERS + 2, self.spec.length)
        return Cost(tokens, len(request.text) * ENCODE_SECONDS)

    def logits(self, run: Runtime, arrays: np.ndarray) -> np.ndarray:
        """Tokens (n, length) to logits float64 (n, classes)."""
        found = np.empty((len(arrays), len(self.spec.classes)))
        for place, logits in logits_of(run, self.spec, arrays):
            found[place] = logits
        return found

    def cautions(self, request: BaseModel, array: np.ndarray) -> tuple[Caution, ...]:
        """That the text is empty, cut, or of characters that training never saw."""
        assert isinstance(request, TextRequest)
        if not request.text.strip():
            return (empty(TEXTS.field),)
        # By lists: numpy's own search for members takes ten times as long on a single text.
        tokens = array[array != self.spec.pad].tolist()
        words = [token for token in tokens if token not in self.spec.special]
        # Of control characters alone there is no token at all.
        if tokens.count(self.spec.unknown) >= len(words):
            return (mostly_unknown(TEXTS.field),)
        if array[-1] == self.spec.pad:
            return ()
        if self.spec.tally(self.bytes_of(request).decode()).tokens <= len(array):
            return ()
        return (cut(TEXTS.field, len(array)),)

    def figures(self, data: bytes) -> dict[str, float | str | None]:
        """Sizes, and shares of what the tokenizer cannot write."""
        return figures_of(self.spec, data.decode())

    def explain(self, run: Runtime, request: BaseModel) -> Explanation:
        """How much each word speaks for the answer: the drop of its logit when the word is hidden
        (occlusion: Zeiler and Fergus 2014, section 4.2)."""
        words, tokens = each_hidden(self.spec, self.bytes_of(request).decode(), EXPLAINED)
        raw = self.logits(run, tokens)
        weights, output = self.reasoned(raw[0])
        values = self.calibrated(raw) @ weights
        drops = dict(zip(words, (values[0] - values[1:]).tolist(), strict=True))
        return Explanation(method="occlusion", output=output, contributions=drops)

    def read_file(self, file: Path) -> list[dict[str, Any]] | None:
        """A table's column that held the texts in training, with its other columns; a .txt as one
        request."""
        from modelyard.kit.classifier.bodies import read_bodies

        return read_bodies(file, TEXTS, self.spec.text_column)


class LabelsTextHost(ManyLabelsHost[TextSpec], TextHost):
    """Answers with any number of labels."""
