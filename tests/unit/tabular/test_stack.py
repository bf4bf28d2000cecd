"""`model.kind=stack`: members answer rows they have not seen, weights follow these answers, time is
kept, and one graph holds them all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from pydantic import ValidationError

from modelyard.families.tabular import stack, svm
from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.native import native_runtime
from modelyard.families.tabular.stack import MEMBERS, select
from modelyard.families.tabular.table import ModelInfo, load_split, save_split
from tests.unit.tabular.test_conformal import Fitted, simulated

pytestmark = pytest.mark.usefixtures("one_thread")


def sums(rows: int = 500, seed: int = 0) -> pd.DataFrame:
    """A line and steps together: no kind has both."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4))
    frame = pd.DataFrame(x, columns=list("abcd"))
    steps = np.sign(x[:, 2]) * np.sign(x[:, 3])
    frame["y"] = 2 * x[:, 0] + x[:, 1] + 1.5 * steps + 0.5 * rng.normal(size=rows)
    return frame


def error(fitted: Fitted) -> float:
    return fitted.judged().metrics["mae"]


def test_a_pattern_of_two_parts_is_answered_better_than_by_each_member(tmp_path: Path) -> None:
    together = error(Fitted(tmp_path / "stack", sums(), kind="stack", coverage=None))
    alone = {
        kind: error(Fitted(tmp_path / kind, sums(), kind=kind, coverage=None)) for kind in MEMBERS
    }
    assert together < 0.97 * min(alone.values())


def test_the_answer_is_the_weighted_mean_of_the_members_and_the_graph_agrees(
    tmp_path: Path,
) -> None:
    fitted = Fitted(tmp_path, sums(300), kind="stack", coverage=None)
    info = ModelInfo.load(fitted.model)
    assert sum(info.members.values()) == pytest.approx(1)
    assert min(info.members.values()) > 0
    x, _ = load_split(fitted.features, "test")
    expected = sum(
        weight * native_runtime(fitted.model / "members" / kind)("model", {"features": x})["value"]
        for kind, weight in info.members.items()
    )
    value = fitted.family.native(fitted.model)("model", {"features": x})["value"]
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
    (graph,) = fitted.family.graphs(fitted.model)
    assert len(onnx.load_from_string(graph.onnx).graph.input) == 1
    session = onnxruntime.InferenceSession(graph.onnx)
    (seen,) = session.run(["value"], {"features": x})
    np.testing.assert_allclose(seen, expected, rtol=1e-4, atol=1e-5)


def test_the_members_have_learnt_the_validation_rows_and_never_the_test_rows(
    tmp_path: Path,
) -> None:
    fitted = Fitted(tmp_path, sums(300), kind="stack", coverage=None)
    x, y = load_split(fitted.features, "test")
    value = fitted.family.native(fitted.model)("model", {"features": x})["value"]
    weights = ModelInfo.load(fitted.model).members
    save_split(fitted.features, "test", -x, 5 * y)
    fitted.fit()
    again = fitted.family.native(fitted.model)("model", {"features": x})["value"]
    assert np.array_equal(value, again)
    assert ModelInfo.load(fitted.model).members == weights
    x_validation, y_validation = load_split(fitted.features, "validation")
    save_split(fitted.features, "validation", x_validation, -y_validation)
    fitted.fit()
    other = fitted.family.native(fitted.model)("model", {"features": x})["value"]
    assert np.abs(other - value).mean() > 0.01


def test_the_weights_are_those_of_rows_that_a_member_has_not_seen(tmp_path: Path) -> None:
    """A forest knows pure noise by heart: by its own rows it would get all the weight."""
    frame = sums(300)
    frame["y"] = 3 * frame["a"] + np.random.default_rng(3).normal(size=300)
    fitted = Fitted(tmp_path, frame, kind="stack", coverage=None)
    members = ModelInfo.load(fitted.model).members
    assert members["linear"] > 0.5
    assert members.get("forest", 0.0) < 0.3
    (table,) = fitted.card["tables"]
    assert [row[0] for row in table["rows"]] == [*MEMBERS, "stack"]
    losses = [float(row[1]) for row in table["rows"]]
    assert losses[-1] <= min(losses[:-1]) + 1e-3


def test_weights_are_shares_and_follow_the_loss() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=2_000)
    one, other = y + rng.normal(size=2_000), y + rng.normal(size=2_000)
    bad = rng.normal(size=2_000) * 3
    weights = select([one, other, bad], lambda value: float(np.square(value - y).mean()))
    assert weights.sum() == pytest.approx(1)
    # Of two equally good answers with independent errors each gets half.
    assert weights[:2] == pytest.approx([0.5, 0.5], abs=0.05)
    assert weights[2] < 0.05


