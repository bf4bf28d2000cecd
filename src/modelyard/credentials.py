"""Credentials in text: found in settings, which refuse them, and removed from all output.

A setting is recorded with every run, package, card and log, and read by many; a credential comes by
environment, or from a Secret that is named. This module knows nothing but text, so that everything
may use it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

HIDDEN = "***"
ADVICE = (
    "Settings are recorded with the model: leave it out and give it by environment (AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, a credential helper for Git), in a cluster from a Secret: see docs/data.md"
)

# A chain such as `simplecache::s3://…` is several URIs; none of the characters that end a URI in a
# text is in one.
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?://|\\\\)([^\s\"'<>]*)")
_USERLESS = frozenset(
    {"http", "https", "s3", "s3a", "s3n", "gs", "gcs", "webdav", "webdavs", "ftp", "oci"}
)
"""Schemes of which the user is a credential already: a token as user, an access key. Not
`ssh://git@host`."""
_STORES = frozenset({"s3", "s3a", "s3n", "gs", "gcs"})
"""Schemes of which the host is a bucket: it has no port."""
_PORT = re.compile(r"[0-9]+$")
_PARAMETER = re.compile(r"([?&;#]|%3[fF]|%26)([^=&;#?\s\"'<>]+)=([^&;#\s\"'<>]+)")
_NAME = re.compile(
    r"(token|secret|signature|password|passwd|passphrase|credentials?|access[_-]?key([_-]?id)?|api[_-]?key"
    r"|account[_-]?key|private[_-]?key|subscription[_-]?key)$|(^|[_-])(secret|password|credential)|^(sig|sas|pwd|auth"
    r"|authorization|jwt|bearer)$"
)
_LONGEST = 100_000
"""Characters of a text that are looked at; longer ones are no URI."""


def is_secret_name(name: str) -> bool:
    """Whether a variable or parameter of this name holds a credential."""
    return _NAME.search(name.lower()) is not None


def found(text: str) -> str | None:
    """What credential a text holds, in words that do not repeat it; None: none.

    >>> found("s3://key:secret@bucket")
    'a user or password'
    """
    for uri in _URI.finditer(text[:_LONGEST]):
        for scheme, rest in _parts(uri):
            if _has_user(scheme, rest):
                return "a user or password"
    if _URI.search(text[:_LONGEST]) is None:
        return None
    for parameter in _PARAMETER.finditer(text[:_LONGEST]):
        name = unquote(unquote(parameter[2]))
        if is_secret_name(name) and parameter[3] != HIDDEN:
            return f"a credential in its query ({name[:40]}=…)"
    return None


def redact(text: str) -> str:
    """The text with `***` in place of each credential in a URI.

    >>> redact("see https://user:word@host/a?token=1")
    'see https://***@host/a?token=***'
    """
    if "//" not in text and "\\\\" not in text:
        return text

    def parameter(match: re.Match[str]) -> str:
        secret = is_secret_name(unquote(unquote(match[2])))
        return f"{match[1]}{match[2]}={HIDDEN}" if secret else match[0]

    def uri(match: re.Match[str]) -> str:
        hidden = match[0]
        for scheme, rest in _parts(match):
            if _has_user(scheme, rest):
                hidden = hidden.replace(rest, f"{HIDDEN}@{rest.rpartition('@')[2]}")
        return _PARAMETER.sub(parameter, hidden)

    return _URI.sub(uri, text)


def redacted(value: Any) -> Any:
    """JSON with every text in it redacted: a record that was written before settings refused
    credentials."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {name: redacted(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(inner) for inner in value]
    return value


def texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a value, names of mappings too, with its dotted name."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            inside = f"{name}.{key}".lstrip(".")
            yield name or "a name", str(key)
            yield from texts(inner, inside)
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        for number, inner in enumerate(value):
            yield from texts(inner, f"{name}[{number}]")


def _parts(uri: re.Match[str]) -> Iterator[tuple[str, str]]:
    """The scheme and the rest of each URI of a chain, such as `simplecache::s3://…`."""
    scheme = uri[1].lower()
    for part in uri[2].split("::"):
        head, mark, rest = part.rpartition("://")
        if mark:
            scheme = head.rpartition("::")[2].lower()
        yield scheme.rpartition("+")[2], rest  # `git+https` is https


def _has_user(scheme: str, rest: str) -> bool:
    if "@" not in rest or rest.startswith(f"{HIDDEN}@"):
        return False
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    user, at, _ = authority.rpartition("@")
    if at:
        return ":" in user or scheme in _USERLESS
    # A secret key of S3 may hold a slash, or begin with one: what stands behind the colon is then no
    # port, and the `@` comes later.
    _, colon, behind = authority.rpartition(":")
    if not colon or authority.startswith("["):
        return False
    return scheme in _STORES or _PORT.match(behind) is None
