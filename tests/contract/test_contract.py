"""Every family keeps the contract: the built-in ones, found by folder, and one from outside."""

from __future__ import annotations

from functools import cache

import pytest

from modelyard.contract import CHECKS, Lab
from modelyard.family import names

FAMILIES = [*names(), "tests.toy.family:Line"]


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """One lab a family: a debug run that all checks share."""
    return cache(lambda family: Lab(family, tmp_path_factory.mktemp("lab")))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("family", FAMILIES)
def test_family_keeps_the_contract(family, check, lab):
    CHECKS[check](lab(family))