def test_a_member_that_does_not_fit_into_the_time_is_left_out_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(config: TabularConfig, table: Any) -> float:
        return 1e4 if config.model.kind in ("svm", "forest") else 0.0

    monkeypatch.setattr(stack, "_seconds", slow)
    fitted = Fitted(tmp_path, sums(200), kind="stack", coverage=None)
    assert not {"svm", "forest"} & set(ModelInfo.load(fitted.model).members)
    said = [note for note in fitted.card["notes"] if "is not in the stack" in note]
    assert len(said) == 2
    assert all(
        "it takes about 70000 s" in note and "training.minutes = 10" in note for note in said
    )


def test_a_long_member_is_expected_to_take_long(tmp_path: Path) -> None:
    """Twice the rows take about twice the time: what the budget rests on."""
    fitted = Fitted(tmp_path, sums(6_000), kind="linear", coverage=None)
    from modelyard.families.tabular.table import load_table

    config = fitted.family.config.of_kind("forest").with_model(trees=200)
    table = load_table(fitted.features, config.model)
    expected = min(stack._seconds(config, table) for _ in range(3))
    import time

    start = time.perf_counter()
    stack.new_estimator(config, table, 200).fit(table.x, table.y)
    taken = time.perf_counter() - start
    assert 0.1 * taken < expected < 10 * taken


def test_no_time_leaves_the_linear_member(tmp_path: Path) -> None:
    frame = sums(200)
    fitted = Fitted(tmp_path, frame, kind="linear")
    training = fitted.family.config.training.model_copy(update={"minutes": 1e-9})
    config = fitted.family.config.with_model(kind="stack").model_copy(update={"training": training})
    fitted.family.config = config
    fitted.fit()
    assert ModelInfo.load(fitted.model).members == {"linear": 1.0}
    with pytest.raises(ValidationError, match="minutes"):
        TabularConfig.model_validate({"training": {"minutes": 0}})


def test_a_stacks_intervals_hold_what_they_promise(tmp_path: Path) -> None:
    shares = []
    for seed in range(3):
        frame = simulated(seed, varies=False, rows=500)
        fitted = Fitted(tmp_path / str(seed), frame, seed, kind="stack", trees=30)
        shares.append(fitted.holds(simulated(1_000 + seed, varies=False, rows=3_000)).mean())
    assert abs(np.mean(shares) - 0.9) < 0.03


def test_a_stack_needs_the_libraries_of_its_members() -> None:
    config = TabularConfig.model_validate({"model": {"kind": "stack"}})
    assert {"lightgbm", "xgboost", "sklearn"} <= set(config.requires())
    assert "xgboost" not in TabularConfig().requires()


@pytest.mark.parametrize("classes", [("no", "yes"), ("a", "b", "c")])
def test_a_class_of_few_rows_is_learnt_by_every_member(
    tmp_path: Path, classes: tuple[str, ...]
) -> None:
    """Six rows of thousands: the rows that time a member, and some folds, may have none of it."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(3_000, 3)), columns=list("abc"))
    y = rng.choice(classes[:-1], 3_000).astype(object)
    y[:6] = classes[-1]
    frame["y"] = y
    fitted = Fitted(tmp_path, frame, task="classification", kind="stack", trees=10)
    (table,) = fitted.card["tables"]
    assert [row[0] for row in table["rows"]] == [*MEMBERS, "stack"]


@pytest.mark.parametrize("classes", [("no", "yes"), ("a", "b", "c")])
def test_a_class_that_early_rows_lack_is_learnt_by_every_member(
    tmp_path: Path, classes: tuple[str, ...]
) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(400, 3)), columns=list("abc"))
    frame["day"] = pd.date_range("2024-01-01", periods=400).strftime("%Y-%m-%d")
    y = rng.choice(classes[:-1], 400).astype(object)
    # The middle one of three: XGBoost takes codes without a gap only.
    y[(np.arange(400) > 150) & (rng.random(400) < 0.4)] = classes[-1]
    frame["y"] = np.where(y == classes[-1], classes[1], np.where(y == classes[1], classes[-1], y))
    fitted = Fitted(
        tmp_path, frame, task="classification", time_column="day", kind="stack", trees=10
    )
    (table,) = fitted.card["tables"]
    assert [row[0] for row in table["rows"]] == [*MEMBERS, "stack"]


def test_members_that_answer_nothing_are_not_stored(tmp_path: Path) -> None:
    frame = sums(300)
    frame["y"] = 3 * frame["a"] - frame["b"]
    fitted = Fitted(tmp_path, frame, kind="stack", coverage=None, refit="off")
    kept = ModelInfo.load(fitted.model).members
    assert len(kept) < len(MEMBERS)
    stored = {folder.name for folder in (fitted.model / "members").iterdir()}
    assert stored == set(kept)


def test_a_stack_says_how_many_rows_its_support_vector_machine_has_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(svm, "MOST_ROWS", 200)
    monkeypatch.setattr(svm.SvmRegressor.__init__, "__defaults__", (1.0, 200, 0))
    fitted = Fitted(tmp_path, sums(400), kind="stack", coverage=None, refit="off")
    assert any("200 of 260 rows, drawn at random" in note for note in fitted.card["notes"])
