"""Networks over tokens: what they share, a transformer with a head, and the guessing of hidden
tokens before labels are learnt (Devlin et al. 2019, section 3.1)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from modelyard.family import Split, Trainable
from modelyard.kit.classifier import store
from modelyard.kit.classifier.family import Change
from modelyard.kit.epochs import epoch_draws
from modelyard.kit.text.spec import TokenSpec
from modelyard.training.batches import Batches

Batch = dict[str, torch.Tensor]
GUESSED = 0.15
"""Share of the tokens that are hidden and guessed."""
IGNORED = -100
"""Target of a token that is not guessed."""


class Encoder(nn.Module):
    """A transformer of the library of that name; the mean of its last states goes to the last
    layer."""

    def __init__(self, encoder: nn.Module, width: int, dropout: float, spec: TokenSpec) -> None:
        super().__init__()
        self.encoder, self.pad = encoder, spec.pad
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, len(spec.classes))

    def states(self, tokens: torch.Tensor) -> torch.Tensor:
        """The last layer's, (batch, length, width)."""
        seen = (tokens != self.pad).long()
        found: torch.Tensor = self.encoder(input_ids=tokens, attention_mask=seen).last_hidden_state
        return found

    def scored(self, states: torch.Tensor) -> torch.Tensor:
        """States (…, width) to logits (…, classes)."""
        # Of one size whatever the checkpoint: a small rate suffices for the head too.
        scaled = functional.layer_norm(states, states.shape[-1:])
        logits: torch.Tensor = self.head(self.dropout(scaled))
        return logits

    def forward(self, tokens: torch.Tensor) -> Batch:
        tokens = shortened(tokens, self.pad)
        return {"logits": self.scored(mean_of(self.states(tokens), tokens != self.pad))}


class Guesses(nn.Module):
    """An encoder that guesses hidden tokens: `logits` (batch, length, tokens). The last layer is
    the embedding's own (Press and Wolf 2017)."""

    def __init__(self, net: Encoder) -> None:
        super().__init__()
        self.net = net
        weight: torch.Tensor = net.encoder.get_input_embeddings().weight  # type: ignore[operator]
        # A small ELECTRA's embedding is narrower than its states.
        self.change = nn.Linear(net.head.in_features, weight.shape[1])
        self.norm = nn.LayerNorm(weight.shape[1])
        self.bias = nn.Parameter(torch.zeros(len(weight)))

    def forward(self, tokens: torch.Tensor) -> Batch:
        tokens = shortened(tokens, self.net.pad)
        weight: torch.Tensor = self.net.encoder.get_input_embeddings().weight  # type: ignore[operator]
        states = self.norm(functional.gelu(self.change(self.net.states(tokens))))
        return {"logits": functional.linear(states, weight, self.bias)}


class Guessing(Trainable):
    """The guessing of hidden tokens, on its way through the shared loop."""

    continues = False

    def __init__(
        self, net: Callable[[Path], torch.nn.Module], spec: TokenSpec, size: int, seed: int
    ) -> None:
        """`net` makes the untrained network of an assets folder; `size` are texts a batch."""
        self.net, self.spec, self.size, self.seed = net, spec, size, seed

    def model(self, assets: Path) -> torch.nn.Module:
        """The encoder with a layer that guesses."""
        net = self.net(assets)
        assert isinstance(net, Encoder)
        return Guesses(net)

    def batches(self, features: Path, split: Split, epoch: int) -> Batches:
        """Tokens with some hidden, and those as targets; the same of validation in every epoch."""
        whole = store.load_arrays(features, split)
        number = epoch if split == "train" else 0
        generator = epoch_draws(self.seed, number)
        if split == "train":
            order = torch.randperm(len(whole), generator=generator).numpy()
        else:
            order = np.arange(len(whole))
        # All is drawn at once: what is hidden of a text does not depend on its batch.
        hide = hiding(len(whole), generator, GUESSED, self.spec)

        def take(rows: np.ndarray) -> Batch:
            tokens = torch.from_numpy(whole[rows].astype(np.int64))
            changed = hide(tokens, rows)
            target = torch.where(changed == tokens, IGNORED, tokens)
            return {self.spec.KIND.input: changed, "target": target}

        return Batches(order, self.size, take)

    def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Mean cross-entropy of the hidden tokens, nats; 0 where none is hidden."""
        logits = model(batch[self.spec.KIND.input])["logits"]
        target = batch["target"][:, : logits.shape[1]]
        total = functional.cross_entropy(
            logits.flatten(0, 1), target.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        return total / self.weight(model, batch).clamp(min=1)

    def weight(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Hidden tokens."""
        return (batch["target"] != IGNORED).sum()


def hiding(count: int, generator: torch.Generator, share: float, spec: TokenSpec) -> Change:
    """Hides `share` of the tokens of each text, but for special ones."""
    # Bytes, not floats: a quarter of the memory, and a 256th is as fine a share as anyone sets.
    draws = torch.randint(256, (count, spec.length), dtype=torch.uint8, generator=generator)
    special = torch.tensor(spec.special)

    def change(tokens: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        chosen = (draws[rows] < round(256 * share)) & ~torch.isin(tokens, special)
        return torch.where(chosen, spec.hidden, tokens)

    return change


def shortened(tokens: torch.Tensor, pad: int) -> torch.Tensor:
    """Without the padding that all texts of a batch have; a graph takes any length as it comes."""
    if torch.compiler.is_exporting():
        return tokens
    longest = int((tokens != pad).sum(1).amax())
    return tokens[:, : max(1, longest)]


def mean_of(states: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Over the tokens of a text: (batch, length, width) to (batch, width)."""
    weights = seen[..., None].to(states.dtype)
    mean: torch.Tensor = (states * weights).sum(1) / weights.sum(1).clamp(min=1)
    return mean
