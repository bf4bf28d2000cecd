"""What the family's debug run does not have goes through every stage too: intervals."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache

import pandas as pd
import pytest

from modelyard.contract import CHECKS, Lab

pytestmark = pytest.mark.usefixtures("one_thread")

RUNS = ["intervals", "tree", "svm", "svm_regression", "bagging", "stack", "stack_regression"]
SLOW_AND_OF_NO_KIND = {
    "importing_loads_no_training_library",
    "config_is_valid_documented_and_survives_json",
    "misspelt_setting_is_refused",
    "features_report_three_disjoint_splits",
    "features_are_the_same_again",
    "bad_data_is_named",
    "bad_request_is_named_by_field",
}
"""Checks that ask nothing of a kind: the family's own debug run answers them."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Lab]:
    return cache(
        lambda name: Lab(f"tests.unit.tabular.entries:{name}", tmp_path_factory.mktemp("lab"))
    )


@pytest.mark.parametrize("check", [name for name in CHECKS if name not in SLOW_AND_OF_NO_KIND])
@pytest.mark.parametrize("name", RUNS)
def test_a_run_keeps_the_contract(name: str, check: str, lab: Callable[[str], Lab]) -> None:
    CHECKS[check](lab(name))


def test_the_packages_golden_answer_and_its_reference_for_drift_hold_the_interval(
    lab: Callable[[str], Lab],
) -> None:
    package = lab("intervals")["package"]
    golden = json.loads((package / "golden.json").read_text())
    answer = golden["response"]
    assert answer["low"] < answer["value"] < answer["high"]
    reference = pd.read_parquet(package / "reference.parquet")
    assert (reference["width"] > 0).all()
