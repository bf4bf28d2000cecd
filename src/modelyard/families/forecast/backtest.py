"""The card's part on trading: forecasts of prices, traded on a split next to buying and holding."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from modelyard.errors import BadData
from modelyard.families.forecast.trading import (
    DECILES,
    NORMAL_DECILES,
    Backtest,
    Market,
    Outlook,
    buy_and_hold,
    figures,
    run,
)
from modelyard.families.forecast.window import inputs_of
from modelyard.judging.evaluation import Evaluation, Plot, Series, Table

if TYPE_CHECKING:
    from modelyard.families.forecast.config import ForecastTrading
    from modelyard.families.forecast.host import ForecastHost
    from modelyard.families.forecast.panel import Panel
    from modelyard.families.forecast.window import Schema
    from modelyard.family import Split
    from modelyard.runtimes.types import Runtime

TRADING = "trading.json"
"""In a features folder whose forecasts are traded: how."""
OPEN = "open"
"""The column, in any case, whose prices orders are filled at."""
LEAST_SPREAD = 1e-4
"""Of a forecast's logarithm."""
AT_ONCE = 512


def with_trading(
    judged: Evaluation,
    host: ForecastHost,
    runtime: Runtime,
    panel: Panel,
    schema: Schema,
    settings: ForecastTrading,
    split: Split,
) -> Evaluation:
    """The evaluation with the backtest's table, curves and note."""
    market, steps = market_of(panel, schema, split)
    outlook = outlook_of(host, runtime, panel, steps)
    found = run(market, outlook, settings, schema.grid)
    accounts = {"forecasts": found, "buy and hold": buy_and_hold(market, settings)}
    rows: list[list[str | float]] = []
    for name, account in accounts.items():
        values = figures(account, schema.grid).values()
        rows.append([name, *(f"{value:.3g}" for value in values)])
    table = Table(
        title=f"Trading on the {split} split, with costs and slippage",
        columns=["", *figures(found, schema.grid)],
        rows=rows,
    )
    if _opens(schema) is None:
        filled = "close"
    else:
        filled = "open"
    note = (
        f"Traded {steps.shape[1]} assets over {len(steps):,} steps in a paper broker: {len(found.fills):,} orders, "
        f"each decided before its step and filled at its {filled}. A backtest is one path of the past, and no promise."
    )
    return judged.model_copy(
        update={
            "tables": [*judged.tables, table],
            "plots": [*judged.plots, *_plots(accounts)],
            "notes": [*judged.notes, note],
        }
    )


def market_of(panel: Panel, schema: Schema, split: Split) -> tuple[Market, np.ndarray]:
    """Prices of all series where each has one, and the panel's steps that are traded, int64 (steps,
    assets): the split's with a history in front and a horizon ahead in every series.

    Raises:
        BadData: a price is not above 0, or the series have no step in common.
    """
    if np.nanmin(panel.y) <= 0:
        raise BadData(
            f"trading needs prices above 0; the least of {schema.target} is {np.nanmin(panel.y):g}. "
            "Type: --set features.trading.backtest=false"
        )
    # The steps of each asset, as places in the panel.
    columns = []
    for low, high in itertools.pairwise(panel.start):
        columns.append(np.arange(low, high))
    times = moments_in_common([panel.time[steps] for steps in columns])
    common = [steps[np.searchsorted(panel.time[steps], times)] for steps in columns]
    places = np.stack(common, axis=1)
    first, end = panel.bounds(split)
    inside = np.asarray((places >= first) & (places < end))
    inside &= places >= panel.start[:-1] + schema.least_history
    inside &= places + schema.horizon <= panel.start[1:]
    inside = np.asarray(inside.all(axis=1))
    if inside.sum() < 2:
        raise BadData(
            f"trading needs steps that all series have; in the {split} split there are {inside.sum()}. "
            "Type: --set features.trading.backtest=false"
        )
    closes = _carried(panel.y[places])
    # Before its first price nothing can be carried on.
    whole = int(np.argmax(np.isfinite(closes).all(axis=1)))
    times, places = times[whole:], places[whole:]
    inside, closes = inside[whole:], closes[whole:]
    number = _opens(schema)
    opens = closes
    if number is not None:
        opens = panel.past[places, number]
        opens = np.where(np.isfinite(opens) & (opens > 0), opens, closes)
    begin, last = int(np.argmax(inside)), int(len(inside) - np.argmax(inside[::-1]))
    market = Market(times[:last], opens[:last], closes[:last], begin)
    return market, places[begin:last]


def moments_in_common(times: list[np.ndarray]) -> np.ndarray:
    """Moments that every series has, ascending."""
    found = times[0]
    for other in times[1:]:
        found = np.intersect1d(found, other)
    return found


def outlook_of(host: ForecastHost, runtime: Runtime, panel: Panel, steps: np.ndarray) -> Outlook:
    """What is forecast right before each of these steps, (steps, assets)."""
    found = []
    schema, origins = host.schema, steps.ravel()
    for some in np.array_split(origins, max(1, len(origins) // AT_ONCE)):
        quantiles = host.forecast(runtime, inputs_of(schema, panel.windows(schema, some)))
        found.append(quantiles[:, -1])
    ahead = np.concatenate(found).reshape(*steps.shape, -1)
    levels = np.array(schema.quantiles)
    # A forecast may be 0, which has no logarithm.
    ahead = np.maximum(ahead, np.finfo(np.float32).tiny)
    logs = np.log(ahead)
    width = (levels[-1] - levels[0]) * NORMAL_DECILES / DECILES
    spread = np.maximum((logs[..., -1] - logs[..., 0]) / width, LEAST_SPREAD)
    return Outlook(ahead[..., schema.quantiles.index(0.5)], spread)


def _opens(schema: Schema) -> int | None:
    names = [column.name.strip().casefold() for column in schema.past]
    if OPEN in names:
        return names.index(OPEN)
    return None


def _carried(prices: np.ndarray) -> np.ndarray:
    """A step without a price keeps the last one, (steps, assets)."""
    # The step of the latest price so far, by asset.
    places = np.where(np.isfinite(prices), np.arange(len(prices))[:, None], 0)
    return np.take_along_axis(prices, np.maximum.accumulate(places, axis=0), axis=0)


def _plots(accounts: dict[str, Backtest]) -> list[Plot]:
    curves, falls = [], []
    for name, account in accounts.items():
        steps = np.arange(len(account.equity), dtype=float).tolist()
        equity = account.equity / account.equity[0]
        curves.append(Series(name=name, x=steps, y=equity.tolist()))
        falls.append(Series(name=name, x=steps, y=(-100 * account.drawdown).tolist()))
    return [
        Plot(
            kind="line",
            title="Equity",
            x_label="steps traded",
            y_label="of the first step's",
            series=curves,
        ),
        Plot(
            kind="line",
            title="Drawdown",
            x_label="steps traded",
            y_label="below the highest so far, %",
            series=falls,
        ),
    ]
