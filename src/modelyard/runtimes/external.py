"""Which other files an ONNX file names, read from its bytes without a runtime: nothing of
it is executed.

An ONNX file is a protobuf message; tensors may say that their values lie in another file
(`external_data`), by a path that a runtime would open. Field numbers are those of onnx.proto3
(https://onnx.ai/onnx/repo-docs/ExternalData.html).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_DEEPEST = 64
"""Graphs within graphs, as loops and branches have them."""

# Message by message: the fields that lead to a tensor, and the message that each holds.
_INNER: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_EXTERNAL_DATA = 13
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class External:
    """Where the values of a tensor lie."""

    location: str
    """As written: relative to the ONNX file's folder, where it is honest."""
    offset: int = 0
    length: int | None = None
    """Bytes. None: up to the end of the file."""


def external_data(file: Path) -> Iterator[External]:
    """What the tensors of an ONNX file name outside it.

    Raises:
        ValueError: the file is no protobuf message of that kind.
    """
    if file.stat().st_size == 0:
        raise ValueError("it is empty")
    with (
        file.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        yield from _within(_Span(content, 0, len(content)), "model", 0)


@dataclass(frozen=True)
class _Span:
    content: mmap.mmap
    start: int
    end: int

    def text(self) -> str:
        return bytes(self.content[self.start : self.end]).decode()


@dataclass
class _Cursor:
    """Reads a message's fields one after the other."""

    span: _Span
    at: int = field(init=False)

    def __post_init__(self) -> None:
        self.at = self.span.start

    def fields(self) -> Iterator[tuple[int, _Span]]:
        """The number and the bytes of each field that holds bytes; numbers are passed over."""
        while self.at < self.span.end:
            tag = self._varint()
            number, kind = tag >> 3, tag & 7
            if kind == _VARINT:
                self._varint()
            elif kind == _FIXED64:
                self._skip(8)
            elif kind == _FIXED32:
                self._skip(4)
            elif kind == _BYTES:
                length = self._varint()
                start = self.at
                self._skip(length)
                yield number, _Span(self.span.content, start, self.at)
            else:
                raise ValueError(f"field {number} is of the unknown kind {kind}")

    def _skip(self, count: int) -> None:
        self.at += count
        if self.at > self.span.end:
            raise ValueError("it ends within a field")

    def _varint(self) -> int:
        value = 0
        # Seven bits a byte, the lowest first, of at most ten bytes: the high bit says that another
        # follows.
        for shift in range(0, 70, 7):
            if self.at >= self.span.end:
                raise ValueError("it ends within a number")
            byte = self.span.content[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError("it holds a number that does not end")


def _within(span: _Span, message: str, depth: int) -> Iterator[External]:
    if depth > _DEEPEST:
        raise ValueError(f"graphs are nested more than {_DEEPEST} deep")
    entries: dict[str, str] = {}
    for number, inner in _Cursor(span).fields():
        if message == "tensor" and number == _EXTERNAL_DATA:
            name, value = _entry(inner)
            entries[name] = value
        elif (kind := _INNER[message].get(number)) is not None:
            yield from _within(inner, kind, depth + 1)
    if entries:
        yield _external(entries)


def _entry(span: _Span) -> tuple[str, str]:
    """A StringStringEntryProto."""
    found = {number: inner.text() for number, inner in _Cursor(span).fields()}
    return found.get(1, ""), found.get(2, "")


def _external(entries: dict[str, str]) -> External:
    length = None
    if "length" in entries:
        length = int(entries["length"])
    return External(entries.get("location", ""), int(entries.get("offset") or 0), length)
