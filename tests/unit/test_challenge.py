"""When a champion may have learned from what it is judged on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelyard.registry import versions as registry
from modelyard.stages.challenge import other_splits
from modelyard.stages.deploy import deploy
from tests.toy.build import build

NOW = {"data": {"split_seed": 0, "uri": "b.csv"}, "features": {"test_share": 0.2, "group": None}}


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (NOW, ""),
        (NOW | {"seed": 3, "data": {"split_seed": 0, "uri": "a.csv"}}, ""),
        (NOW | {"data": {"split_seed": 2}}, "data.split_seed was 2"),
        (NOW | {"data": {}}, "data.split_seed was not there"),
        (NOW | {"features": {"test_share": 0.1, "group": None}}, "features.test_share was 0.1"),
        (NOW | {"features": {"test_share": 0.2, "group": "shop"}}, "features.group was shop"),
    ],
)
def test_the_setting_that_drew_other_splits_is_named(before, said):
    assert other_splits(before, NOW) == said


def test_a_model_of_labels_that_became_noise_does_not_take_over(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"x": rng.normal(0, 1, 400), "z": rng.normal(0, 1, 400)})
    frame["y"] = np.where(frame["x"] + rng.normal(0, 0.5, 400) > 0, "yes", "no")

    def deployed(name: str, labels: pd.Series) -> dict:
        file = tmp_path / f"{name}.csv"
        frame.assign(y=labels).to_csv(file, index=False)
        config = {
            "data": {"uri": str(file)},
            "features": {"target": "y"},
            "model": {"kind": "linear"},
            "registry": {"name": "orders"},
        }
        made = build(tmp_path / name, name, config, family="tabular")
        out = tmp_path / name / "deployment"
        deploy(made.run, package=made.package, features=made.features, deployment=out)
        return json.loads((Path(out) / "deployment.json").read_text())

    assert deployed("good", frame["y"])["champion"]
    noise = deployed("noise", pd.Series(rng.permutation(frame["y"])))
    assert noise["challenger_metric"] > noise["champion_metric"]
    assert not noise["champion"]
    assert "not better than its baseline beyond chance" in noise["reason"]
    assert noise["reason"].endswith("To switch: modelyard promote orders@2")
    assert registry.champion("orders").version == "1"
