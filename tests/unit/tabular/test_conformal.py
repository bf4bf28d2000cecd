"""Intervals of a regression: they hold the share that was asked for on rows nobody has seen, are
narrow where the data is sure, and go through every stage."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.family import Tabular
from modelyard.families.tabular.host import IntervalAnswer, TabularHost, ValueAnswer
from modelyard.families.tabular.interval import Interval, interval_score, rows_needed, tails
from modelyard.families.tabular.table import load_split, save_split
from modelyard.judging.evaluation import Evaluation
from modelyard.training.loop import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")


class Fitted:
    """A model of a table's column `y`."""

    def __init__(
        self,
        folder: Path,
        frame: pd.DataFrame,
        seed: int = 0,
        task: str = "regression",
        time_column: str | None = None,
        **model: Any,
    ) -> None:
        settings = {"kind": "linear", "trees": 60, **model}
        config = TabularConfig.model_validate(
            {
                "seed": seed,
                "features": {"target": "y", "task": task, "time_column": time_column},
                "data": {"uri": "mine", "split_seed": seed},
                "model": settings,
                "training": {"epochs": 30, "batch_size": 64, "learning_rate": 0.01},
            }
        )
        self.family, self.features, self.model = Tabular(config), folder / "f", folder / "m"
        (folder / "raw").mkdir(parents=True)
        self.features.mkdir()
        frame.to_csv(folder / "raw/table.csv", index=False)
        self.family.features(folder / "raw", self.features)
        self.fit()

    def fit(self) -> None:
        shutil.rmtree(self.model, ignore_errors=True)
        shutil.copytree(self.features / "assets", self.model / "assets")
        config = self.family.config
        self.card = self.family.fit(
            self.features, self.model, Trainer(config.seed, config.training)
        )
        self.host = TabularHost(self.model / "assets")

    def answers(self, split: str = "test") -> list[Any]:
        bodies = self.family.requests(self.features, split)
        requests = [self.host.Request.model_validate(body) for body in bodies]
        return self.host.predict(self.family.native(self.model), requests)

    def judged(self) -> Evaluation:
        return self.family.evaluate(
            self.host, self.family.native(self.model), self.features, "test"
        )

    def holds(self, frame: pd.DataFrame) -> np.ndarray:
        """Which rows of another table lie in their interval."""
        columns = {name: frame[name].to_numpy() for name in frame if name != "y"}
        found = self.host.values(self.family.native(self.model), columns)
        assert found.low is not None
        assert found.high is not None
        return np.asarray((found.low <= frame["y"]) & (frame["y"] <= found.high))

    def within(self) -> np.ndarray:
        """Which test rows lie in their interval."""
        _, y = load_split(self.features, "test")
        low, high = np.array([(answer.low, answer.high) for answer in self.answers()]).T
        return (low <= y) & (y <= high)


def simulated(seed: int, varies: bool, rows: int = 700) -> pd.DataFrame:
    """A target with noise that is the same everywhere, or grows with the column `b`."""
    rng = np.random.default_rng([seed, 31])
    x = rng.normal(size=(rows, 4))
    noise = 0.5 * (np.exp(0.9 * x[:, 1]) if varies else 1)
    frame = pd.DataFrame(x, columns=list("abcd"))
    frame["y"] = 2 * x[:, 0] + np.sin(2 * x[:, 2]) + noise * rng.standard_t(5, rows)
    return frame


def real(name: str) -> pd.DataFrame:
    if name == "diabetes":
        from sklearn.datasets import load_diabetes

        return load_diabetes(as_frame=True).frame.rename(columns={"target": "y"})
    from statsmodels.datasets import star98

    data = star98.load_pandas().data
    share = 100 * data["NABOVE"] / (data["NABOVE"] + data["NBELOW"])
    return data.drop(columns=["NABOVE", "NBELOW"]).assign(y=share)


@pytest.mark.parametrize(
    ("varies", "kind", "coverage"),
    [(False, "linear", 0.9), (True, "lightgbm", 0.8), (True, "forest", 0.9)],
)
def test_coverage_of_simulated_rows_is_within_two_points_of_what_was_asked(
    tmp_path: Path, varies: bool, kind: str, coverage: float
) -> None:
    shares = []
    for seed in range(8):
        model = {"kind": kind, "coverage": coverage, "trees": 150 if kind == "lightgbm" else 30}
        fitted = Fitted(tmp_path / str(seed), simulated(seed, varies), seed, **model)
        shares.append(fitted.holds(simulated(1_000 + seed, varies, rows=4_000)).mean())
    assert abs(np.mean(shares) - coverage) < 0.02


