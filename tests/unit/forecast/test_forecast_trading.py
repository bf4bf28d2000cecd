"""Trading on forecasts: nothing of what comes is known, costs are paid, limits hold whatever prices
and signals do."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from modelyard.errors import BadData
from modelyard.families.forecast.backtest import market_of, outlook_of
from modelyard.families.forecast.broker import PaperBroker
from modelyard.families.forecast.config import ForecastConfig, ForecastTrading
from modelyard.families.forecast.family import Forecast
from modelyard.families.forecast.grid import Grid
from modelyard.families.forecast.host import ForecastHost
from modelyard.families.forecast.panel import Panel
from modelyard.families.forecast.risk import RiskManager
from modelyard.families.forecast.trading import (
    CASH,
    Backtest,
    Market,
    Outlook,
    buy_and_hold,
    figures,
    run,
)
from modelyard.families.forecast.window import Schema
from modelyard.runtimes.types import Arrays

DAYS = Grid(unit="business days", every=1)
EVERY = ForecastTrading(backtest=True)


def market(
    seed: int, steps: int = 400, assets: int = 4, spread: float = 0.01, drift: float = 0.0
) -> Market:
    rng = np.random.default_rng(seed)
    returns = drift + spread * rng.standard_t(4, (steps, assets))
    closes = 50 * np.exp(np.cumsum(returns, axis=0))
    before = np.concatenate([closes[:1], closes[:-1]])
    opens = before * np.exp(spread / 3 * rng.normal(size=(steps, assets)))
    return Market(np.arange(steps, dtype=float), opens, closes, 60)


def outlook(found: Market, strength: float = 0.05) -> Outlook:
    """Of every step the same strong expectation, from the last close."""
    last = found.closes[found.begin - 1 : -1]
    return Outlook(last * np.exp(strength), np.full(last.shape, 0.02))


def knowing(found: Market) -> Outlook:
    """What comes, known beforehand."""
    last = found.closes[found.begin - 1 : -1]
    come = np.log(found.closes[found.begin :] / last)
    return Outlook(last * np.exp(come), np.full(last.shape, 0.005))


def test_shuffling_the_future_changes_nothing_before_it() -> None:
    found = market(0)
    expected = outlook(found)
    before = run(found, expected, EVERY, DAYS)
    rng = np.random.default_rng(1)
    for cut in (100, 200, 399):
        later = np.arange(cut, len(found.time))
        mixed = rng.permutation(later)
        opens, closes = found.opens.copy(), found.closes.copy()
        opens[later], closes[later] = opens[mixed] * 3, closes[mixed] / 2
        rows = later - found.begin
        median, spread = expected.median.copy(), expected.spread.copy()
        # What is forecast before the first changed step does not know of the change.
        median[rows[1:]] *= rng.uniform(0.5, 2, median[rows[1:]].shape)
        changed = dataclasses.replace(found, opens=opens, closes=closes)
        after = run(changed, Outlook(median, spread), EVERY, DAYS)
        row = cut - found.begin
        assert np.array_equal(after.equity[:row], before.equity[:row])
        # What is traded at the changed step was decided before it.
        assert np.array_equal(after.weights[: row + 1], before.weights[: row + 1])
        assert not np.array_equal(after.equity[row:], before.equity[row:])


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of simulated prices."""
    raw, out = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("features")
    family = Forecast(prices())
    family.sample(raw)
    family.features(raw, out)
    return out


def prices() -> ForecastConfig:
    config = ForecastConfig.debug()
    settings = config.features.model_copy(
        update={"sample": "prices", "trading": EVERY, "sample_days": 300}
    )
    return config.model_copy(update={"features": settings})


def momentum(_: str, arrays: Arrays) -> Arrays:
    """A graph that expects the last value and the trend of the history, in scaled numbers."""
    values = arrays["history"][..., 0]
    ahead = values[:, -1:] + (values[:, -1:] - values[:, -8:-7]) * np.ones((1, 7), np.float32)
    return {"quantiles": np.stack([ahead - 0.5, ahead, ahead + 0.5], axis=-1).astype(np.float32)}


