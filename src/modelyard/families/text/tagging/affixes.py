"""How words begin and end: what a tagger reads of a word that training does not hold.

A word is in pieces, of which the last may be a letter or all of it. Here the last letters of its
pieces are put together again: -ung is the same whether the pieces are Zeit|ung or Verwalt|un|g.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

BEGIN = "▁"
"""What a piece that begins a word begins with."""
LETTERS = 4
"""The longest beginning and ending."""
PRIME, FACTOR = 8_191, 1_009
"""Places that they share, and what their letters are multiplied by: products fit into 32 bits."""

FIRST, LAST = 2, 1
"""What the product begins with: a beginning has another place than the ending of the same letters."""


class Affixes(nn.Module):
    """A vector for the last letter of a word, one for its last two, and so on, and for the first ones
    alike: their sum stands at the word's first piece. They share hashed places (as n-grams do in
    Bojanowski et al. 2017, Enriching word vectors with subword information, section 3.2)."""

    def __init__(self, pieces: Sequence[str], special: Sequence[int], width: int) -> None:
        """`pieces` by token; the tokens `special` are of no word."""
        super().__init__()
        self.vectors = nn.Embedding(PRIME + 1, width, padding_idx=0)
        nn.init.normal_(self.vectors.weight, std=0.1)
        nn.init.zeros_(self.vectors.weight[0])
        first = torch.zeros(len(pieces), LETTERS, dtype=torch.long)
        last = torch.zeros(len(pieces), LETTERS, dtype=torch.long)
        sizes = torch.zeros(len(pieces), dtype=torch.long)
        begins = torch.ones(len(pieces), dtype=torch.bool)
        for token, piece in enumerate(pieces):
            if token in special:
                continue
            begins[token] = piece.startswith(BEGIN)
            written = piece.removeprefix(BEGIN)
            sizes[token] = len(written)
            for place, letter in enumerate(written[:LETTERS]):
                first[token, place] = ord(letter)
            for place, letter in enumerate(reversed(written[-LETTERS:])):
                last[token, place] = ord(letter)
        # They follow from the tokenizer, and are no part of the weights.
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("last", last, persistent=False)
        self.register_buffer("sizes", sizes, persistent=False)
        self.register_buffer("begins", begins, persistent=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens (batch, length) to vectors (batch, length, width), 0 where no word begins."""
        vectors: torch.Tensor = self.vectors(self.places(tokens)).sum(2)
        return vectors

    def places(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens (batch, length) to the places of the beginnings and endings of the word that begins
        there, (batch, length, 2 LETTERS); 0 where none begins or it has not so many letters."""
        begins = self.get_buffer("begins")[tokens]
        first = self.get_buffer("first")[tokens] * begins[..., None]
        return torch.cat([hashed(first, FIRST), hashed(self.last_letters(tokens), LAST)], -1)

    def last_letters(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens (batch, length) to the last letters of the word that begins there, the last one
        first, (batch, length, LETTERS); 0 where none begins or it is shorter."""
        begins = self.get_buffer("begins")[tokens]
        last = self._so_far(tokens, begins)
        # A word's last piece: as many behind its first one as it has pieces, but one.
        word = begins.long().cumsum(1)
        pieces = (word[:, :, None] == word[:, None, :]).sum(2)
        here = torch.arange(tokens.shape[1], device=tokens.device)
        end = (here + pieces - 1).clamp(max=tokens.shape[1] - 1)
        return last.gather(1, end[..., None].expand(last.shape)) * begins[..., None]

    def _so_far(self, tokens: torch.Tensor, begins: torch.Tensor) -> torch.Tensor:
        """The last letters of a word up to each piece, (batch, length, LETTERS)."""
        own = self.get_buffer("last")[tokens]
        # Which letter of the piece before stands there; negative: the piece itself has one.
        earlier = (
            torch.arange(LETTERS, device=tokens.device)
            - self.get_buffer("sizes")[tokens][..., None]
        )
        last = own
        # A piece may be a single letter: each pass reaches one piece further back.
        for _ in range(LETTERS - 1):
            before = nn.functional.pad(last[:, :-1], (0, 0, 1, 0)) * ~begins[..., None]
            last = torch.where(earlier < 0, own, before.gather(2, earlier.clamp(0, LETTERS - 1)))
        return last


def hashed(letters: torch.Tensor, salt: int) -> torch.Tensor:
    """Letters (…, LETTERS) to the places of the first one, of the first two, and so on; 0 where there
    are not so many. `salt` tells beginnings from endings."""
    found = []
    place = torch.full_like(letters[..., 0], salt)
    for count in range(LETTERS):
        letter = letters[..., count]
        place = (place * FACTOR + letter) % PRIME
        found.append(torch.where(letter > 0, place + 1, 0))
    return torch.stack(found, -1)
