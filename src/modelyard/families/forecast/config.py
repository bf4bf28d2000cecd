"""Parameters of the forecast family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from modelyard.settings.family import DateOrder, FamilyConfig, Settings, TrainingSettings
from modelyard.settings.search import Range, choice, real

Kind = Literal["patchtst", "lstm", "smoothing"]

NETWORKS = {"model.kind": ("patchtst", "lstm")}
SEARCH: Mapping[str, Range] = {
    "model.kind": choice("patchtst", "lstm", "smoothing"),
    "model.width": choice(32, 64, 128, when=NETWORKS),
    "model.layers": choice(1, 2, 3, when=NETWORKS),
    "model.patch": choice(4, 8, 16, when={"model.kind": ("patchtst",)}),
    "model.dropout": choice(0.0, 0.1, 0.2, when=NETWORKS),
    "training.learning_rate": real(3e-4, 1e-2, log=True),
    "training.batch_size": choice(64, 128, 256),
}
"""What `modelyard tune` may change."""


class ForecastTrading(Settings):
    """A backtest of forecasts of prices."""

    backtest: bool = False
    """Whether forecasts are traded on paper, on the steps of validation and test; the series are prices then.
    Orders are filled at the column `open` where there is one, else at the close."""
    commission: float = Field(default=0.0005, ge=0, lt=0.1)
    """Of each trade, as a share of its value."""
    slippage: float = Field(default=0.0005, ge=0, lt=0.1)
    """By which a buyer pays more and a seller gets less, as a share of the price."""
    volatility: float = Field(default=0.15, gt=0, le=2)
    """Largest expected standard deviation of a year's return."""
    drawdown: float = Field(default=0.2, gt=0, lt=1)
    """Largest loss from the highest equity: positions shrink from half of it on, and are sold at it."""
    pause: int = Field(default=20, ge=1)
    """Steps without positions after the largest loss."""
    most_exposure: float = Field(default=1.0, gt=0, le=10)
    """Largest value of all positions, long and short, in parts of the equity."""
    most_weight: float = Field(default=0.4, gt=0, le=10)
    """Of one asset."""
    short: bool = False
    """Whether assets are sold that are not held, where their price is expected to fall."""
    window: int = Field(default=20, ge=5)
    """Latest steps that volatility is seen in."""


class ForecastFeatures(Settings):
    """From tables of series to windows."""

    target: str | None = None
    """Column of the values to forecast. None: recognised by its name (`value`, `y`, `sales`,
    `close`, …), or the only column of numbers."""
    time_column: str | None = None
    """Column of dates, times or ascending numbers. None: recognised by its name, or the first column
    of dates."""
    dates: DateOrder = "auto"
    """How dates such as 01/02/2026 are read: day_first or month_first. auto: as a day above 12 in
    the column shows, and none is guessed."""
    series: tuple[str, ...] = ()
    """Columns that name the series of each row, where a file holds several one below the other: a
    store and an item, say. Empty: recognised. Without such a column and without a target, each column
    of numbers is a series."""
    known: tuple[str, ...] = ()
    """Columns of numbers whose future is known when forecasting: a price, a holiday, a promotion."""
    drop: tuple[str, ...] = ()
    """Columns to leave out. Other columns of numbers count as known up to now."""
    missing: Literal["unknown", "zero"] = "unknown"
    """What a step without a row or a value means: not known, or nothing (no sale that day)."""
    horizon: int = Field(default=14, ge=1, le=1000)
    """Steps to forecast."""
    season: int | None = Field(default=None, ge=1, le=10_000)
    """Steps after which values are alike. None: by the time between rows (a day of hours, a week of
    days, a year of months), else the strongest autocorrelation."""
    context: int | None = Field(default=None, ge=2, le=4096)
    """Latest steps that a forecast looks at. None: two seasons or three horizons, the longer, up to
    512."""
    validation_share: float = Field(default=0.15, gt=0, lt=0.5)
    """Share of each series, before the test steps, on which epochs and variants are compared."""
    test_share: float = Field(default=0.2, gt=0, lt=0.5)
    """Share of each series, the latest, for the final figures."""
    trading: ForecastTrading = ForecastTrading()
    """A backtest of forecasts of prices."""
    sample: Literal["shops", "prices"] = "shops"
    """Simulated data used when `data.uri` is not set: sales of shops, or prices of shares with a slow
    trend (open, high, low, close, volume)."""
    sample_series: int = Field(default=12, ge=1, le=200)
    """Shops or shares of the simulated data."""
    sample_days: int = Field(default=900, ge=100)
    """Days of each."""


