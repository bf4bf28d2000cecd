"""A backtest of forecasts on the steps that a model was not trained on: signals, sizes, the risk
manager, orders in a paper broker.

It walks forward: at each step everything is decided by what was there before, and traded at the next price.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from modelyard.families.forecast.broker import Fill, PaperBroker
from modelyard.families.forecast.grid import DAY, Grid
from modelyard.families.forecast.risk import RiskManager

if TYPE_CHECKING:
    from modelyard.families.forecast.config import ForecastTrading

CASH = 100_000.0
"""The account begins with; only ratios count."""
NORMAL_DECILES = 2.563
"""Of a normal distribution the 10 % and 90 % quantile are so many standard deviations apart."""
DECILES = 0.8
BUSINESS_DAYS = 252
"""A year."""


@dataclass(frozen=True)
class Market:
    """Prices of assets step by step, with a history in front."""

    time: np.ndarray
    """Seconds or numbers that count, (steps,)."""
    opens: np.ndarray
    """What orders are filled at, (steps, assets); the close where there is no such column."""
    closes: np.ndarray
    """(steps, assets)."""
    begin: int
    """First step that is traded."""


@dataclass(frozen=True)
class Outlook:
    """Forecasts made before each traded step, (steps, assets): of the price a horizon ahead the
    median, and the standard deviation of its logarithm."""

    median: np.ndarray
    spread: np.ndarray


@dataclass(frozen=True)
class Backtest:
    """What became of an account."""

    equity: np.ndarray
    """At each traded step's close, (steps,)."""
    weights: np.ndarray
    """Decided before each step, in parts of the equity, (steps, assets)."""
    exposure: np.ndarray
    """After the orders of each step were filled, at their prices, (steps,)."""
    fills: list[Fill]

    @property
    def drawdown(self) -> np.ndarray:
        """What the equity lies below its highest so far, as a share, (steps,)."""
        peaks = np.maximum.accumulate(np.maximum(self.equity, CASH))
        return np.asarray(1 - self.equity / peaks)

    def returns(self) -> np.ndarray:
        """Of each step, (steps,)."""
        before = np.concatenate([[CASH], self.equity[:-1]])
        return np.asarray(self.equity / before - 1)


def signals(outlook: Outlook, price: np.ndarray) -> np.ndarray:
    """Expected change of the logarithm of the price over its uncertainty, from -1 to 1, (assets,)."""
    return np.asarray(np.clip(np.log(outlook.median / price) / outlook.spread, -1, 1))


def sizes(signal: np.ndarray, returns: np.ndarray, target: float) -> np.ndarray:
    """Weights (assets,) at which each asset adds about the same risk, `target` in all at full signal.

    Args:
        target: standard deviation of a step's return.
    """
    spread = np.maximum(returns.std(axis=0), 1e-6)
    return np.asarray(signal * target / spread / np.sqrt(len(signal)))


def run(market: Market, outlook: Outlook, settings: ForecastTrading, grid: Grid) -> Backtest:
    """Trades the forecasts from `market.begin` on; `outlook` has a row for each of these steps."""
    year = steps_a_year(grid)
    risk = RiskManager(settings, year)
    broker = _broker(market, settings, settings.most_exposure)
    target = settings.volatility / np.sqrt(year)
    equity, weights, exposure = [], [], []
    for number, step in enumerate(range(market.begin, len(market.time))):
        # Up to the close before: this step's prices are not there yet.
        known = market.closes[:step]
        returns = known[1:] / known[:-1] - 1
        last = known[-1]
        now = Outlook(outlook.median[number], outlook.spread[number])
        wanted = sizes(signals(now, last), returns[-settings.window :], target)
        decided = risk.allowed(wanted, returns, broker.equity(last))
        broker.trade(decided * broker.equity(last) / last, market.opens[step])
        exposure.append(broker.exposure(market.opens[step]))
        equity.append(broker.equity(market.closes[step]))
        weights.append(decided)
    return Backtest(np.array(equity), np.array(weights), np.array(exposure), broker.fills)


def buy_and_hold(market: Market, settings: ForecastTrading) -> Backtest:
    """The same amount of each asset, bought at the first step and kept."""
    broker = _broker(market, settings, 1.0)
    steps, assets = len(market.time) - market.begin, market.closes.shape[1]
    last = market.closes[market.begin - 1]
    share = np.full(assets, 1 / assets)
    broker.trade(share * CASH / last, market.opens[market.begin])
    exposure = broker.exposure(market.opens[market.begin])
    equity = [broker.equity(prices) for prices in market.closes[market.begin :]]
    return Backtest(
        np.array(equity), np.tile(share, (steps, 1)), np.full(steps, exposure), broker.fills
    )


def steps_a_year(grid: Grid) -> float:
    """Of a grid; 252 where steps are no times."""
    if grid.unit == "seconds":
        return 365.25 * DAY / grid.every
    if grid.unit == "months":
        return 12 / grid.every
    return BUSINESS_DAYS


def figures(found: Backtest, grid: Grid) -> dict[str, float]:
    """Total and yearly return, yearly volatility, their ratio (Sharpe 1994, over cash without interest), the
    largest drawdown, and what was turned over a year in parts of the equity."""
    year = steps_a_year(grid)
    returns = found.returns()
    total = float(found.equity[-1] / CASH - 1)
    spread = float(returns.std()) * np.sqrt(year)
    traded = sum(abs(fill.shares) * fill.price for fill in found.fills)
    yearly, sharpe = -1.0, 0.0
    # Of a loss of everything and more there is no root.
    if total > -1:
        yearly = float((1 + total) ** (year / len(returns)) - 1)
    if spread > 0:
        sharpe = float(returns.mean()) * year / spread
    return {
        "return": total,
        "return a year": yearly,
        "volatility": spread,
        "Sharpe ratio": sharpe,
        "largest drawdown": float(found.drawdown.max()),
        "turnover a year": traded / float(found.equity.mean()) * year / len(returns),
        "costs": sum(fill.commission for fill in found.fills) / CASH,
    }


def _broker(market: Market, settings: ForecastTrading, most_exposure: float) -> PaperBroker:
    return PaperBroker(
        CASH,
        market.closes.shape[1],
        commission=settings.commission,
        slippage=settings.slippage,
        most_exposure=most_exposure,
    )
