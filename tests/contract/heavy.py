"""A family whose module imports what importing a family must not."""

from __future__ import annotations

import pandas  # noqa: F401 - the broken promise

from tests.toy.family import Line


class Heavy(Line):
    """A straight line."""
