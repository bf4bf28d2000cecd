"""Networks that score where an answer begins and ends: tokens int64 (batch, length) to `logits`
(batch, length, 2). Place 0 says that there is no answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import nn

from modelyard.families.text.answering.spec import PairSpec
from modelyard.families.text.network import Recurrent
from modelyard.kit.text.encoder import Batch, Encoder, mean_of, shortened

Plan = dict[str, Any]
NEVER = -1e4
"""Score of a place where no answer may begin or end."""


class Asking(nn.Module, ABC):
    """What both networks know of a row: start, question, end, a part of the text, end."""

    pad: int
    end: list[int]

    def question(self, tokens: torch.Tensor) -> torch.Tensor:
        """Whether each token is of the question, bool (batch, length)."""
        return self._ended(tokens) == 0

    def allowed(self, tokens: torch.Tensor) -> torch.Tensor:
        """Where an answer may begin or end: in the text, and at place 0; bool (batch, length)."""
        text = (self._ended(tokens) > 0) & (tokens != self.pad)
        for token in self.end:
            text = text & (tokens != token)
        first = torch.zeros_like(text)
        # Place 0 stands for the answer that the text does not hold.
        first[:, 0] = True
        return text | first

    @abstractmethod
    def scores(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (batch, length, 2), anywhere."""

    def forward(self, tokens: torch.Tensor) -> Batch:
        if self.training:
            tokens = shortened(tokens, self.pad)
        allowed = self.allowed(tokens)[..., None]
        # Not -inf: a softmax over a row in which nothing is allowed would be NaN.
        return {"logits": torch.where(allowed, self.scores(tokens), NEVER)}

    def _ended(self, tokens: torch.Tensor) -> torch.Tensor:
        """How many ends stand at or before each token."""
        return (tokens == self.end[0]).long().cumsum(1)


class AnswerRecurrent(Asking, Recurrent):
    """States in both directions, of tokens that know whether the question holds them too (Chen et
    al. 2017, section 3.2), each compared with the mean of the question's."""

    def __init__(self, made: Plan, spec: PairSpec) -> None:
        Recurrent.__init__(self, made, spec)
        width = made["width"]
        self.end = spec.end
        self.matched = nn.Parameter(torch.randn(width) * 0.1)
        self.head = nn.Linear(3 * width, 2)
        self.asks = nn.Linear(3 * width, 6 * width)

    def embedded(self, tokens: torch.Tensor) -> torch.Tensor:
        """With what the question holds too marked."""
        question = self.question(tokens)
        # Each token of the text next to each of the question: (batch, text, question).
        same = (tokens[:, :, None] == tokens[:, None]) & question[:, None] & ~question[:, :, None]
        found: torch.Tensor = self.embedding(tokens) + same.any(2)[..., None] * self.matched
        return found

    def scores(self, tokens: torch.Tensor) -> torch.Tensor:
        states = self.dropout(self.read(tokens).by_token())
        asked = self.asks(mean_of(states, self.question(tokens)))
        wanted = asked.unflatten(1, (2, -1))
        # Divided as in attention, so that the products stay of the size of the logits.
        compared = states @ wanted.transpose(1, 2) / states.shape[2] ** 0.5
        logits: torch.Tensor = self.head(states) + compared
        return logits


class AnswerEncoder(Asking, Encoder):
    """A transformer's last states."""

    def __init__(self, encoder: nn.Module, width: int, dropout: float, spec: PairSpec) -> None:
        Encoder.__init__(self, encoder, width, dropout, spec)
        self.end = spec.end
        self.head = nn.Linear(width, 2)

    def scores(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.scored(self.states(tokens))
