"""The charts' tests need helm: `make test` installs it; where it cannot, they skip and say why.
CI must have it."""

from __future__ import annotations

import os
import runpy

import pytest

from tests.charts.helm import ROOT, binary

MISSING: str = runpy.run_path(str(ROOT / "docker" / "install_helm.py"))["MISSING"]


@pytest.fixture(scope="session", autouse=True)
def _helm() -> None:
    if binary() is None:
        assert not os.environ.get("CI"), MISSING
        pytest.skip(MISSING)