def test_forecasts_that_are_traded_do_not_know_what_comes(features: Path) -> None:
    """The whole way, from the panel: prices, other columns, forecasts, orders."""
    panel, schema = Panel.load(features), Schema.load(features / "assets")
    host = ForecastHost(features / "assets")
    found, steps = market_of(panel, schema, "test")
    before = run(found, outlook_of(host, momentum, panel, steps), EVERY, schema.grid)
    assert len(before.fills) > 20
    middle = len(steps) // 2
    y, past = panel.y.copy(), panel.past.copy()
    rng = np.random.default_rng(0)
    for asset, first in enumerate(steps[middle]):
        later = np.arange(first, panel.start[asset + 1])
        mixed = rng.permutation(later)
        y[later], past[later] = y[mixed] * 1.5, past[mixed] * 1.5
    changed = dataclasses.replace(panel, y=y, past=past)
    again, same = market_of(changed, schema, "test")
    assert np.array_equal(same, steps)
    after = run(again, outlook_of(host, momentum, changed, steps), EVERY, schema.grid)
    assert np.array_equal(after.weights[: middle + 1], before.weights[: middle + 1])
    assert np.array_equal(after.equity[:middle], before.equity[:middle])
    assert not np.array_equal(after.equity[middle:], before.equity[middle:])


def test_orders_are_filled_at_the_open_of_the_step_after(features: Path) -> None:
    panel, schema = Panel.load(features), Schema.load(features / "assets")
    found, steps = market_of(panel, schema, "test")
    names = [column.name for column in schema.past]
    assert np.array_equal(found.opens[found.begin :], panel.past[steps, names.index("open")])
    assert np.array_equal(found.closes[found.begin :], panel.y[steps])
    assert not np.array_equal(found.opens, found.closes)


def test_who_knows_what_comes_earns_and_who_does_not_pays_the_costs() -> None:
    found = market(2)
    free = EVERY.model_copy(update={"commission": 0.0, "slippage": 0.0})
    knows = figures(run(found, knowing(found), free, DAYS), DAYS)
    assert knows["Sharpe ratio"] > 3
    costs = [
        figures(
            run(found, knowing(found), EVERY.model_copy(update={"commission": share}), DAYS), DAYS
        )
        for share in (0.0, 0.001, 0.005)
    ]
    returns = [one["return"] for one in costs]
    assert returns == sorted(returns, reverse=True)
    assert costs[-1]["costs"] > costs[1]["costs"] > costs[0]["costs"] == 0


def test_an_account_adds_up() -> None:
    broker = PaperBroker(1_000.0, 2, commission=0.01, slippage=0.02, most_exposure=1.0)
    price = np.array([10.0, 5.0])
    broker.trade(np.array([20.0, 0.0]), price)
    # 20 shares at 10.20, and 1 % of 204.
    assert broker.cash == pytest.approx(1_000 - 204 - 2.04)
    broker.trade(np.array([0.0, 10.0]), price)
    # Sold at 9.80, bought at 5.10.
    assert broker.cash == pytest.approx(1_000 - 206.04 + 196 * 0.99 - 51 * 1.01)
    assert broker.equity(price) == pytest.approx(broker.cash + 50)
    assert [fill.shares for fill in broker.fills] == [20, -20, 10]


def greedy(seed: int) -> tuple[Market, Outlook]:
    """Signals and prices of every kind at once: crashes, jumps, calm before a storm, wild forecasts."""
    rng = np.random.default_rng(seed)
    steps, assets = 500, 4
    spread = np.where(np.arange(steps) < 250, 0.003, 0.03)[:, None]
    returns = spread * rng.standard_t(3, (steps, assets)).clip(-5, 5)
    returns[300 + 10 * (seed % 5)] = -0.10
    returns[350:380] -= 0.02
    closes = 20 * np.exp(np.cumsum(returns, axis=0))
    before = np.concatenate([closes[:1], closes[:-1]])
    found = Market(
        np.arange(steps, dtype=float),
        before * np.exp(rng.normal(0, 0.01, closes.shape)),
        closes,
        60,
    )
    last = closes[59:-1]
    return found, Outlook(last * np.exp(rng.normal(1, 3, last.shape)), np.full(last.shape, 1e-4))


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_limits_hold_whatever_comes(seed: int, short: bool) -> None:
    found, expected = greedy(seed)
    settings = EVERY.model_copy(
        update={"short": short, "most_exposure": 0.8, "most_weight": 0.3, "drawdown": 0.15}
    )
    made = run(found, expected, settings, DAYS)
    assert made.exposure.max() <= 0.8 + 1e-9
    assert np.abs(made.weights).max() <= 0.3 + 1e-9
    assert np.abs(made.weights).sum(axis=1).max() <= 0.8 + 1e-9
    if not short:
        assert made.weights.min() >= 0
    # What one step may lose beyond the limit: nobody sells before a crash. After a pause the peak
    # counts from what is left, so every stretch between pauses has a limit of its own.
    worst_step = float(np.maximum(-made.returns(), 0).max())
    for stretch in stretches(made):
        peaks = np.maximum.accumulate(stretch)
        assert (1 - stretch / peaks).max() <= 0.15 + worst_step
    # Positions are expected to move within the limit at each decision.
    risk = RiskManager(settings, 252)
    returns = found.closes[1:] / found.closes[:-1] - 1
    for number, weights in enumerate(made.weights):
        assert risk.volatility(weights, returns[: found.begin + number - 1]) <= 0.15 + 1e-9


