"""What files of a kind are called, how large they may be, and the base64 that carries them."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from modelyard.errors import BadData

if TYPE_CHECKING:
    from modelyard.store.files import File

_DATA_URL = re.compile(r"data:[^,;]{0,100}(;[^,;]{0,100}){0,4};base64,", re.IGNORECASE)
_URL_SAFE = str.maketrans("-_", "+/")


@dataclass(frozen=True)
class FileKind:
    """Files that a family classifies."""

    one: str
    """One of them in messages: `picture`."""
    field: str
    """The field of a request that holds a file in base64: `image`."""
    input: str
    """The graph's input, and a batch's: `pixels`."""
    suffixes: frozenset[str]
    """Endings of files that are read, lower case, with the dot."""
    unread: frozenset[str] = frozenset()
    """Endings of such files that are not read."""
    save_as: str = ""
    """What to save a file with one of those endings as."""

    @property
    def many(self) -> str:
        """Several of them in messages: `pictures`."""
        return f"{self.one}s"

    def of(self, count: int) -> str:
        """So many of them, without the number: `picture` or `pictures`."""
        if count == 1:
            return self.one
        return self.many

    @property
    def readable(self) -> str:
        """The endings that are read, for messages."""
        return ", ".join(sorted(self.suffixes))

    @property
    def is_json(self) -> bool:
        """Whether a file holds JSON: in rows of JSON, a field that is a list or an object is one."""
        return ".json" in self.suffixes

    def reads(self, name: str) -> bool:
        """Whether a file of this name has an ending that is read."""
        return PurePosixPath(name).suffix.lower() in self.suffixes

    def request(self, data: bytes) -> dict[str, Any]:
        """A file's bytes as the body of a request."""
        return {self.field: base64.b64encode(data).decode()}

    def requests(self, file: Path) -> list[dict[str, Any]] | None:
        """A file of the kind as one request; None for any other: what `Host.read_file` gives."""
        if not self.reads(file.name):
            return None
        return [self.request(file.read_bytes())]


@dataclass(frozen=True)
class FileLimits:
    """What a file may be at most."""

    bytes: int


def read_bytes(file: File, limits: FileLimits) -> bytes:
    """A file's bytes; of one that is too large, one more than is allowed: enough to refuse it."""
    return file.read(limits.bytes + 1)


def from_base64(text: str, limits: FileLimits) -> bytes:
    """Bytes of a base64 text or of a `data:…;base64,…` URL.

    Line breaks and the URL-safe alphabet are allowed.

    Raises:
        BadData: it is neither, or over the limit even if every other character is a line break.
    """
    if len(text) > 3 * limits.bytes + 1_000:
        raise too_large(len(text) * 3 // 4, limits)
    text = text.strip()
    if match := _DATA_URL.match(text):
        text = text[match.end() :]
    elif text[:5].lower() == "data:":
        raise BadData("a data: URL must hold base64: data:image/png;base64,…")
    text = "".join(text.split())
    begins = text[:20]
    # Each step that has nothing to change is left out: it would copy megabytes.
    if "-" in text or "_" in text:
        text = text.translate(_URL_SAFE)
    # Many clients leave the padding out, as RFC 4648, section 3.2, lets them; Python asks for it.
    if len(text) % 4 or text.endswith("==="):
        text = text.rstrip("=")
        text += "=" * (-len(text) % 4)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        problem = f"is not base64; it begins with {begins!r}"
        raise BadData(problem, hint="Send the file's bytes in base64") from None


def check_size(text: str, limits: FileLimits, column: str) -> None:
    """Refuses a text of a request that has too many bytes.

    Raises:
        BadData: with the request's field.
    """
    size = len(text.encode(errors="replace"))
    if size > limits.bytes:
        raise BadData(too_large(size, limits).problem, column=column)


def too_large(size: int, limits: FileLimits) -> BadData:
    """Says that a file has too many bytes."""
    allowed = f"at most {limits.bytes:,} are allowed (features.most_megabytes)"
    return BadData(f"has {size:,} bytes; {allowed}")
