"""A broker on paper: orders filled at the next price, with slippage and commission, within a margin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ROUNDS = 30
"""Each leaves the share of the costs of what the one before was off."""


@dataclass(frozen=True)
class Fill:
    """One order, filled."""

    asset: int
    shares: float
    """Above 0 bought, below 0 sold."""
    price: float
    """With slippage."""
    commission: float


class PaperBroker:
    """Holds cash and fractions of shares; one account of several assets."""

    def __init__(
        self, cash: float, assets: int, *, commission: float, slippage: float, most_exposure: float
    ) -> None:
        """
        Args:
            commission: share of a trade's value.
            slippage: share of the price by which a buyer pays more and a seller gets less.
            most_exposure: largest value of all positions, long and short, in parts of the equity.
        """
        self.cash = cash
        self.shares = np.zeros(assets)
        self.commission, self.slippage = commission, slippage
        self.most_exposure = most_exposure
        self.fills: list[Fill] = []

    def equity(self, prices: np.ndarray) -> float:
        """Cash and positions at these prices (assets,)."""
        return self.cash + float(self.shares @ prices)

    def exposure(self, prices: np.ndarray) -> float:
        """Value of all positions, long and short, in parts of the equity."""
        return float(np.abs(self.shares) @ prices / self.equity(prices))

    def trade(self, wanted: np.ndarray, prices: np.ndarray) -> None:
        """Orders up to `wanted` shares (assets,), filled at `prices`; what would exceed the margin at
        these prices is cut, for they may have left those that the orders were made at."""
        wanted = wanted * self._fits(wanted, prices)
        changes = wanted - self.shares
        # What is sold pays for what is bought.
        for asset in np.argsort(changes, kind="stable").tolist():
            if changes[asset] != 0:
                self._fill(asset, float(changes[asset]), float(prices[asset]))

    def _fits(self, wanted: np.ndarray, prices: np.ndarray) -> float:
        """By how much positions are to be scaled, for the equity left after costs to bear them."""
        value, equity = float(np.abs(wanted) @ prices), self.equity(prices)
        if value <= 0 or equity <= 0:
            return 0.0
        cost = self.slippage + self.commission * (1 + self.slippage)
        scale = 1.0
        # Costs follow from what is traded, which follows from the scale: a few rounds settle both.
        for _ in range(ROUNDS):
            moved = float(np.abs(scale * wanted - self.shares) @ prices)
            scale = min(1.0, self.most_exposure * max(equity - cost * moved, 0.0) / value)
        return scale

    def _fill(self, asset: int, shares: float, price: float) -> None:
        price *= 1 + self.slippage * np.sign(shares)
        commission = abs(shares) * price * self.commission
        self.cash -= shares * price + commission
        self.shares[asset] += shares
        self.fills.append(Fill(asset, shares, price, commission))
