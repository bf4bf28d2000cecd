"""Parameters of the anomaly family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from modelyard.families.anomaly.search import SEARCH
from modelyard.settings.family import DateOrder, FamilyConfig, Settings, TrainingSettings

Kind = Literal["neighbours", "autoencoder", "lstm", "deepsvdd", "ocsvm", "iforest"]
SetKind = Literal["auto", Kind]
TORCH: frozenset[SetKind] = frozenset({"auto", "neighbours", "autoencoder", "lstm", "deepsvdd"})
OF_A_NETWORK = {"hidden", "code", "corruption"}
"""Settings of the autoencoder's network."""
WINDOWED: frozenset[Kind] = frozenset({"lstm"})
"""Kinds that judge a window of consecutive rows; the others judge a row by itself."""


class AnomalyFeatures(Settings):
    """From files of measurements to series without gaps."""

    time_column: str = "time"
    """Column of dates and times, or of numbers that ascend. Without it rows are taken as equally
    spaced, or as drawn: see `split`."""
    dates: DateOrder = "auto"
    """How dates such as 01/02/2026 are read: day_first or month_first. auto: as a day above 12 in
    the column shows, and none is guessed."""
    label_column: str = "label"
    """Column of 0 and 1 (1: anomaly), if there is one; else the only such column that is called
    anomaly, is_anomaly, outlier, fault or attack. It judges, and what it marks is not learned as normal."""
    kind_column: str = "kind"
    """Column that names the kind of an anomaly, if there is one: what is found is then counted
    by kind."""
    entity: str | None = None
    """Column that names the machine of each row, where a file holds several: each is a series of
    its own, and no window crosses from one to another. None: recognised by its name, or by times
    that ascend only within it."""
    zone: str | None = None
    """Time zone of times without an offset, such as Europe/Berlin. None: they are taken for UTC."""
    step: Annotated[float, Field(gt=0)] | Literal["found"] | None = None
    """Resample to rows so many seconds apart (or the unit of a numeric time column); `found`: the
    usual time between rows, as a round number where one is within a tenth. None: rows stay as they
    are, and an irregular step is a gap."""
    most_fill: float = Field(default=3.0, ge=1, le=100)
    """With `step`: a straight line fills moments between rows that are at most so many steps apart;
    longer is a gap, which no window crosses."""
    drop: tuple[str, ...] = ()
    """Columns to leave out."""
    split: Literal["auto", "random", "time"] = "auto"
    """`time`: the earlier rows train, the latest test. `random`: rows are drawn, as many anomalies for
    each split as fit its share; only without a time column. `auto`: random where there is no time column
    and neighbouring rows are no more alike than others, or the labels stand in one block that would
    leave the test split without anomalies or without normal rows."""
    window: int = Field(default=24, ge=1, le=2048)
    """Rows of a window. Also what lies unused between the splits, and how long a row must have
    gone without a gap to be judged. 1: each row stands alone, and gaps don't matter."""
    calibration_share: float = Field(default=0.2, gt=0, lt=0.5)
    """Share of each series, after the training rows, that sets the threshold; taken as normal."""
    validation_share: float = Field(default=0.1, gt=0, lt=0.5)
    """Share of each series on which variants are compared."""
    test_share: float = Field(default=0.25, gt=0, lt=0.5)
    """Share of each series, the latest, for the final figures."""
    most_lost: float = Field(default=0.2, ge=0, le=1)
    """Stop when gaps and empty cells cost more than this share of the windows."""
    sample_series: int = Field(default=4, ge=1, le=50)
    """Machines of the simulated data."""
    sample_rows: int = Field(default=6000, ge=1000)
    """Rows of each simulated machine, five minutes apart."""
    sample_drift: float = Field(default=0.0, ge=0, le=1)
    """How far the simulated machines are worn and warmed; 0 is their usual state."""
    sample_contamination: float = Field(default=0.0, ge=0, le=0.3)
    """Share of the simulated training and calibration rows that hold anomalies."""

    @field_validator("zone")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        try:
            if value is None:
                return value
            return ZoneInfo(value).key
        except (OSError, KeyError, ValueError):
            raise ValueError(f"unknown time zone {value!r}; write one as Europe/Berlin") from None

    @property
    def shares(self) -> tuple[float, ...]:
        """Shares of the rows that train, calibrate, validate and test."""
        others = (self.calibration_share, self.validation_share, self.test_share)
        return (1 - sum(others), *others)


