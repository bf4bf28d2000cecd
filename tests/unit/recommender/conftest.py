"""A small trained model of each kind."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from modelyard.families.recommender.config import RecommenderConfig
from modelyard.families.recommender.family import Recommender
from modelyard.families.recommender.host import RecommenderHost
from modelyard.runtimes.types import Runtime
from modelyard.training.loop import Trainer


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Sums of floats depend on how many threads share them: tests that compare bytes take one."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Made:
    """A trained model with all that it came from."""

    family: Recommender
    raw: Path
    features: Path
    model: Path
    host: RecommenderHost
    run: Runtime


def train(family: Recommender, raw: Path, folder: Path) -> Made:
    """Features and a model below `folder`, from `raw`."""
    features, model = folder / "features", folder / "model"
    (features / "assets").mkdir(parents=True)
    family.features(raw, features)
    model.mkdir()
    shutil.copytree(features / "assets", model / "assets")
    family.fit(features, model, Trainer(seed=family.config.seed, settings=family.config.training))
    host = RecommenderHost(model / "assets")
    assert isinstance(host, RecommenderHost)
    return Made(family, raw, features, model, host, family.native(model))


def configured(kind: str, **model: object) -> Recommender:
    """The debug config with another model."""
    settings = RecommenderConfig.debug().model_dump()
    settings["model"] |= {"kind": kind, **model}
    return Recommender(RecommenderConfig.model_validate(settings))


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """`made("ncf")`: trained once a session."""

    @cache
    def make(kind: str) -> Made:
        folder = tmp_path_factory.mktemp(kind)
        (folder / "raw").mkdir()
        family = configured(kind)
        family.sample(folder / "raw")
        return train(family, folder / "raw", folder)

    return make
