"""Many series at once, files that write dates as people in the United States do, and quantiles
that a run sets."""

from __future__ import annotations

import importlib
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelyard.errors import BadData
from modelyard.families.forecast.config import ForecastConfig, ForecastFeatures
from modelyard.families.forecast.data import ForecastData
from modelyard.families.forecast.family import Forecast
from modelyard.families.forecast.host import GRAPH, ForecastHost
from modelyard.families.forecast.panel import Panel
from modelyard.families.forecast.window import Schema
from modelyard.runtimes.types import Arrays
from modelyard.training.loop import Trainer

POINTS = 200
DAYS = pd.date_range("2025-01-06", periods=POINTS)
EACH = 0.006
"""Seconds of the processor a series at most: 10,000 then take a minute. About 0.001 was measured."""


def panel_table(series: int, dates: pd.Index) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    level = np.repeat(rng.uniform(10, 90, series), POINTS)
    return pd.DataFrame(
        {
            "store": np.repeat([f"store {number}" for number in range(series)], POINTS),
            "date": np.tile(dates, series),
            "sales": (level * rng.lognormal(0, 0.1, series * POINTS)).round(2),
        }
    )


def trained(folder: Path, table: pd.DataFrame, **settings: object) -> tuple[Path, dict]:
    raw, out = folder / "raw", folder / "out"
    raw.mkdir()
    out.mkdir()
    table.to_csv(raw / "table.csv", index=False)
    features = ForecastFeatures.model_validate({"horizon": 7, "context": 28, **settings})
    return out, ForecastData(ForecastConfig(features=features)).features(raw, out)


def naive(name: str, arrays: Arrays) -> Arrays:
    assert name == GRAPH
    middle = arrays["future"][..., 0]
    return {"quantiles": np.stack([middle - 1, middle, middle + 1], axis=-1)}


def test_many_series_take_milliseconds_each_and_each_time_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = trained(tmp_path, panel_table(3, DAYS))
    host = ForecastHost(out / "assets")
    count = 400
    panel_table(count, DAYS).to_csv(tmp_path / "new.csv", index=False)
    host.read_file(tmp_path / "raw" / "table.csv")  # what is imported once does not count
    module = importlib.import_module("modelyard.kit.tables.times")
    read: list[str] = []
    before = module._seconds
    monkeypatch.setattr(module, "_seconds", lambda *a: read.append(a[0]) or before(*a))
    start = time.process_time()
    bodies = host.read_file(tmp_path / "new.csv")
    assert bodies is not None
    requests = [
        host.Request.model_validate({k: v for k, v in body.items() if k != "series"})
        for body in bodies
    ]
    answers = host.predict(naive, requests)
    taken = time.process_time() - start
    assert len(answers) == count
    assert len(read) <= 3 * POINTS
    assert taken < EACH * count


@pytest.mark.parametrize("form", ["%m/%d/%Y", "%m/%d/%Y %I:%M %p", "%m/%d/%Y %H:%M"])
def test_american_dates_give_the_same_series_as_iso(tmp_path: Path, form: str) -> None:
    (tmp_path / "iso").mkdir()
    (tmp_path / "us").mkdir()
    iso, _ = trained(tmp_path / "iso", panel_table(3, DAYS))
    us, summary = trained(tmp_path / "us", panel_table(3, DAYS.strftime(form)))
    expected, found = Panel.load(iso), Panel.load(us)
    np.testing.assert_array_equal(found.time, expected.time)
    np.testing.assert_array_equal(found.y, expected.y)
    assert Schema.load(us / "assets").dates == "month_first"
    assert any("dates were read as month/day/year" in note for note in summary["notes"])


def test_unclear_dates_ask_for_the_setting_and_answers_follow_the_training(tmp_path: Path) -> None:
    # One day of each year: nothing shows which number is the day.
    years = pd.date_range("1700-02-01", periods=POINTS, freq="YS-FEB")
    table = panel_table(3, years.strftime("%d/%m/%Y"))
    (tmp_path / "a").mkdir()
    with pytest.raises(BadData, match="'01/02/1700' may have the day or the month first"):
        trained(tmp_path / "a", table)
    (tmp_path / "b").mkdir()
    out, _ = trained(tmp_path / "b", table, dates="day_first")
    schema = Schema.load(out / "assets")
    assert (schema.dates, schema.grid.unit) == ("day_first", "months")
    bodies = ForecastHost(out / "assets").read_file(tmp_path / "b" / "raw" / "table.csv")
    assert bodies is not None
    assert bodies[0]["times"][-1] == years[-1].isoformat()


def test_the_quantiles_of_the_model_are_trained_and_named_whatever_the_features_say(
    tmp_path: Path,
) -> None:
    """In a pipeline the features stage has the default quantiles."""
    features, _ = trained(tmp_path, panel_table(3, DAYS))
    assert Schema.load(features / "assets").quantiles == [0.1, 0.5, 0.9]
    values = ForecastConfig.debug().model_dump()
    values["model"] |= {"quantiles": (0.05, 0.25, 0.5, 0.95)}
    values["training"] |= {"epochs": 1}
    family = Forecast(ForecastConfig.model_validate(values))
    model = tmp_path / "model"
    shutil.copytree(features / "assets", model / "assets")
    family.fit(features, model, Trainer(seed=0, settings=family.config.training))
    host = ForecastHost(model / "assets")
    (body,) = family.requests(features, "test", 1)
    (answer,) = host.predict(family.native(model), [host.Request.model_validate(body)])
    assert list(answer.quantiles) == ["0.05", "0.25", "0.5", "0.95"]
    assert answer.median == answer.quantiles["0.5"]
