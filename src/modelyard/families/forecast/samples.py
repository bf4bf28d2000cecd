"""Simulated sales of shops: weekly and yearly seasons, growth, promotions that are planned, weather
that is not."""

from __future__ import annotations

import csv
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from modelyard.families.forecast.config import ForecastFeatures

START = date(2023, 1, 2)
WEEK = (0.85, 0.8, 0.9, 1.0, 1.25, 1.5, 0.7)
"""Share of a mean day, from Monday."""


def write_sample(raw: Path, settings: ForecastFeatures, seed: int) -> None:
    """Writes `shops.csv`, a row a shop and day; or `prices.csv`, a row a share and business day."""
    if settings.sample == "prices":
        _write_prices(raw, settings, seed)
        return
    days = np.arange(settings.sample_days)
    with (Path(raw) / "shops.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["date", "shop", "sales", "promotion", "temperature"])
        for shop in range(settings.sample_series):
            sales, promotion, temperature = _shop(days, np.random.default_rng([seed, shop]))
            for day in days.tolist():
                moment = START + timedelta(days=day)
                figures = [int(sales[day]), int(promotion[day]), round(float(temperature[day]), 1)]
                writer.writerow([moment.isoformat(), f"shop {shop + 1:02}", *figures])


def _shop(days: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sales, promotion (0 or 1) and temperature of each day."""
    size, growth = 40 * np.exp(rng.normal(0, 0.8)), rng.normal(0.1, 0.15)
    week = np.array(WEEK) * np.exp(rng.normal(0, 0.1, 7))
    year = 2 * np.pi * days / 365.25
    summer = rng.normal(0.1, 0.15)
    promotion = np.zeros(len(days))
    for begin in range(int(rng.integers(5, 30)), len(days), int(rng.integers(24, 40))):
        promotion[begin : begin + 5] = 1
    weather = _wander(len(days), 0.8, 3.0, rng)
    temperature = 11 - 9 * np.cos(year) + weather
    mood = _wander(len(days), 0.95, 0.1, rng)
    level = size * np.exp(growth * days / 365 - summer * np.cos(year) + mood)
    lift = 1 + (0.35 + 0.1 * rng.normal()) * promotion + 0.012 * weather
    return rng.poisson(np.maximum(level * week[days % 7] * lift, 0.0)), promotion, temperature


def _write_prices(raw: Path, settings: ForecastFeatures, seed: int) -> None:
    days = np.busday_offset(np.datetime64(START), np.arange(settings.sample_days), roll="forward")
    with (Path(raw) / "prices.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["date", "ticker", "open", "high", "low", "close", "volume"])
        for share in range(settings.sample_series):
            cells = _share(len(days), np.random.default_rng([seed, 77, share]))
            for day, row in zip(days, cells, strict=True):
                writer.writerow([str(day), f"S{share + 1:02}", *row])


def _share(days: int, rng: np.random.Generator) -> list[list[float]]:
    """Open, high, low, close and volume of each day: a drift that changes slowly, under noise whose
    size changes too."""
    spread = 0.012 * np.exp(_wander(days, 0.97, 0.3, rng))
    returns = _wander(days, 0.98, 0.003, rng) + spread * rng.normal(size=days)
    close = 50 * np.exp(rng.normal(0, 0.5) + np.cumsum(returns))
    before = np.concatenate([close[:1], close[:-1]])
    opened = before * np.exp(0.25 * spread * rng.normal(size=days))
    high = np.maximum(opened, close) * np.exp(0.4 * spread * np.abs(rng.normal(size=days)))
    low = np.minimum(opened, close) * np.exp(-0.4 * spread * np.abs(rng.normal(size=days)))
    volume = np.round(1e6 * np.exp(_wander(days, 0.8, 0.4, rng) + 20 * np.abs(returns)))
    prices = np.round(np.stack([opened, high, low, close], axis=1), 4)
    return [[*row, int(size)] for row, size in zip(prices.tolist(), volume, strict=True)]


def _wander(steps: int, memory: float, spread: float, rng: np.random.Generator) -> np.ndarray:
    """A first-order autoregressive process with this standard deviation."""
    shocks = rng.normal(0, spread * np.sqrt(1 - memory**2), steps)
    found = np.zeros(steps)
    for step in range(1, steps):
        found[step] = memory * found[step - 1] + shocks[step]
    return found