@pytest.mark.parametrize(
    ("table", "kind", "coverage", "divisions"),
    [
        ("diabetes", "linear", 0.9, 25),
        ("diabetes", "forest", 0.8, 10),
        ("districts", "linear", 0.9, 35),
    ],
)
def test_coverage_of_a_real_tables_test_rows_is_within_two_points_of_what_was_asked(
    tmp_path: Path, table: str, kind: str, coverage: float, divisions: int
) -> None:
    """Over divisions of the rows: one test split is too small to tell two points."""
    within = []
    for seed in range(divisions):
        model = {"kind": kind, "coverage": coverage, "trees": 10}
        within.append(Fitted(tmp_path / str(seed), real(table), seed, **model).within())
    assert abs(np.concatenate(within).mean() - coverage) < 0.02


@pytest.mark.parametrize("kind", ["lightgbm", "mlp"])
def test_a_model_that_is_fitted_once_is_calibrated_on_its_validation_rows(
    tmp_path: Path, kind: str
) -> None:
    shares = []
    for seed in range(4):
        frame = simulated(seed, varies=False, rows=3_000)
        fitted = Fitted(
            tmp_path / str(seed), frame, seed, kind=kind, refit="auto" if kind == "mlp" else "off"
        )
        assert fitted.host.interval is not None
        assert fitted.host.interval.rows == 450
        assert any(
            "450 validation rows, which the model has not seen" in note
            for note in fitted.card["notes"]
        )
        shares.append(fitted.holds(simulated(1_000 + seed, varies=False, rows=4_000)).mean())
    assert abs(np.mean(shares) - 0.9) < 0.02


def test_intervals_are_wide_where_errors_are_large_and_score_better_than_equal_ones(
    tmp_path: Path,
) -> None:
    frame = simulated(3, varies=True, rows=2_000)
    fitted = Fitted(tmp_path, frame, kind="lightgbm")
    assert fitted.host.interval is not None
    assert fitted.host.interval.spread is not None
    x, y = load_split(fitted.features, "test")
    low, high = np.array([(answer.low, answer.high) for answer in fitted.answers()]).T
    assert np.corrcoef(np.log(high - low), x[:, 1])[0, 1] > 0.9
    calm = x[:, 1] < np.median(x[:, 1])
    within = fitted.within()
    assert within[calm].mean() == pytest.approx(0.9, abs=0.05)
    assert within[~calm].mean() == pytest.approx(0.9, abs=0.05)
    errors = y - np.array([answer.value for answer in fitted.answers()])
    # The equal width that covers as much, known only afterwards.
    edges = np.quantile(errors, [0.05, 0.95])
    equal = interval_score(errors, np.full(len(y), edges[0]), np.full(len(y), edges[1]), 0.9)
    assert interval_score(y, low, high, 0.9).mean() < equal.mean()


def test_equal_noise_has_intervals_of_one_width(tmp_path: Path) -> None:
    widths = [
        answer.high - answer.low for answer in Fitted(tmp_path, simulated(2, False)).answers()
    ]
    assert np.ptp(widths) < 1e-9 * max(widths)


def test_the_card_shows_coverage_and_width_next_to_what_was_asked(tmp_path: Path) -> None:
    fitted = Fitted(tmp_path, simulated(2, varies=True))
    judged = fitted.judged()
    (table,) = judged.tables
    model, simple = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
    within = fitted.within()
    widths = [answer.high - answer.low for answer in fitted.answers()]
    assert model["asked"] == simple["asked"] == "90 %"
    assert model["covered"] == f"{100 * within.mean():.1f} %"
    assert model["mean width"] == f"{np.mean(widths):.4g}"
    assert judged.metrics["coverage_error"] == pytest.approx(abs(within.mean() - 0.9))
    assert judged.metrics["mean_width"] == pytest.approx(np.mean(widths))
    assert judged.metrics["mean_width"] < judged.baseline["mean_width"]
    assert judged.metrics["interval_score"] < judged.baseline["interval_score"]
    assert any("90 % were asked for" in note for note in judged.notes)


def test_drift_gets_the_width(tmp_path: Path) -> None:
    fitted = Fitted(tmp_path, simulated(2, varies=True))
    body = fitted.family.requests(fitted.features, "test", 1)[0]
    answer = fitted.answers()[0]
    row = fitted.host.describe(fitted.host.Request.model_validate(body), answer)
    assert row["width"] == answer.high - answer.low
    assert row["prediction"] == answer.value


