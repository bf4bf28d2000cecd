"""The networks: tokens int64 (batch, length), `pad` behind the last one, to `logits`.

What stands behind a text's last token changes nothing, so that a batch may have any length.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn

from modelyard.errors import UsageError
from modelyard.families.text.config import TextModel
from modelyard.kit.text.encoder import Batch, mean_of, shortened
from modelyard.kit.text.spec import TokenSpec

Plan = dict[str, Any]
DROPOUT = 0.5
"""Unless set."""
PAIRS, MOST_WEIGHTS = 2**15, 2**21
"""Places for pairs of neighbouring pieces; fewer where there are so many classes that their weights
would be more than MOST_WEIGHTS."""
SPEED = 10.0
"""The weights of pieces and pairs learn so many times as fast as the network's: few texts hold each."""


class Read(NamedTuple):
    """What a recurrent network makes of tokens, (batch, length, width) each."""

    vectors: torch.Tensor
    """Of the tokens themselves."""
    forth: torch.Tensor
    """States in the order of the text."""
    back: torch.Tensor
    """States from its end on, in that order."""
    turned: torch.Tensor
    """The places of the tokens in that order, (batch, length)."""

    def by_token(self) -> torch.Tensor:
        """Both states of each token and its vector, (batch, length, 3 widths)."""
        # Turning twice changes nothing. The vectors have the states' shape, and one that varies: the
        # exporter may take that of a second network's states for fixed.
        back = torch.gather(self.back, 1, self.turned[..., None].expand(self.vectors.shape))
        return torch.cat([self.forth, back, self.vectors], -1)


class Wide(nn.Module):
    """What the pieces of a text, and its pairs of neighbouring pieces, say of each class wherever
    they stand: a linear layer over their counts next to the network (wide and deep: Cheng et al.
    2016, section 3). Pairs share hashed places (Joulin et al. 2017, Bag of tricks for efficient text
    classification, section 2.2)."""

    def __init__(self, tokens: int, pairs: int, spec: TokenSpec) -> None:
        super().__init__()
        self.pad = spec.pad
        # Classes first: a run that continues from this one may have more of them.
        self.pieces = nn.Parameter(torch.zeros(len(spec.classes), tokens))
        self.pairs = nn.Parameter(torch.zeros(len(spec.classes), pairs))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens (batch, length) to (batch, classes)."""
        seen = tokens != self.pad
        places, paired = self.places(tokens)
        pieces = nn.functional.embedding(tokens, self.pieces.t()) * seen[..., None]
        pairs = nn.functional.embedding(places, self.pairs.t()) * paired[..., None]
        # As of rows of counts of length one, longer texts are not surer.
        length = seen.sum(1, keepdim=True).clamp(min=1).to(pieces.dtype).sqrt()
        return SPEED * (pieces.sum(1) + pairs.sum(1)) / length

    def places(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The place of the pair that begins at each token, and whether one does: (batch, length) both."""
        following = nn.functional.pad(tokens[:, 1:], (0, 1), value=self.pad)
        # Two primes: a pair and its reverse have different places.
        places = (tokens * 1_000_003 + following * 7_919) % self.pairs.shape[1]
        return places, following != self.pad


class Recurrent(nn.Module):
    """Reads a text in both directions; the mean and the maximum of the states, and the mean of the
    tokens themselves, go to the last layer (pooling: Howard and Ruder 2018, section 3.3)."""

    def __init__(self, made: Plan, spec: TokenSpec) -> None:
        super().__init__()
        kind = nn.LSTM if made["kind"] == "lstm" else nn.GRU
        width, self.pad = made["width"], spec.pad
        self.embedding = nn.Embedding(made["tokens"], width, padding_idx=spec.pad)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.forth = kind(width, width, batch_first=True)
        self.back = kind(width, width, batch_first=True)
        self.dropout = nn.Dropout(made["dropout"])
        self.head = nn.Linear(5 * width, len(spec.classes))

    def embedded(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens (batch, length) to vectors (batch, length, width)."""
        vectors: torch.Tensor = self.embedding(tokens)
        return vectors

    def read(self, tokens: torch.Tensor) -> Read:
        """Reads tokens (batch, length) in both directions."""
        seen = tokens != self.pad
        # The last token first, each text from its own end: the padding stays behind.
        last = seen.sum(1, keepdim=True) - 1
        places = torch.arange(tokens.shape[1], device=tokens.device)[None]
        turned = torch.where(places <= last, last - places, places)
        vectors = self.dropout(self.embedded(tokens))
        backwards = torch.gather(vectors, 1, turned[..., None].expand(vectors.shape))
        return Read(vectors, self.forth(vectors)[0], self.back(backwards)[0], turned)

    def forward(self, tokens: torch.Tensor) -> Batch:
        tokens = shortened(tokens, self.pad)
        seen = tokens != self.pad
        vectors, forth, back, _ = self.read(tokens)
        states = torch.cat([forth, back], -1)
        # States lie between -1 and 1: padding is never the highest.
        highest = torch.where(seen[..., None], states, -1.0).amax(1)
        pooled = torch.cat([highest, mean_of(states, seen), mean_of(vectors, seen)], -1)
        return {"logits": self.head(self.dropout(pooled))}


class WideRecurrent(Recurrent):
    """Pieces and pairs have a part in the logits next to what the network reads: see `linear`."""

    def __init__(self, made: Plan, spec: TokenSpec) -> None:
        super().__init__(made, spec)
        self.wide = Wide(made["tokens"], made["pairs"], spec)

    def forward(self, tokens: torch.Tensor) -> Batch:
        logits = super().forward(tokens)["logits"]
        return {"logits": logits + self.wide(shortened(tokens, self.pad))}


def plan(settings: TextModel, spec: TokenSpec, shape: Plan | None) -> Plan:
    """The network that the settings ask for; `shape` is a checkpoint's config.json.

    Raises:
        UsageError: the checkpoint has fewer tokens than its tokenizer.
    """
    known = spec.opened.get_vocab_size()
    dropout = DROPOUT if settings.dropout is None else settings.dropout
    made = {"kind": settings.kind, "dropout": dropout, "tokens": known}
    if settings.kind != "bert":
        pairs = 0
        if settings.wide:
            pairs = min(PAIRS, MOST_WEIGHTS // len(spec.classes))
        return made | {"width": settings.width, "pairs": pairs}
    if shape is None:
        shape = {
            "model_type": "bert",
            "vocab_size": known,
            "hidden_size": settings.width,
            "num_hidden_layers": settings.layers,
            "num_attention_heads": settings.width // 32,
            "intermediate_size": 4 * settings.width,
            "max_position_embeddings": spec.length,
            "pad_token_id": spec.pad,
        }
    if shape["vocab_size"] < known:
        raise UsageError(
            f"model.checkpoint has {shape['vocab_size']:,} tokens, its tokenizer.json {known:,}"
        )
    width = shape.get("hidden_size") or shape["dim"]  # as DistilBERT calls it
    return made | {"width": width, "config": shape}


def recurrent(made: Plan, spec: TokenSpec) -> Recurrent:
    """The recurrent network of a plan, with pairs where it has some."""
    if made.get("pairs"):
        return WideRecurrent(made, spec)
    return Recurrent(made, spec)
