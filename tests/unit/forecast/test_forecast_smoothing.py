"""The exponential smoothing that a network adds to: statsmodels' own, as one matrix."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.tsa.holtwinters import ExponentialSmoothing

from modelyard.families.forecast.config import ForecastConfig
from modelyard.families.forecast.family import Forecast
from modelyard.families.forecast.holt_winters import (
    MOST_GROWTH,
    WIDEST,
    Weights,
    smoothed,
    smoothing_matrix,
    without_gaps,
)
from modelyard.families.forecast.host import ForecastHost
from modelyard.families.forecast.window import Schema
from modelyard.judging.evaluation import Evaluation
from modelyard.runtimes.types import Arrays
from modelyard.settings.search import searched
from modelyard.training.loop import Trainer
from tests.training.going_on import features_of, model_of

WEIGHTS = Weights(level=0.3, trend=0.2, season=0.4, damping=0.95)
MONTHS = pd.date_range("2010-01-01", periods=132, freq="MS")


def growing(months: int = 132) -> np.ndarray:
    """Sales that grow, each summer more than in the one before: few, as people have them."""
    rng = np.random.default_rng(4)
    step = np.arange(months)
    return (100 + 2 * step) * (1 + 0.3 * np.sin(2 * np.pi * step / 12)) + rng.normal(0, 4, months)


@pytest.mark.parametrize("season", [1, 7])
def test_it_forecasts_as_statsmodels_does_with_the_same_weights(season: int) -> None:
    rng = np.random.default_rng(2)
    y = 50 + 0.3 * np.arange(40) + 5 * np.sin(2 * np.pi * np.arange(40) / 7) + rng.normal(size=40)
    begin: dict[str, object] = {"initial_level": y[0], "initial_trend": 0.0}
    form: dict[str, object] = {}
    if season > 1:
        whole = y[:35].reshape(5, 7)
        means = whole.mean(axis=1)
        slope = (means[-1] - means[0]) / 28
        begin = {
            "initial_level": means[0] - 4 * slope,
            "initial_trend": slope,
            "initial_seasonal": (whole - means[:, None]).mean(axis=0) - slope * np.arange(-3, 4),
        }
        form = {"seasonal": "add", "seasonal_periods": 7}
    model = ExponentialSmoothing(
        y, trend="add", damped_trend=True, initialization_method="known", **begin, **form
    )
    weights = {"smoothing_level": 0.3, "smoothing_trend": 0.2, "damping_trend": 0.95}
    if season > 1:
        weights["smoothing_seasonal"] = 0.4
    expected = model.fit(optimized=False, **weights).forecast(10)
    found = smoothed(WEIGHTS, y[None], season, 10)
    # For a whole season ahead statsmodels 0.14 takes the seasonal part before its latest change.
    alike = np.ones(10, bool)
    if season > 1:
        alike[season - 1 :: season] = False
    np.testing.assert_allclose(found[0][alike], expected[alike], rtol=1e-10)
    if season > 1:
        expected = model.fit(optimized=False, **weights | {"smoothing_seasonal": 0.0}).forecast(10)
        found = smoothed(WEIGHTS.model_copy(update={"season": 0.0}), y[None], season, 10)
        np.testing.assert_allclose(found[0], expected, rtol=1e-10)


def test_a_level_stays_and_moves_with_its_history() -> None:
    steps = smoothing_matrix(WEIGHTS, 30, 7, 5)
    np.testing.assert_allclose(steps.sum(axis=1), 1.0)
    history = np.random.default_rng(1).normal(size=(3, 30))
    moved = smoothed(WEIGHTS, 1e9 + history, 7, 5)
    np.testing.assert_allclose(moved, 1e9 + smoothed(WEIGHTS, history, 7, 5))


BY_LOGARITHMS = WEIGHTS.model_copy(update={"logarithms": True, "growth": 1.5})


def swinging(months: int = 132) -> np.ndarray:
    """Sales whose season grows with them, as it does by a multiplicative Holt-Winters."""
    rng = np.random.default_rng(4)
    step = np.arange(months)
    season = np.exp(0.7 * np.sin(2 * np.pi * step / 12))
    return 100 * 1.015**step * season * np.exp(rng.normal(0, 0.05, months))


def test_logarithms_are_smoothed_as_statsmodels_smooths_them() -> None:
    y = swinging(36)
    model = ExponentialSmoothing(
        np.log(y),
        trend="add",
        damped_trend=True,
        initialization_method="known",
        initial_level=np.log(y[0]),
        initial_trend=0.0,
    )
    weights = {"smoothing_level": 0.3, "smoothing_trend": 0.2, "damping_trend": 0.95}
    expected = np.exp(model.fit(optimized=False, **weights).forecast(6))
    np.testing.assert_allclose(smoothed(BY_LOGARITHMS, y[None], 1, 6)[0], expected, rtol=1e-10)
    # It is that of any unit.
    scaled = smoothed(BY_LOGARITHMS, 1e-6 * y[None], 1, 6)[0]
    np.testing.assert_allclose(scaled, 1e-6 * expected, rtol=1e-9)


def test_a_season_that_grows_is_forecast_as_well_as_by_a_multiplicative_holt_winters(
    tmp_path: Path,
) -> None:
    y = swinging()
    schema = Schema.load(featured(tmp_path, y[:120]) / "assets")
    assert schema.smoothing is not None
    assert schema.smoothing.logarithms
    # A year ahead is 1.2 times the one before: what is seen at most is a little more than that.
    assert 1.1 < schema.smoothing.growth < 1.5
    ours = smoothed(schema.smoothing, y[None, 120 - schema.context : 120], 12, 12)[0]
    form = {"trend": "add", "damped_trend": True, "seasonal": "mul", "seasonal_periods": 12}
    theirs = ExponentialSmoothing(y[:120], **form).fit().forecast(12)
    assert np.abs(ours - y[120:]).mean() < 1.2 * np.abs(theirs - y[120:]).mean()


def test_a_season_that_stays_is_not_forecast_by_logarithms(tmp_path: Path) -> None:
    step = np.arange(132)
    y = 40 + 2 * step + 30 * np.sin(2 * np.pi * step / 12)
    y += np.random.default_rng(4).normal(0, 4, 132)
    schema = Schema.load(featured(tmp_path, y) / "assets")
    assert schema.smoothing is not None
    assert not schema.smoothing.logarithms


def test_a_forecast_by_logarithms_never_explodes() -> None:
    growing_tenfold = 10.0 ** np.arange(-2, 2.25, 0.25)
    steep = BY_LOGARITHMS.model_copy(update={"level": 0.9, "trend": 0.9, "damping": 1.0})
    found = smoothed(steep, growing_tenfold[None], 1, 40)[0]
    assert found.max() == pytest.approx(MOST_GROWTH * 1.5 * growing_tenfold[-1])
    assert np.isfinite(smoothed(steep, 1e290 * growing_tenfold[None], 1, 400)).all()


@pytest.mark.parametrize("odd", [0.0, -3.0, 1 / WIDEST / 2])
def test_a_history_that_has_no_sound_logarithms_is_smoothed_as_it_is(odd: float) -> None:
    y = np.full((2, 30), 1.0)
    y[0, 11] = odd
    found = smoothed(BY_LOGARITHMS, y, 7, 5)
    np.testing.assert_array_equal(found[0], smoothed(WEIGHTS, y, 7, 5)[0])
    # A constant stays what it is.
    np.testing.assert_allclose(found[1], 1.0)
    nothing = smoothed(BY_LOGARITHMS, np.full((1, 30), np.nan), 7, 5)
    assert nothing.tolist() == [[0.0] * 5]


def test_gaps_lie_on_a_line_and_what_comes_before_a_series_repeats_its_first_season() -> None:
    nan = np.nan
    found = without_gaps(np.array([[nan, nan, nan, 1.0, 5.0, 9.0, nan, 3.0, nan]]), 3)
    assert found[0].tolist() == [1.0, 5.0, 9.0, 1.0, 5.0, 9.0, 6.0, 3.0, 3.0]
    # Of less than a season nothing can be repeated.
    assert without_gaps(np.array([[nan, nan, 4.0]]), 3)[0].tolist() == [4.0, 4.0, 4.0]
    assert without_gaps(np.full((1, 3), nan), 3)[0].tolist() == [0.0, 0.0, 0.0]


def simple_forecast(graph: str, arrays: Arrays) -> Arrays:
    """A network that adds nothing."""
    return {"quantiles": np.repeat(arrays["future"][..., :1], 3, axis=2)}


def test_a_history_of_one_value_is_explained(tmp_path: Path) -> None:
    """Without its stretches there is none."""
    host = ForecastHost(featured(tmp_path, growing()) / "assets")
    request = host.Request(values=[None, 5.0], times=months(2))
    parts = host.explain(simple_forecast, request).contributions
    assert parts["1 to 1 steps back"] == pytest.approx(5.0)


def test_weights_are_not_fitted_on_a_handful_of_windows(tmp_path: Path) -> None:
    long = Schema.load(featured(tmp_path / "long", growing(90)) / "assets")
    assert long.smoothing is not None
    short = Schema.load(featured(tmp_path / "short", growing(66)) / "assets")
    assert short.smoothing is None


def test_what_is_smoothing_already_is_not_told_to_become_it(tmp_path: Path) -> None:
    features = featured(tmp_path, growing())
    host = ForecastHost(features / "assets")

    def bad(graph: str, arrays: Arrays) -> Arrays:
        return {"quantiles": simple_forecast(graph, arrays)["quantiles"] + 5.0}

    for kind, told in (("lstm", True), ("smoothing", False)):
        family = Forecast(ForecastConfig.model_validate({"model": {"kind": kind}}))
        notes = family.evaluate(host, bad, features).notes
        assert any("--set model.kind=smoothing" in note for note in notes) is told


def test_a_search_among_forecasts_of_smoothing_leaves_out_the_sizes_of_networks() -> None:
    config = ForecastConfig.model_validate({"model": {"kind": "smoothing"}})
    space = searched(config.search_space, config.model_dump(mode="json"), ["model.kind"])
    assert not any(name.startswith("model.") for name in space)


def folder(raw: Path, y: np.ndarray) -> Path:
    raw.mkdir(parents=True)
    pd.DataFrame({"month": MONTHS[: len(y)], "sales": y}).to_csv(raw / "sales.csv", index=False)
    return raw


def featured(place: Path, y: np.ndarray) -> Path:
    (place / "features" / "assets").mkdir(parents=True)
    family = Forecast(ForecastConfig.model_validate({"features": {"horizon": 12}}))
    family.features(folder(place / "raw", y), place / "features")
    return place / "features"


def test_what_repeats_exactly_is_left_to_the_seasonal_naive(tmp_path: Path) -> None:
    year = np.array([3.0, 9, 2, 7, 1, 8, 4, 6, 5, 9, 1, 2])
    features = featured(tmp_path, np.tile(year, 11))
    assert Schema.load(features / "assets").smoothing is None


def judged(features: Path, out: Path, kind: str) -> Evaluation:
    config = ForecastConfig.model_validate({"model": {"kind": kind}, "features": {"horizon": 12}})
    family = Forecast(config)
    shutil.copytree(features / "assets", out / "assets")
    family.fit(features, out, Trainer(0, config.training))
    return family.evaluate(ForecastHost(out / "assets"), family.native(out), features)


@pytest.mark.parametrize("kind", ["patchtst", "smoothing"])
def test_eleven_years_of_sales_are_enough_for_half_the_naive_error(
    kind: str, tmp_path: Path
) -> None:
    features = featured(tmp_path, growing())
    found = judged(features, tmp_path / "model", kind)
    assert found.metrics["mase"] < 0.5 * found.baseline["mase"]
    note = next(note for note in found.notes if "exponential smoothing" in note)
    assert not any(gain.low < 0 and gain.high < 0 for gain in found.gains), note


def test_a_package_of_before_adds_to_the_seasonal_naive(tmp_path: Path) -> None:
    features = featured(tmp_path, growing())
    file = features / "assets" / Schema.FILE
    values = json.loads(file.read_text())
    assert values.pop("smoothing")
    file.write_text(json.dumps(values))
    host = ForecastHost(features / "assets")
    seen = host.inputs([host.Request(values=[1.0] * 12 + [2.0] * 12, times=months(24))])
    np.testing.assert_allclose(seen.restored(seen.arrays["future"][..., 0])[0], 2.0, rtol=1e-6)


def test_a_package_from_before_logarithms_smooths_values(tmp_path: Path) -> None:
    features = featured(tmp_path, swinging())
    file = features / "assets" / Schema.FILE
    values = json.loads(file.read_text())
    for name in ("logarithms", "growth"):
        assert values["smoothing"].pop(name)
    file.write_text(json.dumps(values))
    host = ForecastHost(features / "assets")
    y = swinging()[:24]
    seen = host.inputs([host.Request(values=y.tolist(), times=months(24))])
    own = np.concatenate([np.full(host.schema.context - 24, np.nan), y])[None]
    weights = Weights.model_validate(values["smoothing"])
    assert not weights.logarithms
    expected = smoothed(weights, own, 12, 12)
    found = seen.restored(seen.arrays["future"][..., 0])
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_run_that_continues_a_model_keeps_the_weights_that_it_learned_to_add_to(
    tmp_path: Path,
) -> None:
    config = {"model": {"kind": "smoothing"}, "features": {"horizon": 12}}
    family = Forecast(ForecastConfig.model_validate(config))
    first = features_of(family, folder(tmp_path / "raw", growing()), tmp_path / "features")
    model = model_of(family, first, tmp_path / "model")
    other = folder(tmp_path / "later", growing()[::-1].copy())
    own = features_of(family, other, tmp_path / "own")
    continued = features_of(family, other, tmp_path / "continued", base=model)
    weights = Schema.load(first / "assets").smoothing
    assert weights is not None
    assert Schema.load(own / "assets").smoothing != weights
    assert Schema.load(continued / "assets").smoothing == weights


def months(count: int) -> list[str]:
    return [month.strftime("%Y-%m-%d") for month in MONTHS[:count]]