class ForecastModel(Settings):
    """Which network."""

    kind: Kind = "patchtst"
    """patchtst (a transformer over patches of the history, as in Nie et al. 2023, with the other
    columns in the patches), lstm; both add to exponential smoothing with trend and season, of values
    or of their logarithms, or to the seasonal naive forecast: what is best on the training steps
    (with a context above 1,024: the naive one).
    smoothing: only that, with bands; no other columns, for short series."""
    quantiles: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.1, 0.5, 0.9)
    """Of the distribution of each step, ascending; 0.5 is one of them."""
    width: int = Field(default=64, ge=4, le=1024)
    """Of the network's layers."""
    layers: int = Field(default=2, ge=1, le=12)
    """How many."""
    heads: int = Field(default=4, ge=1)
    """Attention heads of patchtst; divides the width."""
    patch: int = Field(default=8, ge=1)
    """Steps of a patch."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of activations left out while training."""

    @field_validator("quantiles")
    @classmethod
    def _ascending_with_the_median(cls, found: tuple[float, ...]) -> tuple[float, ...]:
        if 0.5 not in found or list(found) != sorted(set(found)):
            raise ValueError("quantiles ascend, and 0.5 is one of them: [0.1, 0.5, 0.9]")
        return found


class ForecastTraining(TrainingSettings):
    """How the network is trained."""

    epochs: int = Field(default=20, ge=1)
    """Most passes over the training windows."""
    batch_size: int = Field(default=128, ge=1)
    """Windows an optimizer step."""
    learning_rate: float = Field(default=2e-3, gt=0)
    """AdamW's highest step size."""
    patience: int = Field(default=5, ge=1)
    """Stop after this many epochs without a better validation loss, counted from where the learning
    rate is halfway down."""
    schedule: Literal["constant", "cosine", "linear", "one_cycle"] = "cosine"
    """How the step size changes."""
    windows: int = Field(default=10_000, ge=1)
    """Most windows an epoch; of more, each epoch draws others."""


class ForecastConfig(FamilyConfig):
    """A run on series in time."""

    shortcuts: ClassVar[Mapping[str, str]] = {"target": "features.target"}
    search_space = SEARCH
    resources: ClassVar[Mapping[str, str]] = {"cpu": "1", "memory": "4Gi", "shm": "1Gi"}

    features: ForecastFeatures = ForecastFeatures()
    """From tables of series to windows."""
    model: ForecastModel = ForecastModel()
    """Which network."""
    training: ForecastTraining = ForecastTraining()
    """How the network is trained."""

    @classmethod
    def debug(cls) -> ForecastConfig:
        """A small network on three short series."""
        return ForecastConfig(
            features=ForecastFeatures(sample_series=3, sample_days=320, horizon=7, context=28),
            model=ForecastModel(width=16, layers=1, heads=2, patch=7, dropout=0.0),
            training=ForecastTraining(epochs=8, batch_size=64, learning_rate=5e-3),
        )

    def requires(self) -> Mapping[str, str]:
        """The table reader, the baseline's library, torch."""
        return {"pyarrow": "forecast", "statsmodels": "forecast", "torch": "torch"}

    @model_validator(mode="after")
    def _shares_leave_rows(self) -> ForecastConfig:
        left = 1 - self.features.validation_share - self.features.test_share
        if left < 0.2:
            raise ValueError(
                "features.validation_share and features.test_share leave "
                f"{left:.0%} to train on; at least 20% are needed"
            )
        if self.model.kind == "patchtst" and self.model.width % self.model.heads:
            raise ValueError(
                f"model.width = {self.model.width} is no multiple of model.heads = {self.model.heads}"
            )
        return self
