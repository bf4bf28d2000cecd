"""Forecasts of series in time: quantiles of the steps that come next."""

from modelyard.families.forecast.config import ForecastConfig
from modelyard.family import Entry

FAMILY = Entry(
    "forecasts of series in time, with quantiles",
    ForecastConfig,
    data=".data:ForecastData",
    build=".family:Forecast",
    host=".host:ForecastHost",
)
