"""Request bodies that come compressed."""

from __future__ import annotations

import zlib

from modelyard.serving.problems import Refusal, refuse

_WINDOWS = {b"gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}
"""zlib's window bits for each content coding of RFC 9110, section 8.4.1: gzip's format, and
zlib's own."""
_MEMBERS = 256
"""Most gzip members of a body: to step to the next one copies all that is left."""


def decoded(body: bytes, coding: bytes, most: int) -> bytes:
    """The body as it was before it was compressed, at most `most` bytes: no more than that is ever
    unpacked.

    Raises:
        Refusal: 415: the coding is unknown; 400: the bytes are broken; 413: they hold more than
            `most` bytes.
    """
    window = _WINDOWS.get(coding)
    if window is None:
        name = coding.decode("latin-1")
        raise refuse(
            415,
            f"content encoding {name!r} is not read here; send gzip, deflate, or the body as it is",
        )
    members: list[bytes] = []
    left = most
    # A gzip file is a series of members, one after another (RFC 1952, section 2.2).
    for _ in range(_MEMBERS):
        unpacking = zlib.decompressobj(window)
        try:
            # One byte over the limit shows that there is more, without unpacking it.
            members.append(unpacking.decompress(body, left + 1))
        except zlib.error as error:
            raise refuse(400, f"the body is not {coding.decode()}: {error}") from None
        left -= len(members[-1])
        if left < 0:
            raise too_large(most)
        if not unpacking.eof:
            raise refuse(400, f"the body ends in the middle of its {coding.decode()} stream")
        body = unpacking.unused_data
        if not body:
            return members[0] if len(members) == 1 else b"".join(members)
        if coding != b"gzip":
            raise refuse(400, f"the body goes on behind its {coding.decode()} stream")
    raise refuse(400, f"the body has more than {_MEMBERS} gzip members; send one")


def too_large(most: int) -> Refusal:
    """What a body of more than `most` bytes gets."""
    return refuse(413, f"the body has more than {most:,} bytes; send fewer or smaller examples")
