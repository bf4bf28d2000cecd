"""The fields of a pipeline's form."""

import functools
import inspect
from collections.abc import Callable
from typing import Any


def without(function: Callable[..., Any], fields: tuple[str, ...]) -> Callable[..., Any]:
    """A pipeline's function whose form lacks some text fields: they stay empty. kfp makes the form of
    the signature, and hands over the values in its order."""
    signature = inspect.signature(function)
    kept = [one for name, one in signature.parameters.items() if name not in fields]

    @functools.wraps(function)
    def shortened(*values: Any) -> Any:
        given = dict(zip([one.name for one in kept], values, strict=True))
        return function(**given, **dict.fromkeys(fields, ""))

    shortened.__signature__ = signature.replace(parameters=kept)
    return shortened
