"""What a decision tree and a support vector machine have of their own: depth and rules, a bound on
rows."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.svm import SVC

from modelyard.families.tabular import svm
from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.family import Tabular
from modelyard.families.tabular.native import load_trained
from modelyard.families.tabular.table import ModelInfo, load_split
from modelyard.training.loop import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")


def fitted(folder: Path, frame: pd.DataFrame, **model: Any) -> tuple[Tabular, dict[str, Any]]:
    """A model in `folder / "m"` of the column `y`, and what its fit tells."""
    config = TabularConfig.model_validate(
        {"features": {"target": "y"}, "data": {"uri": "mine"}, "model": model}
    )
    family = Tabular(config)
    (folder / "raw").mkdir(parents=True)
    (folder / "f").mkdir()
    frame.to_csv(folder / "raw/table.csv", index=False)
    family.features(folder / "raw", folder / "f")
    shutil.copytree(folder / "f/assets", folder / "m/assets")
    return family, family.fit(folder / "f", folder / "m", Trainer(0, config.training))


def persons(rows: int = 600) -> pd.DataFrame:
    """Who is over 40 and lives in Oslo buys; others hardly do."""
    rng = np.random.default_rng(1)
    age, city = rng.integers(18, 80, rows), rng.choice(["Oslo", "Paris"], rows)
    income = np.round(rng.lognormal(10, 1, rows))
    buys = (age > 40) & (city == "Oslo")
    buys ^= rng.random(rows) < 0.05
    y = np.where(buys, "yes", "no")
    return pd.DataFrame({"age": age, "income": income, "city": city, "y": y})


def test_the_card_shows_the_rules_of_a_small_tree_in_the_columns_own_units(tmp_path: Path) -> None:
    _, card = fitted(tmp_path, persons(), kind="tree")
    (table,) = card["tables"]
    assert table["columns"] == ["if", "class", "share", "training rows"]
    (rule,) = [row for row in table["rows"] if row[1] == "yes"]
    conditions = rule[0].split(" and ")
    assert len(conditions) == 2
    (age,) = [said for said in conditions if said.startswith("age > ")]
    assert 40 <= float(age.removeprefix("age > ")) < 41
    (city,) = [said for said in conditions if "city" in said]
    assert city in ("city=Oslo", "not city=Paris")
    assert float(rule[2].removesuffix(" %")) > 85
    assert sum(row[3] for row in table["rows"]) == 480
    assert "depth 2" in card["headline"]


def test_a_regressions_rules_answer_in_the_targets_unit(tmp_path: Path) -> None:
    frame = persons()
    frame["y"] = np.where(frame["income"] > 22_000, 300.0, 100.0) + np.linspace(0, 1, len(frame))
    _, card = fitted(tmp_path, frame, kind="tree")
    (table,) = card["tables"]
    answers = sorted(round(float(row[1])) for row in table["rows"])
    assert answers[0] == pytest.approx(100, abs=2)
    assert answers[-1] == pytest.approx(300, abs=2)
    assert any("income > 2" in row[0] for row in table["rows"])


def test_the_depth_follows_the_pattern_and_noise_gets_the_least(tmp_path: Path) -> None:
    frame = persons(900)
    deep = (
        (frame["age"] > 30) ^ (frame["age"] > 45) ^ (frame["age"] > 60) ^ (frame["income"] > 22_000)
    )
    _, card = fitted(tmp_path / "deep", frame.assign(y=np.where(deep, "yes", "no")), kind="tree")
    assert any("The tree is" in note and "held-out folds" in note for note in card["notes"])
    assert int(card["headline"].split("depth ")[1].split(",")[0]) >= 3
    noise = np.random.default_rng(0).choice(["yes", "no"], len(frame))
    _, card = fitted(tmp_path / "noise", frame.assign(y=noise), kind="tree")
    assert "depth 1" in card["headline"]


def test_a_set_depth_is_taken_and_a_large_tree_has_no_table(tmp_path: Path) -> None:
    frame = persons(2_000)
    frame["y"] = np.sin(frame["age"] / 5) + np.log(frame["income"])
    _, card = fitted(tmp_path, frame, kind="tree", max_depth=7)
    assert "depth 7" in card["headline"]
    assert card["tables"] == []


def test_a_large_table_is_drawn_from_and_the_rows_left_out_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(svm, "MOST_ROWS", 200)
    monkeypatch.setattr(svm.SvmClassifier.__init__, "__defaults__", (1.0, 200, 0))
    _, card = fitted(tmp_path, persons(), kind="svm", refit="off")
    assert "200 of 390 rows" in card["headline"]
    (note,) = [note for note in card["notes"] if "SVM was fitted on" in note]
    assert "200 of 390 rows, drawn at random" in note
    assert "190" not in note or "not used" in note


def test_the_rows_that_are_drawn_hold_every_class_by_its_share() -> None:
    y = np.repeat([0, 1, 2], [9_000, 980, 20])
    rows = svm.SvmClassifier(most_rows=1_000)._drawn(y, classes=True)
    assert np.bincount(y[rows]).tolist() == [900, 98, 2]
    assert len(set(rows)) == len(rows)


def test_probabilities_are_those_of_decisions_on_held_out_folds(tmp_path: Path) -> None:
    """A machine's own training rows lie on its margin, so their decisions flatter."""
    family, _ = fitted(tmp_path, persons(800), kind="svm", refit="off")
    x, y = load_split(tmp_path / "f", "test")
    p = family.native(tmp_path / "m")("model", {"features": x})["probabilities"][:, 1]
    # 5 % of the rows were switched: an honest probability stays off 0 and 1 by about as much.
    assert 0.85 < p[p > 0.5].mean() < 0.99
    assert abs(p.mean() - y.mean()) < 0.05
    model = load_trained(tmp_path / "m", ModelInfo.load(tmp_path / "m"))
    scale = model.machine_["scale"]
    x_train, y_train = load_split(tmp_path / "f", "train")
    by_hand = SVC().fit(scale.transform(x_train.astype(np.float64)), y_train)
    decided = by_hand.decision_function(scale.transform(x.astype(np.float64)))
    assert np.array_equal(decided > 0, model.machine_.decision_function(x.astype(np.float64)) > 0)


