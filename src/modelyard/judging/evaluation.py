"""What judging a model yields: metrics next to a baseline, and the plots that the field
expects."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from modelyard.errors import UsageError, choices
from modelyard.settings.family import GateSettings

Direction = Literal["max", "min"]
T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """How much of a split a model is judged on: its first rows (episodes, documents), in an order
    that is the same for every model."""

    rows: int | None = None
    """So many, as another model was judged on. None: all, or as many as `seconds` allow."""
    seconds: float = math.inf
    """Longest that judging takes, where `rows` is None."""

    def take(self, items: Iterable[T]) -> Iterator[T]:
        """Those of a split's `items` that are judged, one at least: no other is begun once the
        time is over."""
        ends = time.perf_counter() + self.seconds
        for number, item in enumerate(items):
            over = time.perf_counter() > ends if self.rows is None else number >= self.rows
            if over and number > 0:
                return
            yield item


WHOLE = Part()
"""A whole split."""


class Series(BaseModel):
    """One line, one set of bars or one cloud of points."""

    name: str
    x: list[float] | list[str]
    y: list[float]


class Picture(BaseModel):
    """One picture of a plot of kind `pictures`."""

    caption: str
    url: str = Field(pattern=r"^data:[a-z]+/(png|jpeg|webp);base64,[A-Za-z0-9+/]+={0,2}$")
    """A data URL: small, for it becomes part of every evaluation and of the card."""


class Plot(BaseModel):
    """A figure of the card, as data: the card draws it."""

    kind: Literal["line", "bar", "scatter", "heatmap", "histogram", "pictures"]
    title: str
    x_label: str = ""
    y_label: str = ""
    series: list[Series] = []
    matrix: list[list[float]] = []
    """Rows of a heatmap, first row on top."""
    rows: list[str] = []
    """Row names of a heatmap."""
    columns: list[str] = []
    """Column names of a heatmap."""
    pictures: list[Picture] = []
    """Of kind `pictures`, in reading order."""
    diagonal: bool = False
    """Draw y = x for reference (ROC, calibration, predicted against actual)."""
    caption: str = ""


class Confusion(BaseModel):
    """Counts: `matrix[actual][predicted]`."""

    labels: list[str]
    matrix: list[list[int]]


class Roc(BaseModel):
    """Receiver operating characteristic of a binary classifier; thresholds descend and are
    finite."""

    false_positive_rate: list[float]
    true_positive_rate: list[float]
    thresholds: list[float]


class Evaluation(BaseModel):
    """A model on one split."""

    model_config = ConfigDict(frozen=True)

    split: str
    rows: int
    """How many were judged, in `unit`."""
    unit: str = "rows"
    """What is judged, in the plural: rows, episodes, tokens."""
    part: int | None = None
    """Where only the first of the split's rows were judged: how many, as `Part` counts them. None:
    the whole split."""
    metrics: dict[str, float]
    """By name, finite. Names are the field's own: roc_auc, average_precision, mae, …"""
    baseline: dict[str, float]
    """The same metrics for the baseline, fitted on the training split; a subset of the names is
    enough."""
    baseline_name: str
    """What the baseline is: `most frequent class`, `popularity`, `seasonal naive`."""
    main: str
    """The metric that a person asks for first; gate and registry compare by it unless the config
    says else."""
    directions: dict[str, Direction]
    """Whether larger or smaller is better, for every metric."""
    intervals: dict[str, tuple[float, float]] = {}
    """95 % intervals of metrics, where they were computed."""
    notes: list[str] = []
    """Sentences for the card: the threshold and how it was chosen, a caveat on size."""
    confusion: Confusion | None = None
    roc: Roc | None = None
    plots: list[Plot] = []

    @model_validator(mode="after")
    def _consistent(self) -> Evaluation:
        assert self.main in self.metrics, f"main metric {self.main} is not among the metrics"
        assert set(self.directions) >= set(self.metrics), "every metric needs a direction"
        figures = [*self.metrics.items(), *self.baseline.items()]
        bad = [name for name, value in figures if not math.isfinite(value)]
        assert not bad, f"metrics are not finite: {bad}"
        return self

    def better(self, metric: str, value: float, than: float, by: float = 0.0) -> bool:
        """Whether `value` beats `than` by more than `by` in the direction of `metric`."""
        return value > than + by if self.directions[metric] == "max" else value < than - by


class GateResult(BaseModel):
    """A gate and what a model made of it."""

    metric: str
    value: float
    baseline: float | None
    threshold: float | None
    over_baseline: float
    passed: bool
    reason: str
    """One line with the numbers."""


def judge(gate: GateSettings, evaluation: Evaluation) -> GateResult:
    """Holds an evaluation against the gate.

    Raises:
        UsageError: the gate names a metric that the family does not report.
    """
    metric = evaluation.main if gate.metric == "auto" else gate.metric
    if metric not in evaluation.metrics:
        raise UsageError(f"setting 'gate.metric': {choices('metric', metric, evaluation.metrics)}")
    value, baseline = evaluation.metrics[metric], evaluation.baseline.get(metric)
    failures = []
    if gate.threshold is not None and evaluation.better(metric, gate.threshold, value):
        failures.append(f"it must be {_bound(evaluation, metric)} {gate.threshold:.4g}")
    if baseline is not None and not evaluation.better(metric, value, baseline, gate.over_baseline):
        failures.append(
            f"it must beat the baseline ({evaluation.baseline_name}, {baseline:.4g})"
            + (f" by more than {gate.over_baseline:.4g}" if gate.over_baseline else "")
        )
    verdict = f"{metric} = {value:.4g} on the {evaluation.split} split ({evaluation.rows} {evaluation.unit})"
    return GateResult(
        metric=metric,
        value=value,
        baseline=baseline,
        threshold=gate.threshold,
        over_baseline=gate.over_baseline,
        passed=not failures,
        reason=": ".join([verdict, " and ".join(failures)]) if failures else verdict,
    )


def _bound(evaluation: Evaluation, metric: str) -> str:
    return "at least" if evaluation.directions[metric] == "max" else "at most"
