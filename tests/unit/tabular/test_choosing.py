"""`model.kind=auto`: the kind that suits a small table is found on its training rows, and said."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelyard.families.tabular import choosing
from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.family import Tabular
from modelyard.families.tabular.table import ModelInfo, load_split, load_table, save_split
from modelyard.training.loop import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")


def made(folder: Path, frame: pd.DataFrame, **features: str) -> tuple[TabularConfig, Path]:
    """Features of a table with the target `y`."""
    (folder / "raw").mkdir(parents=True)
    frame.to_csv(folder / "raw/table.csv", index=False)
    config = TabularConfig.model_validate(
        {"features": {"target": "y", **features}, "data": {"uri": "mine"}, "model": {"trees": 60}}
    )
    (folder / "features").mkdir()
    Tabular(config).features(folder / "raw", folder / "features")
    return config, folder / "features"


def chosen(config: TabularConfig, features: Path, model: Path) -> tuple[str, str]:
    """The kind, and what the card says of it."""
    shutil.copytree(features / "assets", model / "assets")
    card = Tabular(config).fit(features, model, Trainer(0, config.training))
    (note,) = [note for note in card["notes"] if note.startswith("model.kind = auto is")]
    return ModelInfo.load(model).kind, note


def numbers(rows: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(rng.normal(size=(rows, 4)), columns=list("abcd"))


def test_a_straight_line_is_fitted_by_the_linear_kind(tmp_path: Path) -> None:
    frame = numbers()
    noise = np.random.default_rng(4).normal(size=300)
    frame["y"] = 3 * frame["a"] - 2 * frame["b"] + frame["c"] + 0.5 * noise
    kind, note = chosen(*made(tmp_path, frame), tmp_path / "model")
    assert kind == "linear"
    assert "mae on 5 held-out folds of the training rows is linear 0." in note


def test_a_pattern_that_no_line_has_is_fitted_by_trees(tmp_path: Path) -> None:
    frame = numbers()
    frame["y"] = np.where((frame["a"] > 0) ^ (frame["b"] > 0), "in", "out")
    kind, note = chosen(*made(tmp_path, frame), tmp_path / "model")
    assert kind in ("lightgbm", "forest")
    assert "roc_auc" in note


def test_of_kinds_that_cannot_be_told_apart_the_linear_one_is_taken(tmp_path: Path) -> None:
    frame = numbers(120)
    frame["y"] = np.random.default_rng(12).normal(size=120)
    config, features = made(tmp_path, frame)
    table = load_table(features, config.model)
    found = choosing.choose_kind(config, table)
    figures = dict(pair.split() for pair in found.note.rstrip(".").split(" is ")[-1].split(", "))
    assert min(figures, key=lambda kind: float(figures[kind])) != "linear"
    assert found.kind == "linear"
    assert ", within a standard error (" in found.note


def test_the_choice_looks_at_training_rows_only(tmp_path: Path) -> None:
    frame = numbers()
    frame["y"] = 3 * frame["a"] + np.random.default_rng(4).normal(size=300)
    config, features = made(tmp_path, frame)
    before = choosing.choose_kind(config, load_table(features, config.model))
    for split in ("validation", "test"):
        x, y = load_split(features, split)
        save_split(features, split, -x, y[::-1])
    assert choosing.choose_kind(config, load_table(features, config.model)) == before


def test_a_trend_over_time_is_judged_on_later_rows(tmp_path: Path) -> None:
    frame = numbers(400)
    days = np.arange(400)
    frame["day"] = np.datetime64("2024-01-01") + days
    frame["y"] = days + 20 * np.sign(frame["a"]) * np.sign(frame["b"])
    config, features = made(tmp_path, frame, time_column="day")
    kind, note = chosen(config, features, tmp_path / "model")
    # Within random folds trees fill the gaps between days; they cannot go beyond the last one.
    assert kind == "linear"
    assert "mae on 4 held-out folds" in note


def test_a_large_table_is_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = numbers()
    frame["y"] = frame["a"]
    config, features = made(tmp_path, frame)
    monkeypatch.setattr(choosing, "FEW_CELLS", 100)
    kind, note = chosen(config, features, tmp_path / "model")
    assert kind == "lightgbm"
    assert "the table is large" in note


def test_a_kind_that_lacks_the_loss_is_not_compared(tmp_path: Path) -> None:
    frame = numbers()
    frame["y"] = frame["a"] + np.random.default_rng(4).standard_cauchy(300)
    _, note = chosen(*made(tmp_path, frame), tmp_path / "model")
    assert "linear" not in note
    assert "forest" in note


def test_only_the_mlp_starts_from_an_earlier_model() -> None:
    assert "model.kind = auto is always fitted from scratch" in (
        TabularConfig().refuses_warm_start()
    )
    assert "lightgbm" in TabularConfig().requires()


def late(rows: int = 400) -> pd.DataFrame:
    """A class that none of the first rows has, in the order of time."""
    frame = numbers(rows)
    frame["day"] = np.datetime64("2024-01-01") + np.arange(rows)
    happens = (np.arange(rows) > 150) & (np.random.default_rng(0).random(rows) < 0.4)
    frame["y"] = np.where(happens, "yes", "no")
    return frame


def test_a_class_that_the_first_rows_lack_can_be_learnt(tmp_path: Path) -> None:
    config, features = made(tmp_path, late(), time_column="day")
    _, note = chosen(config, features, tmp_path / "model")
    assert "average_precision on 4 held-out folds" in note


def test_a_class_of_a_single_group_can_be_learnt(tmp_path: Path) -> None:
    frame = numbers(400)
    frame["patient"] = np.arange(400) // 20
    frame["y"] = np.where(np.isin(frame["patient"], [1, 7, 12]), "ill", "well")
    config, features = made(tmp_path, frame, group="patient")
    assert len(np.unique(load_table(features, config.model).y)) == 2
    _, note = chosen(config, features, tmp_path / "model")
    assert "held-out folds" in note


def test_later_rows_of_one_class_are_compared_by_their_accuracy(tmp_path: Path) -> None:
    """There is nothing to rank, but kinds may still differ by no more than chance."""
    frame = numbers(400)
    frame["day"] = np.datetime64("2024-01-01") + np.arange(400)
    # The training rows are the first 260: all but the first 52 are held out of a fold.
    ends = (np.arange(400) < 50) | (np.arange(400) > 262)
    happens = np.random.default_rng(0).random(400) < 0.6
    frame["y"] = np.where(happens & ends, "yes", "no")
    config, features = made(tmp_path, frame, time_column="day")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        found = choosing.choose_kind(config, load_table(features, config.model))
    assert "accuracy on 4 held-out folds" in found.note
    figures = dict(pair.split() for pair in found.note.rstrip(".").split(" is ")[-1].split(", "))
    assert max(figures, key=lambda kind: float(figures[kind])) != "linear"