class AnomalyModel(Settings):
    """Which detector."""

    kind: SetKind = "auto"
    """auto (lstm of one column in time, else neighbours, or autoencoder where `hidden`, `code`, `corruption`,
    `compress` or `continual.memory` asks for a network), neighbours (distance from the nearest training
    rows), autoencoder (rows), lstm (autoencoder of windows), deepsvdd (rows), ocsvm (one-class SVM,
    rows), iforest (isolation forest, rows)."""
    false_alarm_rate: float | None = Field(default=None, gt=0, lt=0.5)
    """Share of normal answers that may raise an alarm: the threshold is chosen for it. None: 0.01, or
    of few calibration answers as few as they can set, up to 0.1."""
    learn_from: Literal["unmarked", "all"] = "unmarked"
    """`unmarked`: training rows that are labelled anomalies, and windows that hold one, are not learned
    from; without labels nothing is left out. `all`: every training row counts as normal."""
    threshold_from: Literal["unmarked", "labels", "assumed_normal"] = "unmarked"
    """`unmarked`: calibration rows that are labelled anomalies, and windows that hold one, set no
    threshold; without labels every one counts as normal. `labels`: those of the calibration and
    validation rows that are labelled 0. `assumed_normal`: every calibration row counts as normal."""
    contamination: float = Field(default=0.0, ge=0, lt=0.5)
    """Share of the training and calibration rows taken to be anomalies that nobody marked: the
    strangest are left out, and the detector is fitted again. Set too high, false alarms exceed
    their rate by up to this share."""
    nearest: int | None = Field(default=None, ge=1, le=1000)
    """neighbours: training rows that a row is compared with. None: 10, and 2 % of those that are kept
    where nobody labelled, since anomalies among them may be near each other."""
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = (64, 32)
    """Widths of the layers of autoencoder and deepsvdd, from the input on."""
    code: int = Field(default=3, ge=1)
    """Width of the autoencoder's narrowest layer."""
    corruption: float = Field(default=0.1, ge=0, lt=1)
    """autoencoder: share of the cells that are replaced, while training, by those of another
    row, so that it learns to fix a column from the others, and its error tells which one is
    wrong."""
    embedding: int = Field(default=16, ge=1)
    """Dimensions in which deepsvdd measures the distance from its centre."""
    units: int = Field(default=48, ge=1)
    """Width of the lstm's state, which has to hold a whole window."""
    stride: int = Field(default=2, ge=1)
    """Rows between the starts of the lstm's training windows."""
    recent: int = Field(default=3, ge=1)
    """lstm: latest rows of a window whose errors make the score; the rows before them are
    context. More rows find faint anomalies better, and let alarms come in longer clusters, which
    makes the threshold less certain."""
    whiten: bool = True
    """deepsvdd, ocsvm, iforest: decorrelate the columns first, so that a broken relation between
    two columns counts as much as an extreme value."""
    nu: float = Field(default=0.01, gt=0, lt=1)
    """ocsvm: bound on the share of training rows outside."""
    gamma: float | None = Field(default=None, gt=0)
    """ocsvm: inverse squared width of the kernel in scaled units. None: 1 / columns."""
    most_rows: int = Field(default=5000, ge=50)
    """neighbours, ocsvm: training rows used, drawn at random. An answer's cost grows with them, of ocsvm
    training's with their square."""
    trees: int = Field(default=200, ge=1)
    """iforest: trees."""


class AnomalyTraining(TrainingSettings):
    """How autoencoder, lstm and deepsvdd are trained."""

    epochs: int = Field(default=50, ge=1)
    """Most passes over the training split."""
    learning_rate: float = Field(default=4e-3, gt=0)
    """AdamW's step size, the same all along."""


class AnomalyConfig(FamilyConfig):
    """A run on series of measurements."""

    search_space = SEARCH
    resources: ClassVar[Mapping[str, str]] = {"cpu": "1", "memory": "4Gi", "shm": "1Gi"}

    features: AnomalyFeatures = AnomalyFeatures()
    """From files of measurements to series without gaps."""
    model: AnomalyModel = AnomalyModel()
    """Which detector, and its threshold."""
    training: AnomalyTraining = AnomalyTraining()
    """How autoencoder, lstm and deepsvdd are trained."""

    @classmethod
    def debug(cls) -> AnomalyConfig:
        """A small autoencoder on two short series."""
        return AnomalyConfig(
            features=AnomalyFeatures(sample_series=2, sample_rows=1600, window=12),
            model=AnomalyModel(kind="autoencoder", hidden=(16,), false_alarm_rate=0.02),
            training=AnomalyTraining(epochs=15, batch_size=64, learning_rate=5e-3),
        )

    def requires(self) -> Mapping[str, str]:
        """The table reader, the metrics, torch, and for the other kinds scikit-learn's
        converters."""
        needs = {"pyarrow": "anomaly", "sklearn": "anomaly", "torch": "torch"}
        if self.model.kind in TORCH:
            return needs
        return needs | dict.fromkeys(("onnx", "skl2onnx", "skops"), "anomaly")

    def refuses_warm_start(self) -> str:
        """Only the torch kinds are trained on from earlier weights."""
        kind = self.model.kind
        if kind in TORCH:
            return ""
        return (
            f"model.kind = {kind} is always fitted from scratch. Type: --set model.kind=autoencoder"
        )

    @model_validator(mode="after")
    def _windowed_kinds_have_a_window(self) -> AnomalyConfig:
        kind, window = self.model.kind, self.features.window
        if kind in WINDOWED and window < 2:
            raise ValueError(
                f"features.window = {window}: model.kind={kind} needs windows of 2 rows or more"
            )
        return self

    @model_validator(mode="after")
    def _some_rows_train(self) -> AnomalyConfig:
        train = self.features.shares[0]
        if train < 0.05:
            raise ValueError(
                "features.calibration_share, validation_share and test_share leave "
                f"{train:.0%} to train on; at least 5% are needed"
            )
        return self
