"""Kinds that the family's debug run does not have go through every stage too."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from modelyard.contract import CHECKS, Lab

RUNS = ["multitask", "din", "sequence", "ease"]
OF_NO_KIND = {
    "importing_loads_no_training_library",
    "config_is_valid_documented_and_survives_json",
    "misspelt_setting_is_refused",
    "features_report_three_disjoint_splits",
    "features_are_the_same_again",
    "bad_data_is_named",
    "bad_request_is_named_by_field",
}
"""Checks that ask nothing of a kind: the family's own debug run answers them."""
OF_STEPS = {
    "same_epoch_gives_the_same_batches",
    "parts_of_a_batch_add_up_to_it",
    "loss_falls_on_a_repeated_batch",
    "weights_survive_the_file",
}
"""Checks of batches and losses, which ease has none of: it is fitted in one step."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Lab]:
    return cache(
        lambda name: Lab(f"tests.unit.recommender.entries:{name}", tmp_path_factory.mktemp("lab"))
    )


@pytest.mark.parametrize("check", [name for name in CHECKS if name not in OF_NO_KIND])
@pytest.mark.parametrize("name", RUNS)
def test_a_kind_keeps_the_contract(name: str, check: str, lab: Callable[[str], Lab]) -> None:
    if name == "ease" and check in OF_STEPS:
        pytest.skip("ease is fitted in one step")
    CHECKS[check](lab(name))
