"""Forecasts are judged by the field's formulas, and served with times, bands and reasons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from statsmodels.tsa.holtwinters import ExponentialSmoothing

from modelyard.families.forecast.config import ForecastConfig, ForecastFeatures
from modelyard.families.forecast.evaluate import evaluate
from modelyard.families.forecast.family import Forecast
from modelyard.families.forecast.host import GRAPH, ForecastHost
from modelyard.families.forecast.panel import SMOOTHED, Panel
from modelyard.families.forecast.window import Schema
from modelyard.runtimes.types import Arrays

DAYS = pd.date_range("2025-01-06", periods=240)


def series(rng: np.random.Generator) -> np.ndarray:
    return (20 + 5 * np.sin(2 * np.pi * np.arange(240) / 7) + rng.normal(0, 1, 240)).round(2)


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    raw, out = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("features")
    rng = np.random.default_rng(3)
    parts = [pd.DataFrame({"date": DAYS, "shop": shop, "sales": series(rng)}) for shop in "ab"]
    pd.concat(parts).to_csv(raw / "table.csv", index=False)
    config = ForecastConfig(features=ForecastFeatures(horizon=7, context=28))
    Forecast(config).features(raw, out)
    return out


def naive(name: str, arrays: Arrays) -> Arrays:
    """The simple forecast that a network adds to as a graph, with a band of one scaled unit."""
    assert name == GRAPH
    middle = arrays["future"][..., 0]
    return {"quantiles": np.stack([middle - 1, middle, middle + 1], axis=-1)}


def test_metrics_are_those_of_their_formulas(features: Path) -> None:
    panel, schema = Panel.load(features), Schema.load(features / "assets")
    host = ForecastHost(features / "assets")
    host.schema = schema.model_copy(update={"smoothing": None})
    found = evaluate(host, naive, features, "test")
    scaled, symmetric, apart, sizes = [], [], [], []
    for number in range(2):
        y = panel.y[panel.start[number] : panel.start[number + 1]]
        train = y[: panel.validation[number] - panel.start[number]]
        usual = np.mean([abs(train[step] - train[step - 7]) for step in range(7, len(train))])
        test = int(panel.test[number] - panel.start[number])
        for origin in range(test, len(y) - 6, 7):
            for step in range(origin, origin + 7):
                forecast = y[step - 7]
                scaled.append(abs(y[step] - forecast) / usual)
                symmetric.append(2 * abs(y[step] - forecast) / (abs(y[step]) + abs(forecast)))
                apart.append((y[step], forecast, y[origin - 28 : origin].std()))
                sizes.append(abs(y[step]))
    assert schema.season == 7
    assert found.metrics["mase"] == pytest.approx(np.mean(scaled))
    assert found.baseline["mase"] == pytest.approx(np.mean(scaled))
    assert found.metrics["smape"] == pytest.approx(np.mean(symmetric))
    total = 0.0
    for level, width in ((0.1, -1), (0.5, 0), (0.9, 1)):
        for truth, forecast, spread in apart:
            off = truth - max(forecast + width * spread, 0)
            total += max(level * off, (level - 1) * off)
    assert found.metrics["weighted_quantile_loss"] == pytest.approx(
        2 * total / 3 / sum(sizes), rel=1e-5
    )
    inside = np.mean([abs(truth - forecast) <= spread for truth, forecast, spread in apart])
    assert found.metrics["coverage_gap"] == pytest.approx(abs(inside - 0.8), abs=0.01)


def test_exponential_smoothing_sees_no_step_ahead_of_its_forecast(features: Path) -> None:
    panel, schema = Panel.load(features), Schema.load(features / "assets")
    with np.load(features / SMOOTHED) as arrays:
        origins, forecasts = arrays["test"], arrays["test_forecasts"]
    train = panel.y[: panel.validation[0]]
    form = {"trend": "add", "damped_trend": True, "seasonal": "add", "seasonal_periods": 7}
    form["initialization_method"] = "heuristic"
    weights = ExponentialSmoothing(train, **form).fit().params
    named = ("smoothing_level", "smoothing_trend", "smoothing_seasonal", "damping_trend")
    kept = {name: weights[name] for name in named}
    known = ExponentialSmoothing(panel.y[: origins[0]], **form).fit(optimized=False, **kept)
    np.testing.assert_allclose(forecasts[0], known.forecast(schema.horizon), rtol=1e-5)


def test_an_answer_has_the_times_of_its_steps_and_no_negative_sales(features: Path) -> None:
    host = ForecastHost(features / "assets")
    values = [0.0, 0.0, 0.0, 0.0, 40.0, 40.0, 0.0] * 4
    times = [f"{day:%Y-%m-%d}" for day in pd.date_range("2026-02-02", periods=28)]
    request = host.Request.model_validate({"values": values, "times": times})
    (answer,) = host.predict(naive, [request])
    assert answer.times[0] == "2026-03-02T00:00:00"
    assert len(answer.times) == len(answer.median) == 7
    assert min(answer.quantiles["0.1"]) == 0
    assert answer.median[4] == pytest.approx(40, rel=1e-5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"values": [None] * 28}, "values: none of the last 28"),
        ({"times": ["2026-01-01"]}, "times: 1 for 28 values"),
        ({"times": ["soon"] * 28}, "times: 'soon' (number 1) is no date"),
        (
            {"times": [f"2026-02-{day:02}" for day in range(1, 28)] + ["2026-03-01"]},
            "times: '2026-03-01' after '2026-02-27'; steps are 1 day. Send null",
        ),
        ({"values": []}, "values"),
        ({"values": [1e31] * 28}, "values"),
    ],
)
def test_a_history_with_gaps_in_its_times_is_refused_by_its_field(
    change: dict, says: str, features: Path
) -> None:
    host = ForecastHost(features / "assets")
    (body,) = Forecast(ForecastConfig()).requests(features, "test", 1)
    with pytest.raises(ValidationError) as error:
        host.Request.model_validate(body | change)
    assert says in str(error.value)


def test_short_and_far_histories_are_answered_with_a_caution(features: Path) -> None:
    host = ForecastHost(features / "assets")
    bodies = [
        {"values": [20.0] * 5, "times": [f"2026-02-{day:02}" for day in range(1, 6)]},
        {"values": [9e5] * 28, "times": [f"2026-02-{day:02}" for day in range(1, 29)]},
    ]
    short, far = host.predict(naive, [host.Request.model_validate(body) for body in bodies])
    assert "5 values; training histories had 14 or more" in short.warnings[0].message
    assert "far outside the training data" in far.warnings[0].message


def test_a_file_gives_one_example_a_series_from_its_last_value_on(
    features: Path, tmp_path: Path
) -> None:
    host = ForecastHost(features / "assets")
    rng = np.random.default_rng(5)
    parts = [
        pd.DataFrame({"date": DAYS, "shop": shop, "sales": series(rng)}) for shop in ("x", "y")
    ]
    table = pd.concat(parts)
    table.to_csv(tmp_path / "new.csv", index=False)
    found = host.read_file(tmp_path / "new.csv")
    assert [body["series"] for body in found] == ["x", "y"]
    assert found[1]["values"] == table[table.shop == "y"].sales.tolist()[-28:]
    fields = {"values", "times"}
    request = host.Request.model_validate({name: found[0][name] for name in fields})
    (answer,) = host.predict(naive, [request])
    assert answer.times[0] == (DAYS[-1] + pd.Timedelta(days=1)).isoformat()


def test_reasons_add_what_each_stretch_of_the_history_does(features: Path) -> None:
    host = ForecastHost(features / "assets")
    (body,) = Forecast(ForecastConfig()).requests(features, "test", 1)
    found = host.explain(naive, host.Request.model_validate(body))
    assert set(found.contributions) == {
        "28 to 24 steps back",
        "23 to 19 steps back",
        "18 to 14 steps back",
        "13 to 9 steps back",
        "8 to 5 steps back",
        "4 to 1 steps back",
    }
    # The seasonal naive looks at the last week only.
    assert abs(found.contributions["28 to 24 steps back"]) < 1


def test_a_constant_history_is_scaled_by_the_usual_spread_at_its_level(features: Path) -> None:
    """What a network adds, here one scaled unit, is no larger for it than for others."""
    host = ForecastHost(features / "assets")
    times = [f"2026-02-{day:02}" for day in range(1, 29)]
    found = {}
    for level in (40.0, 4e4, 0.0):
        request = host.Request.model_validate({"values": [level] * 28, "times": times})
        (answer,) = host.predict(naive, [request])
        found[level] = np.array(answer.quantiles["0.9"]) - np.array(answer.median)
    panel, schema = Panel.load(features), Schema.load(features / "assets")
    train = panel.windows(schema, panel.origins(schema, "train", schema.horizon)).values
    spread, size = np.nanstd(train, axis=1), np.abs(np.nanmean(train, axis=1))
    relative = np.median(spread / size)
    assert relative < 0.9
    assert found[40.0] == pytest.approx(40 * relative, rel=0.1)
    assert found[4e4] == pytest.approx(4e4 * relative, rel=0.1)
    assert found[0.0] == pytest.approx(np.median(spread), rel=0.1)


def test_exponential_smoothing_does_not_fill_gaps_by_what_comes(tmp_path: Path) -> None:
    """A line from the last value over a gap to the first step ahead would know this step."""
    values = series(np.random.default_rng(5))
    config = ForecastConfig(features=ForecastFeatures(horizon=7, context=28))
    found = []
    for number, factor in enumerate((1.0, 3.0)):
        raw, out = tmp_path / f"raw{number}", tmp_path / f"out{number}"
        raw.mkdir()
        out.mkdir()
        changed = values.copy()
        # The test steps are the last 48: the first forecast begins at step 192.
        changed[192:] *= factor
        changed[188:192] = np.nan
        pd.DataFrame({"date": DAYS, "sales": changed}).to_csv(raw / "table.csv", index=False)
        Forecast(config).features(raw, out)
        with np.load(out / SMOOTHED) as arrays:
            assert arrays["test"][0] == 192
            found.append(arrays["test_forecasts"][0])
    np.testing.assert_array_equal(found[0], found[1])


def test_steps_of_less_than_a_second_are_answered(tmp_path: Path) -> None:
    times = pd.date_range("2025-01-06", periods=240, freq="100ms")
    table = pd.DataFrame({"time": times.strftime("%Y-%m-%dT%H:%M:%S.%f"), "load": 1.0})
    table["load"] = series(np.random.default_rng(6))
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    out.mkdir()
    table.to_csv(raw / "table.csv", index=False)
    family = Forecast(ForecastConfig(features=ForecastFeatures(horizon=7, context=28)))
    family.features(raw, out)
    host = ForecastHost(out / "assets")
    assert host.schema.grid.words == "0.1 seconds"
    (body,) = family.requests(out, "test", 1)
    (answer,) = host.predict(naive, [host.Request.model_validate(body)])
    first = pd.Timestamp(body["times"][-1]) + pd.Timedelta("100ms")
    assert pd.Timestamp(answer.times[0]) == first


def test_forecasts_that_gaps_keep_from_being_judged_are_counted(tmp_path: Path) -> None:
    values = series(np.random.default_rng(7))
    # Two of the test's six stretches of seven steps have a gap.
    values[[195, 196, 215]] = np.nan
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    out.mkdir()
    pd.DataFrame({"date": DAYS, "sales": values}).to_csv(raw / "table.csv", index=False)
    config = ForecastConfig(features=ForecastFeatures(horizon=7, context=28))
    Forecast(config).features(raw, out)
    found = evaluate(ForecastHost(out / "assets"), naive, out, "test")
    assert found.rows == 4
    assert any(note.startswith("2 further ones are not judged") for note in found.notes)
