"""OpenMP's threads sleep while they wait, wherever modelyard computes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def shown(library: str, **environment: str) -> str:
    """What OpenMP says of its settings when the library is imported after modelyard."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    done = subprocess.run(
        [sys.executable, "-c", f"import modelyard, {library}"],
        env=kept | {"OMP_DISPLAY_ENV": "VERBOSE"} | environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stderr


@pytest.mark.parametrize("library", ["torch", "lightgbm", "sklearn.ensemble"])
def test_what_computes_with_openmp_does_not_spin(library: str) -> None:
    assert "GOMP_SPINCOUNT = '0'" in shown(library)


def test_an_operator_may_still_let_them_spin() -> None:
    assert "GOMP_SPINCOUNT = '0'" not in shown("torch", OMP_WAIT_POLICY="ACTIVE")
