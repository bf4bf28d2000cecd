"""Networks that score the tags of each token, and the chain over a sentence's words in training.

In training a batch has tokens and tags, int64 (batch, length) each; the graph has tokens only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import nn

from modelyard.families.text.network import Recurrent
from modelyard.families.text.tagging.chain import NEVER, Chain, forbidden, insides
from modelyard.families.text.tagging.spec import TagSpec
from modelyard.kit.text.encoder import Batch, Encoder, shortened

Plan = dict[str, Any]


class TorchChain(nn.Module):
    """The log-likelihood of a sentence's tags (Lafferty et al. 2001, section 3)."""

    def __init__(self, classes: list[str]) -> None:
        super().__init__()
        self.inside = insides(classes)
        moves, begins = forbidden(classes)
        count = len(classes)
        self.transitions = nn.Parameter(torch.zeros(count, count))
        self.starts = nn.Parameter(torch.zeros(count))
        self.ends = nn.Parameter(torch.zeros(count))
        never = torch.from_numpy(moves).float() * NEVER
        # They follow from the classes, and are no part of the weights.
        self.register_buffer("never", never, persistent=False)
        first = torch.from_numpy(begins).float() * NEVER
        self.register_buffer("never_first", first, persistent=False)

    def forward(self, logits: torch.Tensor, tags: torch.Tensor) -> torch.Tensor:
        """Minus the log-likelihood of each sentence, (batch,).

        Args:
            logits: (batch, length, tags); tags: (batch, length), negative where no word begins.
        """
        emissions, tags, words = _words_first(logits, tags)
        counts = words.sum(1)
        some = counts > 0
        scores = self._total(emissions, words) - self._own(emissions, tags, words, counts)
        # Times 0, not 0 itself: what has no word still has a gradient, which is 0.
        return torch.where(some, scores, scores * 0)

    def asset(self) -> Chain:
        """What the host decodes with."""
        moves, starts, _ = self._scores()
        return Chain(
            transitions=moves.detach().tolist(),
            starts=starts.detach().tolist(),
            ends=self.ends.detach().tolist(),
            inside=self.inside,
        )

    def _scores(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        moves = self.transitions + self.get_buffer("never")
        return moves, self.starts + self.get_buffer("never_first"), self.ends

    def _own(
        self, emissions: torch.Tensor, tags: torch.Tensor, words: torch.Tensor, counts: torch.Tensor
    ) -> torch.Tensor:
        """The score of the tags themselves."""
        moves, starts, ends = self._scores()
        own = emissions.gather(2, tags[..., None]).squeeze(2)
        total = (own * words).sum(1) + starts[tags[:, 0]]
        steps = moves[tags[:, :-1], tags[:, 1:]]
        total = total + (steps * words[:, 1:]).sum(1)
        last = tags.gather(1, (counts - 1).clamp(min=0)[:, None]).squeeze(1)
        return total + ends[last]

    def _total(self, emissions: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """The log of the summed scores of all tags: the forward algorithm."""
        moves, starts, ends = self._scores()
        alpha = starts + emissions[:, 0]
        for word in range(1, emissions.shape[1]):
            ways = alpha[:, :, None] + moves + emissions[:, word, None]
            # Padding changes nothing: a shorter sentence keeps its sum.
            alpha = torch.where(words[:, word, None], ways.logsumexp(1), alpha)
        return (alpha + ends).logsumexp(1)


def _words_first(
    logits: torch.Tensor, tags: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Without the tokens at which no word begins: emissions, tags and whether there is a word,
    (batch, words, …)."""
    words = tags >= 0
    order = torch.argsort((~words).long(), dim=1, stable=True)
    order = order[:, : max(1, int(words.sum(1).amax()))]
    emissions = logits.float().gather(1, order[..., None].expand(-1, -1, logits.shape[2]))
    return emissions, tags.gather(1, order).clamp(min=0), words.gather(1, order)


class Tagged(nn.Module, ABC):
    """What both networks add to their states: scores of tags, and in training the loss."""

    chain: TorchChain
    pad: int

    @abstractmethod
    def scores(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens (batch, length) to logits (batch, length, tags)."""

    def forward(self, tokens: torch.Tensor, tags: torch.Tensor | None = None) -> Batch:
        if tags is None:
            return {"logits": self.scores(tokens)}
        logits = self.scores(shortened(tokens, self.pad))
        tags = tags[:, : logits.shape[1]]
        return {"logits": logits, "loss": self.chain(logits, tags)}


class TagRecurrent(Tagged, Recurrent):
    """A token's states in both directions, and the token itself."""

    def __init__(self, made: Plan, spec: TagSpec) -> None:
        Recurrent.__init__(self, made, spec)
        self.head = nn.Linear(3 * made["width"], len(spec.classes))
        self.chain = TorchChain(spec.classes)

    def scores(self, tokens: torch.Tensor) -> torch.Tensor:
        states = self.read(tokens).by_token()
        logits: torch.Tensor = self.head(self.dropout(states))
        return logits


class TagEncoder(Tagged, Encoder):
    """A transformer's last states."""

    def __init__(self, encoder: nn.Module, width: int, dropout: float, spec: TagSpec) -> None:
        Encoder.__init__(self, encoder, width, dropout, spec)
        self.chain = TorchChain(spec.classes)

    def scores(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.scored(self.states(tokens))
