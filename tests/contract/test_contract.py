"""Every family keeps the contract: the built-in ones, found by folder, and two from outside."""

from __future__ import annotations

from functools import cache

import pytest

from modelyard.contract import CHECKS, Lab
from modelyard.family import names
from modelyard.pipeline import form
from modelyard.stages import features
from modelyard.stages.run import Run
from modelyard.store.artifact import read_manifest

FAMILIES = [*names(), "tests.sounds:Sounds", "tests.toy.family:Line"]


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """One lab a family: a debug run that all checks share."""
    return cache(lambda family: Lab(family, tmp_path_factory.mktemp("lab")))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("family", FAMILIES)
def test_family_keeps_the_contract(family, check, lab):
    CHECKS[check](lab(family))


@pytest.mark.parametrize("family", FAMILIES)
def test_features_follow_from_what_a_step_of_a_pipeline_is_handed(family, lab, tmp_path):
    """It is handed no other sections than the stage reads: what is read of another one is read as its
    default."""
    made = lab(family)
    step = Run.of(family, form.handed(made.run)["features"]["config"])
    features(step, dataset=made["dataset"], features=tmp_path / "features")
    assert read_manifest(tmp_path / "features").digest == read_manifest(made["features"]).digest
