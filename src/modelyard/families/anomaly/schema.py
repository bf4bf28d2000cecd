"""What training hands to answering: the columns, and the detector. Only
numpy and pydantic."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from modelyard.errors import BadData
from modelyard.families.anomaly.config import OF_A_NETWORK, AnomalyConfig, AnomalyModel, Kind
from modelyard.kit.assets import Asset

LARGEST = 1e30
"""Measurements beyond it do not fit the graph's 32-bit numbers."""


class Column(BaseModel):
    """A numeric column, with figures of its training rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    mean: float
    spread: float
    """Standard deviation, above 0."""
    median: float
    minimum: float
    maximum: float
    offset: float = 0.0
    """What is taken off in 64 bits before a value goes into the graph: not 0 where 32 bits would not
    tell the training values apart, such as those of a counter near 10⁹."""
    format: str = ""
    unit: str = ""
    """How the training files write the numbers, see `modelyard.kit.tables.notation`."""


class Schema(Asset):
    """`schema.json`: what a series consists of."""

    FILE: ClassVar[str] = "schema.json"

    columns: list[Column]
    window: int
    """Rows of a window."""
    step: float | None
    """Median seconds between rows (or the unit of a numeric time column); None without a time
    column."""
    labelled: bool
    """Whether some file has a label column."""
    series: list[str]
    """Names of the files, in the order of the parts' `series` numbers."""
    entity: str | None = None
    """Column that names the machine of a row, where the files have one."""
    machines: tuple[str, ...] = ()
    """Names of the machines of that column that trained, in the order of `series`."""
    time_column: str | None = None
    """Column of times, where the files have one."""
    zone: str | None = None
    """Time zone of times without an offset; None: UTC."""
    most_fill: float | None = None
    """Where rows were resampled to `step`: a straight line fills up to so many steps. None: rows stay
    as they are."""
    continues: Kind | None = None
    """Kind of the earlier model that this one starts from, where its weights can be trained on."""
    kinds: list[str]
    """Kinds of anomaly that the data names, in the order of the parts' `kind` numbers."""

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def offsets(self) -> np.ndarray:
        """Of every column, float64 (columns,)."""
        return np.array([column.offset for column in self.columns])

    def figures(self, name: Literal["mean", "spread", "minimum", "maximum"]) -> np.ndarray:
        """One figure of every column as the graph sees it, less its offset; float64 (columns,)."""
        found = np.array([getattr(column, name) for column in self.columns])
        if name == "spread":
            return found
        return np.asarray(found - self.offsets)

    def places(self, names: list[str], file: Path | None = None) -> np.ndarray:
        """Where these columns are among `names`, those of some data, int64 (columns,).

        Raises:
            BadData: one is not there.
        """
        for name in self.names:
            if name not in names:
                problem = "the data no longer has this column, which the detector needs"
                raise BadData(problem, file=file, column=name)
        return np.array([names.index(name) for name in self.names], np.int64)


class Detector(Asset):
    """`detector.json`: how a graph's output becomes a score, and from which score on it is an
    alarm."""

    FILE: ClassVar[str] = "detector.json"

    kind: Kind
    window: int
    """Rows that one answer judges; 1: a row by itself."""
    recent: int = 1
    """Latest rows of the window whose errors make the score."""
    threshold: float = 0.0
    """Scores above it are anomalies."""
    typical: float = 0.0
    """Median score of normal calibration answers."""
    false_alarm_rate: float
    """What the threshold was chosen for."""
    note: str = ""
    """How the threshold was chosen, in sentences."""
    centre: list[float] | None = None
    """deepsvdd: the point from which distance is measured, (embedding,)."""
    expectation: list[list[float]] | None = None
    """Not reconstructions: weights with which the other columns let expect a column, (columns,
    columns); see `relations.expectation`."""
    error_scale: list[list[float]] | None = None
    """Reconstructions: usual size of an error, (window, columns)."""


def kind_of(config: AnomalyConfig, schema: Schema) -> Kind:
    """`model.kind`, chosen by the data where it is `auto`.

    Of one column a row shows only whether its value is usual; a window shows what it usually does
    next. Who sets something of a network wants one.
    """
    if config.model.kind != "auto":
        return config.model.kind
    if schema.continues is not None:
        return schema.continues
    alone = len(schema.columns) == 1
    has_windows = schema.step is not None and schema.window > 1
    if alone and has_windows:
        return "lstm"
    # Only the shared loop makes networks small and keeps exemplars.
    of_the_loop = config.compress.wanted or config.continual.memory > 0
    settings = config.model.model_dump(include=OF_A_NETWORK)
    if of_the_loop or settings != AnomalyModel().model_dump(include=OF_A_NETWORK):
        return "autoencoder"
    return "neighbours"
