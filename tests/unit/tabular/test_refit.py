"""Small tables: the model that is packaged has learnt from the validation rows too."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from modelyard.families.tabular import refit as refitting
from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.family import Tabular
from modelyard.families.tabular.fitting import FITTERS
from modelyard.families.tabular.table import ModelInfo, load_split, load_table, save_split
from modelyard.kit.classes.decision import Decision
from modelyard.training.loop import Trainer
from tests.sampled import sampled
from tests.unit.tabular.test_model import output, write_features

pytestmark = pytest.mark.usefixtures("one_thread")


def fitted(features: Path, out: Path, kind: str, refit: str, **model: object) -> dict:
    config = TabularConfig.model_validate(
        {"model": {"kind": kind, "trees": 40, "learning_rate": 0.2, "refit": refit, **model}}
    )
    shutil.copytree(features / "assets", out / "assets")
    return Tabular(config).fit(features, out, Trainer(0, config.training))


def answers(out: Path, x: np.ndarray) -> np.ndarray:
    return output(Tabular(TabularConfig()).native(out), x)


@pytest.mark.parametrize("kind", list(FITTERS))
@pytest.mark.parametrize("classes", [*sampled([["a", "b", "c", "d"], ["no", "yes"]], 2), None])
def test_the_second_fit_is_that_of_all_rows_but_the_test_split(
    tmp_path: Path, kind: str, classes: list[str] | None
) -> None:
    features = write_features(tmp_path / "features", classes)
    card = fitted(features, tmp_path / "model", kind, "auto")
    assert "fitted once more with the validation rows" in card["headline"]
    (note,) = [note for note in card["notes"] if note.startswith("Fitted once more")]
    assert "600 training and validation rows" in note
    assert "test split was not touched" in note
    # By hand: the same library on the same rows.
    config = TabularConfig.model_validate(
        {"model": {"kind": kind, "trees": 40, "learning_rate": 0.2}}
    )
    table = load_table(features, config.model)
    first = FITTERS[kind](config, table, _folder(tmp_path / "first"), lambda *_, **__: None)
    joined = table.joined(first.trees, first.chosen)
    assert len(joined.x) == 600
    again = FITTERS[kind](config, joined, _folder(tmp_path / "again"), lambda *_, **__: None)
    info = ModelInfo.load(tmp_path / "model")
    info.save(tmp_path / "again")
    x, _ = load_split(features, "test")
    assert np.array_equal(answers(tmp_path / "model", x), answers(tmp_path / "again", x))
    assert info.trees == again.trees
    if kind in ("lightgbm", "xgboost", "boosting"):
        assert info.trees == round(first.trees * 600 / 400)
        assert f"{info.trees} trees" in card["headline"]


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_the_test_rows_change_nothing(tmp_path: Path) -> None:
    features = write_features(tmp_path / "features", ["no", "yes"])
    fitted(features, tmp_path / "one", "lightgbm", "on")
    x, y = load_split(features, "test")
    save_split(features, "test", x * 7, 1 - y)
    fitted(features, tmp_path / "two", "lightgbm", "on")
    assert (tmp_path / "one/model.txt").read_text() == (tmp_path / "two/model.txt").read_text()


def test_threshold_and_calibration_are_chosen_on_rows_that_their_model_had_not_seen(
    tmp_path: Path,
) -> None:
    features = write_features(tmp_path / "features", ["no", "yes"])
    decisions = []
    for refit in ("on", "off"):
        fitted(features, tmp_path / refit, "lightgbm", refit)
        decisions.append(Decision.load(tmp_path / refit / "assets"))
    assert decisions[0] == decisions[1]


def test_off_leaves_the_first_model_and_balanced_weights_follow_all_rows(tmp_path: Path) -> None:
    features = write_features(tmp_path / "features", ["no", "yes"])
    card = fitted(features, tmp_path / "off", "forest", "off")
    assert "once more" not in card["headline"] + " ".join(card["notes"])
    config = TabularConfig.model_validate({"model": {"class_weight": "balanced"}})
    joined = load_table(features, config.model).joined(10)
    assert joined.weight is not None
    sums = [joined.weight[joined.y == code].sum() for code in (0, 1)]
    assert sums == pytest.approx([300, 300])


def test_the_mlp_is_not_fitted_on_the_rows_that_stop_it() -> None:
    with pytest.raises(ValidationError, match=r"model\.refit = 'on': the MLP stops"):
        TabularConfig.model_validate({"model": {"kind": "mlp", "refit": "on"}})


def test_trials_of_a_search_are_judged_on_rows_they_were_not_fitted_on() -> None:
    assert TabularConfig().for_search().model.refit == "off"


@pytest.mark.parametrize(("setting", "expected"), [("auto", False), ("on", True), ("off", False)])
def test_a_large_table_is_fitted_once_unless_a_person_asks(
    monkeypatch, tmp_path, setting, expected
):
    monkeypatch.setattr(refitting, "FEW_ROWS", 599)
    features = write_features(tmp_path / "features", None)
    card = fitted(features, tmp_path / "model", "linear", setting)
    assert ("fitted once more" in card["headline"]) is expected
