"""The threshold keeps its promise on machines' further normal days: at most twice, at least half
the stated alarms."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from typing import get_args

import numpy as np
import pytest

from modelyard.families.anomaly import threshold
from modelyard.families.anomaly.config import AnomalyConfig, Kind
from modelyard.families.anomaly.family import Anomaly
from modelyard.families.anomaly.host import AnomalyHost
from modelyard.families.anomaly.schema import Schema
from modelyard.settings.family import resolve
from tests.unit.anomaly.conftest import Trained, all_windows, fresh, train

KINDS = get_args(Kind)
MACHINES, ROWS = 4, 12_000
"""Fresh rows of a machine: over four of them 1 % is 480 alarms, in clusters of a window's length
or so."""
DEFAULT = threshold.USUAL_RATE
Kept = Callable[[str, float], tuple[AnomalyHost, np.ndarray]]


def family(kind: str, rate: float) -> Anomaly:
    """Much calibration data and little training: the threshold is what is tried."""
    shares = {"calibration_share": 0.45, "validation_share": 0.05, "test_share": 0.05}
    settings = {
        "features": {"sample_series": MACHINES, "sample_rows": ROWS, "window": 12, **shares},
        "model": {"kind": kind, "false_alarm_rate": rate, "units": 24, "trees": 100, "stride": 6},
        "training": {"epochs": 6, "batch_size": 256, "learning_rate": 6e-3},
    }
    return Anomaly(resolve(AnomalyConfig, ("--set", settings)))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trained]:
    """Each kind, trained once."""
    raw, out = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("features")
    any_kind = family("ocsvm", DEFAULT)
    any_kind.sample(raw)
    any_kind.features(raw, out)
    return cache(lambda kind: train(family(kind, DEFAULT), out, tmp_path_factory.mktemp(kind)))


@pytest.fixture(scope="module")
def kept(fitted: Callable[[str], Trained], tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """A host with the threshold for a rate, and its scores of fresh normal rows."""

    @cache
    def scores(kind: str) -> np.ndarray:
        one = fitted(kind)
        window = one.host.detector.window
        days = [all_windows(fresh(machine, ROWS), window) for machine in range(MACHINES)]
        return np.concatenate([one.host.scores(one.run, windows) for windows in days])

    @cache
    def host(kind: str, rate: float) -> tuple[AnomalyHost, np.ndarray]:
        one, assets = fitted(kind), tmp_path_factory.mktemp("assets")
        shutil.copytree(one.model / "assets", assets, dirs_exist_ok=True)
        schema = Schema.load(assets)
        family(kind, rate)._calibrated(schema, one.features, one.model).save(assets)
        return AnomalyHost(assets), scores(kind)

    return host


def alarms(scores: np.ndarray, host: AnomalyHost, severity: float = 1.0) -> float:
    """Share of the scores above the threshold, or above one so many times as far from the median
    score."""
    typical, threshold = host.detector.typical, host.detector.threshold
    return float((scores > typical + severity * (threshold - typical)).mean())


@pytest.mark.parametrize("rate", [DEFAULT, 0.02])
@pytest.mark.parametrize("kind", KINDS)
def test_false_alarms_on_fresh_normal_data_are_within_a_factor_of_two_of_the_stated_rate(
    kind: str, rate: float, kept: Kept
) -> None:
    host, scores = kept(kind, rate)
    assert host.detector.false_alarm_rate == rate
    assert rate / 2 < alarms(scores, host) < 2 * rate


@pytest.mark.parametrize("rate", [DEFAULT, 0.02])
@pytest.mark.parametrize("kind", KINDS)
def test_a_threshold_four_tenths_too_low_or_too_high_would_not_be_let_pass(
    kind: str, rate: float, kept: Kept
) -> None:
    host, scores = kept(kind, rate)
    assert alarms(scores, host, 0.6) > 2 * rate
    # The distances from neighbours have the longest tail.
    assert alarms(scores, host, 1.4) < 0.6 * rate
