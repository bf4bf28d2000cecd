"""Settings as a parameter of a Kubeflow run, so that they arrive as they were written.

Argo fills `{{…}}` inside any parameter (`{{workflow.name}}` becomes a name), and Kubernetes replaces
`$$` and `$(NAME)` in a container's arguments, both without a word. What holds such signs is encoded,
and decoded in the step. A step gets all its parameters in one argument, of which Linux takes 128 KiB.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from modelyard.errors import UsageError

MARK = "modelyard+zlib:"
"""In front of an encoded text: base64 of its zlib-compressed UTF-8."""
WHOLE = "encoded"
"""Key of settings that are encoded as a whole, because they are long."""
LONG, LONGEST = 40_000, 100_000
"""Bytes of JSON above which settings are compressed as a whole, and above which they do not fit."""
_REPLACED = ("{{", "}}", "$")


def carried(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as Kubeflow carries them unchanged; those without special signs stay readable.

    Raises:
        UsageError: they are too long for a container's arguments, compressed too.
    """
    sent: dict[str, Any] = _each(values, _encoded)
    if len(json.dumps(sent)) > LONG:
        sent = {WHOLE: _pack(json.dumps(dict(values)))}
    length = len(json.dumps(sent))
    if length > LONGEST:
        raise UsageError(
            f"the settings take {length:,} bytes, compressed: a step of a pipeline takes "
            f"{LONGEST:,}. Put long values into a file, as serve.values_file"
        )
    return sent


def received(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they were before `carried`; others as they are.

    Raises:
        UsageError: an encoded value is damaged.
    """
    if set(values) == {WHOLE}:
        whole: dict[str, Any] = json.loads(_decoded(str(values[WHOLE])))
        return whole
    found: dict[str, Any] = _each(values, _decoded)
    return found


def _each(value: Any, change: Callable[[str], str]) -> Any:
    """A JSON value with every text changed, keys too."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(key): _each(inner, change) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_each(inner, change) for inner in value]
    return value


def _encoded(text: str) -> str:
    # A text that only begins like an encoded one must not be decoded at the other end.
    special = any(sign in text for sign in _REPLACED)
    if special or text.startswith(MARK):
        return _pack(text)
    return text


def _decoded(text: str) -> str:
    if not text.startswith(MARK):
        return text
    try:
        # `validate`: without, other signs than those of base64 are skipped.
        return zlib.decompress(base64.b64decode(text.removeprefix(MARK), validate=True)).decode()
    except (binascii.Error, zlib.error, UnicodeDecodeError):
        raise UsageError(
            f"a setting is encoded and damaged: {text[:60]!r}. Submit the run again"
        ) from None


def _pack(text: str) -> str:
    return MARK + base64.b64encode(zlib.compress(text.encode(), 9)).decode()
