"""Networks that score the tags of each token, and the chain over a sentence's words in training.

In training a batch has tokens and tags, int64 (batch, length) each; the graph has tokens only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import nn

from modelyard.families.text.network import SPEED, Recurrent
from modelyard.families.text.tagging.affixes import BEGIN, Affixes
from modelyard.families.text.tagging.chain import NEVER, Chain, forbidden, insides
from modelyard.families.text.tagging.spec import TagSpec
from modelyard.kit.text.encoder import Batch, Encoder, shortened

Plan = dict[str, Any]
NEAR = 3
"""Pieces that speak for themselves: a word's first, the one before it and the one behind."""
MOST_WEIGHTS = 2**23
"""Of these pieces; with more tags or tokens they have no part of their own."""
TINY = 1e-37
"""The smallest share of a sentence's probability that differs from none in float32."""
FORMS = 12
"""Ways to write a piece."""


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
        # In half precision TINY is 0, whose log has no gradient, and sums over a sentence are rough.
        with torch.autocast(logits.device.type, enabled=False):
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
        # A product of matrices in place of a sum over tags times tags for each sentence: with the 157 tags
        # of ATIS it is many times as fast. Moves that are never made become 0 here, not e^NEVER.
        likely = moves.exp()
        for word in range(1, emissions.shape[1]):
            highest = alpha.amax(1, keepdim=True).detach()
            reached = (alpha - highest).exp() @ likely
            # Below, a tag is too unlikely to count; the log of 0 has no gradient.
            ways = highest + reached.clamp(min=TINY).log() + emissions[:, word]
            # Padding changes nothing: a shorter sentence keeps its sum.
            alpha = torch.where(words[:, word, None], ways, alpha)
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


class Near(nn.Module):
    """What a piece and its two neighbours say of each tag, whatever else the sentence holds: a linear
    layer next to the network, as chains over words themselves have it (Lafferty et al. 2001)."""

    def __init__(self, tokens: int, spec: TagSpec) -> None:
        super().__init__()
        self.pad = spec.pad
        self.before = nn.Parameter(torch.zeros(len(spec.classes), tokens))
        self.own = nn.Parameter(torch.zeros(len(spec.classes), tokens))
        self.after = nn.Parameter(torch.zeros(len(spec.classes), tokens))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens (batch, length) to (batch, length, tags)."""
        before = nn.functional.pad(tokens[:, :-1], (1, 0), value=self.pad)
        after = nn.functional.pad(tokens[:, 1:], (0, 1), value=self.pad)
        total = nn.functional.embedding(tokens, self.own.t())
        for near, weights in ((before, self.before), (after, self.after)):
            said = nn.functional.embedding(near, weights.t())
            total = total + said * (near != self.pad)[..., None]
        return SPEED * total


class TagRecurrent(Tagged, Recurrent):
    """A token's states in both directions, and the token itself; with `near` in the plan also how
    pieces are written, and what neighbours say by themselves; with `affixes` how words begin and end."""

    def __init__(self, made: Plan, spec: TagSpec) -> None:
        Recurrent.__init__(self, made, spec)
        self.head = nn.Linear(3 * made["width"], len(spec.classes))
        self.chain = TorchChain(spec.classes)
        self.near = None
        if made.get("near"):
            self.near = Near(made["tokens"], spec)
            self.forms = nn.Embedding(FORMS, made["width"])
            nn.init.normal_(self.forms.weight, std=0.1)
            # They follow from the tokenizer, and are no part of the weights.
            forms = torch.tensor([form_of(piece) for piece in _pieces(made, spec)])
            self.register_buffer("form", forms, persistent=False)
        self.affixes = None
        if made.get("affixes"):
            self.affixes = Affixes(_pieces(made, spec), spec.special, made["width"])

    def embedded(self, tokens: torch.Tensor) -> torch.Tensor:
        vectors = super().embedded(tokens)
        if self.near is not None:
            vectors = vectors + self.forms(self.get_buffer("form")[tokens])
        if self.affixes is not None:
            vectors = vectors + self.affixes(tokens)
        return vectors

    def scores(self, tokens: torch.Tensor) -> torch.Tensor:
        states = self.read(tokens).by_token()
        logits: torch.Tensor = self.head(self.dropout(states))
        if self.near is not None:
            logits = logits + self.near(tokens)
        return logits


def _pieces(made: Plan, spec: TagSpec) -> list[str]:
    """What each token is written as."""
    return [spec.opened.id_to_token(token) or "" for token in range(made["tokens"])]


def form_of(piece: str) -> int:
    """How a piece of a word is written, below FORMS: in capitals, with a capital first, as a number,
    with a digit, in letters or in other signs; and whether it begins a word."""
    begins = piece.startswith(BEGIN)
    letters = piece.removeprefix(BEGIN)
    if letters.isupper() and len(letters) > 1:
        form = 1
    elif letters[:1].isupper():
        form = 2
    elif letters.isdigit():
        form = 3
    elif any(letter.isdigit() for letter in letters):
        form = 4
    elif letters.isalpha():
        form = 5
    else:
        form = 0
    return 2 * form + begins


class TagEncoder(Tagged, Encoder):
    """A transformer's last states."""

    def __init__(self, encoder: nn.Module, width: int, dropout: float, spec: TagSpec) -> None:
        Encoder.__init__(self, encoder, width, dropout, spec)
        self.chain = TorchChain(spec.classes)

    def scores(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.scored(self.states(tokens))
