"""Answers to bodies that came before, for models whose callers ask the same again. Off unless it
is given room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from pydantic import BaseModel


@dataclass(frozen=True)
class Cached:
    """An answer, and what the prediction log needs to know of it."""

    content: bytes
    examples: Sequence[BaseModel]
    answers: Sequence[BaseModel]


class Cache:
    """The answers of one package by the hash of the body; the longest unused go when `room` bytes
    are full.

    Bytes are those of bodies and answers; what Python holds of them is about ten times as much.
    """

    def __init__(self, room: int) -> None:
        self._room, self._held = room, 0
        self._kept: OrderedDict[bytes, tuple[int, Cached]] = OrderedDict()

    def get(self, body: bytes) -> Cached | None:
        """The answer to these very bytes."""
        if not self._room:
            return None
        key = _key(body)
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[1]

    def put(self, body: bytes, answer: Cached) -> None:
        """Keeps an answer, if it has room at all."""
        size = len(body) + len(answer.content)
        if size > self._room:
            return
        key = _key(body)
        # Two requests with the same body may both have found nothing and been answered.
        if key in self._kept:
            return
        self._kept[key] = size, answer
        self._held += size
        while self._held > self._room:
            _, (freed, _) = self._kept.popitem(last=False)
            self._held -= freed


def _key(body: bytes) -> bytes:
    return blake2b(body, digest_size=16).digest()