@pytest.mark.parametrize("loss", ["squared", "absolute", "log"])
def test_a_rules_deviation_is_that_of_its_rows_in_the_targets_unit(
    tmp_path: Path, loss: str
) -> None:
    frame = persons()
    noise = np.random.default_rng(2).normal(size=len(frame))
    frame["y"] = np.exp(5 + (frame["income"] > 22_000) + 0.3 * noise)
    _, card = fitted(tmp_path, frame, kind="tree", max_depth=1, loss=loss, refit="off")
    (table,) = card["tables"]
    train = pd.read_parquet(tmp_path / "f/train.parquet")
    (edge,) = {float(row[0].split()[-1]) for row in table["rows"]}
    for rule, _, deviation, rows in table["rows"]:
        above = " > " in rule
        own = train["y"][(train["income"] > edge) == above]
        assert len(own) == rows
        if loss == "squared":
            assert float(deviation) == pytest.approx(own.std(ddof=0), rel=0.01)
        elif loss == "absolute":
            expected = (own - own.median()).abs().mean()
            assert float(deviation) == pytest.approx(expected, rel=0.01)
        else:
            factor = float(deviation.removeprefix("× "))
            assert factor == pytest.approx(np.exp(np.log(own).std(ddof=0)), rel=0.01)


def test_the_second_fit_says_what_it_has_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer training rows than an SVM takes, and more with the validation rows."""
    monkeypatch.setattr(svm, "MOST_ROWS", 400)
    monkeypatch.setattr(svm.SvmClassifier.__init__, "__defaults__", (1.0, 400, 0))
    _, card = fitted(tmp_path, persons(), kind="svm", refit="on")
    assert any("fitted on 400 of 480 rows" in note for note in card["notes"])
    assert "400 of 480 rows" in card["headline"]


def test_the_headline_counts_the_leaves_of_the_tree_that_is_stored(tmp_path: Path) -> None:
    frame = persons()
    frame["y"] = np.sin(frame["age"] / 5) + np.log(frame["income"])
    _, card = fitted(tmp_path, frame, kind="tree", max_depth=6, refit="on")
    tree = load_trained(tmp_path / "m", ModelInfo.load(tmp_path / "m"))
    assert f"{tree.get_n_leaves()} leaves" in card["headline"]
