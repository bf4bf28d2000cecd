"""Many cases alike: some of them in every run of the tests, all with those that are slow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def sampled(cases: Iterable[Any], every: int) -> list[Any]:
    """Values of one parameter, or tuples of several, of which the first of each `every` is not marked
    slow."""
    found = []
    for place, case in enumerate(cases):
        marks = pytest.mark.slow if place % every else ()
        values = case if isinstance(case, tuple) else (case,)
        found.append(pytest.param(*values, marks=marks))
    return found
