"""Each task keeps the contract of a family."""

from __future__ import annotations

import pytest

from modelyard.contract import CHECKS, Lab

TASKS = (
    "TAG",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("MANY", "ANSWER", "TRANSLATE")),
)


@pytest.fixture(scope="module", params=TASKS)
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp(request.param.lower())
    return Lab(f"tests.unit.text.tasks:{request.param}", folder)


@pytest.mark.parametrize("check", CHECKS)
def test_every_task_keeps_the_contract(check: str, lab: Lab) -> None:
    CHECKS[check](lab)
