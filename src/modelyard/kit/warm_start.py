"""A run that starts from an earlier model keeps what that model's weights depend on."""

from __future__ import annotations

from typing import Any

from modelyard.errors import UsageError


def check_same(name: str, seen: Any, earlier: Any) -> None:
    """Refuses a setting that is not the earlier model's; None says nothing.

    Raises:
        UsageError: with what to type.
    """
    if seen is None or seen == earlier:
        return
    value = "null" if earlier is None else earlier
    raise UsageError(
        f"setting {name!r} = {seen!r}, and the earlier model has {earlier!r}. "
        f"Type: --set {name}={value}"
    )