def stretches(made: Backtest) -> list[np.ndarray]:
    """Equity between pauses of the risk manager."""
    flat = np.abs(made.weights).sum(axis=1) == 0
    found, begin = [], 0
    for step in range(1, len(flat)):
        if flat[step - 1] and not flat[step]:
            begin = step - 1
        if flat[step] and not flat[step - 1]:
            found.append(made.equity[begin : step + 1])
    return [*found, made.equity[begin:]] if not flat[-1] else found


def test_a_drawdown_ends_trading_for_the_pause_and_no_longer() -> None:
    found = market(3, drift=-0.01)
    settings = EVERY.model_copy(update={"drawdown": 0.05, "pause": 15, "volatility": 0.5})
    made = run(found, outlook(found), settings, DAYS)
    flat = np.abs(made.weights).sum(axis=1) == 0
    first = int(np.argmax(flat))
    assert flat[first : first + 15].all()
    assert not flat[first + 17]
    held = run(found, outlook(found), settings.model_copy(update={"drawdown": 0.99}), DAYS)
    assert made.drawdown.max() < held.drawdown.max()


def test_realized_volatility_stays_near_the_limit_and_less_is_asked_for_less() -> None:
    spreads = []
    for limit in (0.05, 0.1):
        settings = EVERY.model_copy(update={"volatility": limit, "drawdown": 0.9})
        found = market(4, steps=900, spread=0.02)
        spreads.append(figures(run(found, outlook(found), settings, DAYS), DAYS)["volatility"])
    assert spreads[0] < 1.2 * 0.05
    assert spreads[1] < 1.2 * 0.1
    assert spreads[1] > 1.5 * spreads[0]


def test_buy_and_hold_is_the_mean_of_the_assets_less_one_purchase() -> None:
    found = market(5)
    made = buy_and_hold(found, EVERY)
    start, end = found.opens[found.begin], found.closes[-1]
    last = found.closes[found.begin - 1]
    bought = start / last
    expected = np.mean(end / start * bought) / bought.mean() - 1
    assert made.equity[-1] / CASH - 1 == pytest.approx(expected, abs=0.004)
    assert len(made.fills) == 4


def test_figures_by_hand() -> None:
    equity = CASH * np.array([1.1, 0.99, 1.2])
    made = Backtest(equity, np.zeros((3, 1)), np.zeros(3), [])
    found = figures(made, DAYS)
    assert found["return"] == pytest.approx(0.2)
    assert found["largest drawdown"] == pytest.approx(0.1)
    returns = np.array([0.1, -0.1, 1.2 / 0.99 - 1])
    assert found["volatility"] == pytest.approx(returns.std() * np.sqrt(252))
    assert found["Sharpe ratio"] == pytest.approx(returns.mean() / returns.std() * np.sqrt(252))


def test_the_card_has_the_curves_and_the_table(features: Path) -> None:
    judged = Forecast(prices()).evaluate(ForecastHost(features / "assets"), momentum, features)
    (table,) = judged.tables
    assert [row[0] for row in table.rows] == ["forecasts", "buy and hold"]
    titles = [plot.title for plot in judged.plots]
    assert titles[-2:] == ["Equity", "Drawdown"]
    drawdown = judged.plots[-1]
    assert all(max(line.y) <= 0 for line in drawdown.series)
    assert any("paper broker" in note for note in judged.notes)


def test_prices_of_nothing_are_refused(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    family = Forecast(prices())
    family.sample(raw)
    file = raw / "prices.csv"
    lines = file.read_text().splitlines()
    cells = lines[40].split(",")
    lines[40] = ",".join([*cells[:5], "-3", cells[6]])
    file.write_text("\n".join(lines))
    (tmp_path / "out").mkdir()
    with pytest.raises(BadData, match=r"prices above 0; the least of close is -3.*backtest=false"):
        family.features(raw, tmp_path / "out")
