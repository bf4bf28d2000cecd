"""Detectors of every kind, each trained once on small simulated machines."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.families.anomaly.config import AnomalyConfig
from modelyard.families.anomaly.family import Anomaly
from modelyard.families.anomaly.host import AnomalyHost
from modelyard.families.anomaly.samples import simulate
from modelyard.runtimes.types import Runtime
from modelyard.settings.family import resolve
from modelyard.training.loop import Trainer

SERIES, WINDOW = 3, 12
SETTINGS: dict[str, Any] = {
    "features": {"sample_series": SERIES, "sample_rows": 6000, "window": WINDOW},
    "model": {"units": 32, "trees": 100, "false_alarm_rate": 0.02},
    "training": {"epochs": 20, "batch_size": 128, "learning_rate": 6e-3},
}


@dataclass(frozen=True)
class Trained:
    """A fitted detector and what it was made from."""

    family: Anomaly
    features: Path
    model: Path
    report: dict[str, Any]
    host: AnomalyHost
    run: Runtime


def make(kind: str, **model: Any) -> Anomaly:
    settings = {**SETTINGS, "model": {**SETTINGS["model"], "kind": kind, **model}}
    return Anomaly(resolve(AnomalyConfig, ("--set", settings)))


def train(family: Anomaly, features: Path, model: Path) -> Trained:
    """The train stage's steps, without a run."""
    shutil.copytree(features / "assets", model / "assets")
    report = family.fit(
        features, model, Trainer(seed=family.config.seed, settings=family.config.training)
    )
    host = AnomalyHost(model / "assets")
    assert isinstance(host, AnomalyHost)
    return Trained(family, features, model, report, host, family.native(model))


@pytest.fixture(scope="session")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A features folder of the simulated machines."""
    raw, out = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("features")
    family = make("autoencoder")
    family.sample(raw)
    family.features(raw, out)
    return out


@pytest.fixture(scope="session")
def trained(machines: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trained]:
    """`trained("lstm")`: each kind once."""
    return cache(lambda kind: train(make(kind), machines, tmp_path_factory.mktemp(kind)))


def fresh(machine: int, rows: int = 6000) -> np.ndarray:
    """New normal measurements of a machine that the detectors know, float32 (rows, columns)."""
    return simulate(machine, rows, np.random.default_rng([77, machine])).astype(np.float32)


def all_windows(x: np.ndarray, window: int) -> np.ndarray:
    """Every window of consecutive rows, (rows - window + 1, window, columns)."""
    return np.lib.stride_tricks.sliding_window_view(x, window, axis=0).transpose(0, 2, 1)
