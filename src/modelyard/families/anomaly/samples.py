"""Simulated machines: seasonal load, correlated sensors, noise, and anomalies of four kinds."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from modelyard.families.anomaly.config import AnomalyFeatures

COLUMNS = (
    "speed",
    "current",
    "pressure",
    "flow",
    "bearing_temperature",
    "oil_temperature",
    "vibration",
    "ambient",
)
KINDS = ("spike", "level shift", "stuck sensor", "decorrelation")
DAY = 288
"""Rows of a day, five minutes apart."""
WARM_UP = 2 * DAY
START = datetime(2026, 1, 1)
PAUSE = 150
"""Mean rows between two anomalies."""
LONGEST = 60


def write_sample(raw: Path, settings: AnomalyFeatures, seed: int) -> None:
    """Writes `machine-<n>.csv`: time, sensors, label and kind of anomaly.

    Anomalies lie where the validation and test splits will, and in earlier rows for
    `sample_contamination`.
    """
    early = 1 - settings.validation_share - settings.test_share
    for machine in range(settings.sample_series):
        rng = np.random.default_rng([seed, machine])
        x = simulate(machine, settings.sample_rows, rng, settings.sample_drift)
        kinds = np.full(len(x), -1)
        border = round(early * len(x)) + settings.window
        inject(x, kinds, border, len(x), PAUSE, rng)
        if settings.sample_contamination:
            pause = round(_mean_length() * (1 / settings.sample_contamination - 1))
            inject(x, kinds, 0, border, pause, rng)
        _write(raw / f"machine-{machine + 1}.csv", x, kinds)


def simulate(machine: int, rows: int, rng: np.random.Generator, drift: float = 0.0) -> np.ndarray:
    """Normal measurements of one machine, float64 (rows, 8), in the order of COLUMNS.

    A daily load drives all sensors; temperatures follow it slowly. The machine's own traits follow
    from its number, the noise from `rng`: another `rng` gives a fresh stretch of the same machine.
    """
    traits = np.random.default_rng([41, machine]).normal(0, 1, 3)
    steps = np.arange(rows + WARM_UP)
    day = 2 * np.pi * steps / DAY + 0.2 * traits[0]
    wander = _autoregressive(len(steps), 0.9, 0.06, rng)
    load = np.clip(0.55 + 0.25 * np.sin(day) + 0.08 * np.sin(2 * day) + wander, 0.02, 1.2)
    ambient = 18 + 4 * drift + 5 * np.sin(day - 2) + _autoregressive(len(steps), 0.95, 0.5, rng)
    speed = 900 + 600 * load + 5 * traits[1]
    current = 8 + 22 * load**1.5 + 0.1 * traits[2]
    pressure = 2 + 3 * (speed / 1500) ** 2
    flow = 30 * speed / 1500 + 2 * load
    bearing = 35 + 0.8 * (ambient - 18) + 30 * _lagged(load, 8) + 6 * drift
    oil = 40 + 0.5 * (ambient - 18) + 22 * _lagged(load, 24)
    vibration = (0.8 + 1.5 * load**2) * (1 + 0.5 * drift)
    sensors = [speed, current, pressure, flow, bearing, oil, vibration, ambient]
    # The lags need some rows to forget where they began.
    clean = np.stack(sensors, axis=1)[WARM_UP:]
    noise = np.array([8, 0.4, 0.05, 0.35, 0.5, 0.4, 0.06, 0.2])
    return np.asarray(clean + rng.normal(0, 1, clean.shape) * noise)


def inject(
    x: np.ndarray, kinds: np.ndarray, first: int, last: int, pause: int, rng: np.random.Generator
) -> None:
    """Puts anomalies into rows `first` to `last` of `x` (rows, columns); `kinds` (rows,) gets their
    number in KINDS.

    Each disturbs one sensor. They take turns, `pause` rows apart on average.
    """
    spread, source = x.std(axis=0), x.copy()
    start = first + int(rng.integers(pause // 2, pause + 1))
    number = int(rng.integers(len(KINDS)))
    while start + LONGEST < last:
        kind = number % len(KINDS)
        column = int(rng.integers(x.shape[1]))
        if KINDS[kind] == "spike":
            length = int(rng.integers(1, 4))
        else:
            length = int(rng.integers(20, LONGEST + 1))
        rows = slice(start, start + length)
        sensor, size = source[:, column], float(spread[column])
        x[rows, column] = _disturbed(KINDS[kind], sensor, rows, size, rng)
        kinds[rows] = kind
        start += length + int(rng.integers(pause // 2, 3 * pause // 2 + 1))
        number += 1


def _disturbed(
    kind: str, sensor: np.ndarray, rows: slice, spread: float, rng: np.random.Generator
) -> np.ndarray:
    sign, size = float(rng.choice([-1, 1])), float(rng.uniform(0, 1))
    now = sensor[rows]
    if kind == "spike":
        return now + sign * (1.2 + 1.5 * size) * spread
    if kind == "level shift":
        return now + sign * (0.8 + 0.8 * size) * spread
    if kind == "stuck sensor":
        return np.full(len(now), now[0])
    other = (rows.start + int(rng.integers(DAY // 3, 2 * DAY // 3))) % (len(sensor) - len(now))
    return sensor[other : other + len(now)].copy()


def _mean_length() -> float:
    return (2 + 3 * (20 + LONGEST) / 2) / 4


def _autoregressive(
    steps: int, memory: float, spread: float, rng: np.random.Generator
) -> np.ndarray:
    """A stationary first-order process with standard deviation `spread`."""
    shocks = rng.normal(0, spread * np.sqrt(1 - memory**2), steps)
    return _recursive(shocks, memory)


def _lagged(signal: np.ndarray, steps: float) -> np.ndarray:
    """A first-order lag with time constant `steps`."""
    memory = float(np.exp(-1 / steps))
    return _recursive((1 - memory) * signal, memory)


def _recursive(inputs: np.ndarray, memory: float) -> np.ndarray:
    """y[t] = memory * y[t-1] + inputs[t], cut where older inputs weigh nothing."""
    weights = memory ** np.arange(int(np.log(1e-9) / np.log(memory)) + 1)
    return np.convolve(inputs, weights)[: len(inputs)]


def _write(file: Path, x: np.ndarray, kinds: np.ndarray) -> None:
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["time", *COLUMNS, "label", "kind"])
        time = START
        for row, kind in zip(np.round(x, 4).tolist(), kinds.tolist(), strict=True):
            named = KINDS[kind] if kind >= 0 else ""
            writer.writerow([time.isoformat(), *row, int(kind >= 0), named])
            time += timedelta(minutes=5)