def test_the_test_rows_change_no_interval_and_the_training_rows_do(tmp_path: Path) -> None:
    fitted = Fitted(tmp_path, simulated(4, varies=True))
    before = fitted.host.interval
    x, y = load_split(fitted.features, "test")
    save_split(fitted.features, "test", -x, 100 * y)
    fitted.fit()
    assert fitted.host.interval == before
    x, y = load_split(fitted.features, "validation")
    save_split(fitted.features, "validation", x, 3 * y)
    fitted.fit()
    assert fitted.host.interval != before


def test_the_errors_of_a_second_fit_are_those_of_rows_that_were_held_out(tmp_path: Path) -> None:
    """A forest knows its own rows nearly by heart: their errors say nothing."""
    fitted = Fitted(tmp_path, simulated(5, varies=False, rows=400), kind="forest")
    x, y = load_split(fitted.features, "train")
    run = fitted.family.native(fitted.model)
    output = run("model", {"features": x})["value"]
    own = np.quantile(np.abs(fitted.host.scale.scaled(y) - output), 0.9)
    assert fitted.host.interval is not None
    assert fitted.host.interval.high > 1.7 * own
    assert fitted.host.interval.rows == 320


def test_rows_in_the_order_of_time_are_calibrated_on_the_latest(tmp_path: Path) -> None:
    frame = simulated(6, varies=False)
    frame["y"] += np.sin(np.arange(len(frame)) / 20) * 3
    frame.insert(0, "day", pd.date_range("2024-01-01", periods=len(frame)).strftime("%Y-%m-%d"))
    fitted = Fitted(tmp_path, frame)
    assert fitted.host.interval is not None
    assert fitted.host.interval.rows == len(load_split(fitted.features, "validation")[1])
    assert any("in the order of time: later errors" in note for note in fitted.card["notes"])


def test_the_interval_of_a_logarithm_stays_above_zero(tmp_path: Path) -> None:
    frame = simulated(7, varies=False)
    frame["y"] = np.exp(frame["y"])
    fitted = Fitted(tmp_path, frame, loss="log")
    answers = fitted.answers()
    assert all(0 < answer.low < answer.value < answer.high for answer in answers)
    above = np.array([answer.high - answer.value for answer in answers])
    below = np.array([answer.value - answer.low for answer in answers])
    assert (above > below).mean() > 0.95
    assert abs(fitted.within().mean() - 0.9) < 0.06


@pytest.mark.parametrize("model", [{"coverage": None}, {"loss": "quantile", "kind": "lightgbm"}])
def test_without_intervals_the_answer_is_the_value(tmp_path: Path, model: dict[str, Any]) -> None:
    fitted = Fitted(tmp_path, simulated(8, varies=False), **model)
    assert fitted.host.Response is ValueAnswer
    assert type(fitted.answers()[0]) is ValueAnswer
    assert not fitted.judged().tables
    assert "mean_width" not in fitted.judged().metrics


def test_too_few_rows_for_the_coverage_are_said(tmp_path: Path) -> None:
    fitted = Fitted(tmp_path, simulated(9, varies=False, rows=80), coverage=0.99)
    assert fitted.host.Response is ValueAnswer
    (note,) = [note for note in fitted.card["notes"] if note.startswith("No intervals")]
    assert "99 % need 199 rows that the model has not seen; there are 64" in note
    assert Fitted(tmp_path / "less", simulated(9, False, rows=80)).host.Response is IntervalAnswer


def test_tails_leave_the_promised_share_outside_on_average() -> None:
    rng = np.random.default_rng(0)
    outside = []
    for _ in range(4_000):
        low, high = tails(rng.exponential(size=39), 0.9)
        new = rng.exponential(size=20)
        outside.append([(new < low).mean(), (new > high).mean()])
    # Of 40 exchangeable errors each is the largest as often: 2 of 40 lie beyond each edge.
    assert np.mean(outside, axis=0) == pytest.approx([0.05, 0.05], abs=0.004)
    assert tails(np.arange(39.0), 0.9) == (1.0, 37.0)
    assert rows_needed(0.9) == 19
    assert tails(np.arange(19.0), 0.9) == (0.0, 18.0)
    assert rows_needed(0.95) == 39


def test_a_far_request_has_no_wider_interval_than_calibration_saw(tmp_path: Path) -> None:
    fitted = Fitted(tmp_path, simulated(3, varies=True, rows=2_000))
    interval = Interval.load(fitted.model / "assets")
    assert interval.spread is not None
    x, _ = load_split(fitted.features, "train")
    output = fitted.family.native(fitted.model)("model", {"features": x})["value"]
    widest = np.ptp(interval.bounds(x, output), axis=0).max()
    low, high = interval.bounds(x[:1] + 1e6, output[:1])
    assert high - low <= widest * 1.5
