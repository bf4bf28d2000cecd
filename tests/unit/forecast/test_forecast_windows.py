"""What a forecast sees: the same in training and in serving, and nothing of what comes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from modelyard.families.forecast.config import ForecastConfig, ForecastModel
from modelyard.families.forecast.family import Forecast
from modelyard.families.forecast.host import ForecastHost
from modelyard.families.forecast.network import KINDS, pinball
from modelyard.families.forecast.panel import Panel
from modelyard.families.forecast.window import Schema, inputs_of, seasonal_naive


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the built-in data, some values of which are missing."""
    raw, out = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("features")
    family = Forecast(ForecastConfig.debug())
    family.sample(raw)
    lines = (raw / "shops.csv").read_text().splitlines()
    kept = [line for number, line in enumerate(lines) if number % 29 != 5]
    (raw / "shops.csv").write_text("\n".join(kept) + "\n")
    with_known = family.config.features.model_copy(update={"known": ("promotion",)})
    config = family.config.model_copy(update={"features": with_known})
    Forecast(config).features(raw, out)
    return out


def test_a_request_becomes_what_training_saw_of_its_window(features: Path) -> None:
    panel, schema = Panel.load(features), Schema.load(features / "assets")
    host = ForecastHost(features / "assets")
    origins = panel.origins(schema, "test", schema.horizon)
    bodies = Forecast(ForecastConfig.debug()).requests(features, "test")
    assert any(None in body["values"] for body in bodies)
    seen = host.inputs([host.Request.model_validate(body) for body in bodies])
    trained = inputs_of(schema, panel.windows(schema, origins))
    for name in ("history", "future"):
        np.testing.assert_array_equal(seen.arrays[name], trained.arrays[name])
    np.testing.assert_array_equal(seen.naive, trained.naive)


def test_nothing_that_comes_later_changes_what_a_forecast_sees(features: Path) -> None:
    """But for columns that are known ahead."""
    panel, schema = Panel.load(features), Schema.load(features / "assets")
    origins = panel.origins(schema, "test", schema.horizon)[:1]
    later = np.arange(len(panel.y)) >= origins[0]
    shuffled = dataclasses.replace(
        panel,
        y=np.where(later, panel.y[::-1] * 7 + 1, panel.y),
        past=np.where(later[:, None], panel.past[::-1] - 3, panel.past),
    )
    before = inputs_of(schema, panel.windows(schema, origins))
    after = inputs_of(schema, shuffled.windows(schema, origins))
    for name in ("history", "future"):
        np.testing.assert_array_equal(before.arrays[name], after.arrays[name])
    changed = dataclasses.replace(panel, y=np.where(later, panel.y, panel.y * 7 + 1))
    other = inputs_of(schema, changed.windows(schema, origins))
    assert np.abs(other.level - before.level).max() > 1


def test_the_window_before_a_series_begins_is_marked_as_missing(features: Path) -> None:
    panel, schema = Panel.load(features), Schema.load(features / "assets")
    second = int(panel.start[1])
    origins = np.array([second + 2 * schema.season])
    windows = panel.windows(schema, origins)
    assert np.isnan(windows.values[0, : schema.context - 2 * schema.season]).all()
    history = inputs_of(schema, windows).arrays["history"][0]
    assert not history[: schema.context - 2 * schema.season].any()


def test_splits_share_no_step_ahead(features: Path) -> None:
    panel, schema = Panel.load(features), Schema.load(features / "assets")
    ahead = {}
    for split in ("train", "validation", "test"):
        origins = panel.origins(schema, split)
        ahead[split] = set((origins[:, None] + np.arange(schema.horizon)).ravel().tolist())
    assert not ahead["train"] & ahead["validation"]
    assert not ahead["validation"] & ahead["test"]
    assert max(ahead["train"] | ahead["validation"]) > min(ahead["test"])  # series by series


def test_the_seasonal_naive_repeats_the_last_season() -> None:
    values = np.arange(10.0)[None]
    np.testing.assert_array_equal(
        seasonal_naive(values, 3, 7)[0], [7.0, 8.0, 9.0, 7.0, 8.0, 9.0, 7.0]
    )


def test_the_seasonal_naive_passes_over_what_is_missing() -> None:
    values = np.arange(10.0)[None]
    values[0, 8] = np.nan
    np.testing.assert_array_equal(seasonal_naive(values, 3, 3)[0], [7.0, 5.0, 9.0])
    np.testing.assert_array_equal(seasonal_naive(np.full((1, 4), np.nan), 2, 2), [[np.nan] * 2])


def test_a_history_shorter_than_a_season_repeats_its_last_value() -> None:
    np.testing.assert_array_equal(seasonal_naive(np.array([[4.0, 6.0]]), 5, 3), [[6.0] * 3])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_quantiles_never_cross(kind: str, features: Path) -> None:
    schema = Schema.load(features / "assets")
    torch.manual_seed(0)
    network = KINDS[kind](schema, ForecastModel(width=16, heads=2, patch=7)).eval()
    history = 5 * torch.randn(50, schema.context, schema.history_width)
    future = 5 * torch.randn(50, schema.horizon, schema.future_width)
    found = network(history, future)["quantiles"]
    assert (found.diff(dim=-1) > 0).all()


def test_the_loss_of_quantiles_by_hand() -> None:
    quantiles = torch.tensor([[[1.0, 3.0]]])
    levels = torch.tensor([0.1, 0.5])
    # 2 above the first: .1 · 2; 0 above the second.
    assert pinball(quantiles, torch.tensor([[3.0]]), levels).item() == pytest.approx(0.1)
    # 1 below the first: .9 · 1; 3 below the second: .5 · 3.
    assert pinball(quantiles, torch.tensor([[0.0]]), levels).item() == pytest.approx(1.2)
