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
            if self.rows is None:
                over = time.perf_counter() > ends
            else:
                over = number >= self.rows
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
    high: list[float] = []
    """Of a line: the upper edge of a band that is drawn in its place, with `y` as the lower one."""


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


class Table(BaseModel):
    """A table of the card: rows that are worth reading, such as the hardest texts."""

    title: str
    columns: list[str]
    rows: list[list[str | float]]


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


class Gain(BaseModel):
    """How much better a metric is than that of a simple answer to the same rows."""

    metric: str
    over: str
    """The simple answer: the evaluation's `baseline_name`, or another one."""
    value: float
    """In the metric's unit; above 0 the model is better, whether more or less of it is."""
    low: float
    high: float
    """95 % interval, from paired samples."""

    @property
    def words(self) -> str:
        """The gain with its interval."""
        return f"{self.value:.4g}, 95 % interval {self.low:.4g} to {self.high:.4g}"


class Group(BaseModel):
    """Some of the judged rows, by where they come from."""

    rows: int
    metrics: dict[str, float]
    """Those of the evaluation that these rows allow."""


DATA, LABELLED = "data", "labelled"
"""Groups of a split that holds requests whose label came: the data's own rows, and these."""


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
    gains: list[Gain] = []
    """Of the main metric over the baseline; and over other simple answers that a model must not
    be worse than, such as one constant."""
    rivals: dict[str, float] = {}
    """The main metric of further simple answers to the same rows, by what they are. They are shown
    next to the baseline, and bind nobody."""
    directions: dict[str, Direction]
    """Whether larger or smaller is better, for every metric."""
    intervals: dict[str, tuple[float, float]] = {}
    """95 % intervals of metrics, where they were computed."""
    groups: dict[str, Group] = {}
    """The same metrics on parts of the rows; empty where all come from one place."""
    samples: list[float] = Field(default=[], exclude=True)
    """The main metric on bootstrap samples of the rows, spread as for the whole split; the same
    samples for every model, so that those of two models are paired. Not written to files."""
    notes: list[str] = []
    """Sentences for the card: the threshold and how it was chosen, a caveat on size."""
    confusion: Confusion | None = None
    roc: Roc | None = None
    plots: list[Plot] = []
    tables: list[Table] = []

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
        if self.directions[metric] == "max":
            return value > than + by
        return value < than - by


class GateResult(BaseModel):
    """A gate and what a model made of it."""

    metric: str
    value: float
    baseline: float | None
    threshold: float | None
    over_baseline: float
    gain: Gain | None = None
    """Over the baseline, where the family reports one for the metric."""
    passed: bool
    reason: str
    """One line with the numbers."""

    @property
    def required(self) -> str:
        """What it asks for: `beat the baseline's 0.5000 and reach 0.9000`."""
        asked = []
        if self.baseline is not None:
            by = f" by more than {figure(self.over_baseline)}" if self.over_baseline else ""
            asked.append(f"beat the baseline's {figure(self.baseline)}{by}")
        if self.threshold is not None:
            asked.append(f"reach {figure(self.threshold)}")
        return " and ".join(asked) or "nothing"


def figure(value: float | None) -> str:
    """A metric as a terminal shows it: four decimals, or four digits where those would hide it."""
    if value is None:
        return "none"
    readable = value == 0 or 1e-3 <= abs(value) < 1e7
    if readable:
        return f"{value:.4f}"
    return f"{value:.4g}"


def judge(gate: GateSettings, evaluation: Evaluation) -> GateResult:
    """Holds an evaluation against the gate: its bound, the baseline, and the other simple answers,
    which a model may not be worse than beyond chance.

    Raises:
        UsageError: the gate names a metric that the family does not report.
    """
    metric = evaluation.main if gate.metric == "auto" else gate.metric
    if metric not in evaluation.metrics:
        raise UsageError(f"setting 'gate.metric': {choices('metric', metric, evaluation.metrics)}")
    value, baseline = evaluation.metrics[metric], evaluation.baseline.get(metric)
    over_baseline = None
    for gain in evaluation.gains:
        if gain.metric == metric and gain.over == evaluation.baseline_name:
            over_baseline = gain
            break
    # Without an interval nothing shows that it is more than chance.
    by_chance = over_baseline is None or over_baseline.low <= gate.over_baseline
    failures = _failures(gate, evaluation, metric)
    if gate.beyond_chance and by_chance:
        seen = "not known" if over_baseline is None else over_baseline.words
        failures.append(f"its gain over the baseline must be beyond chance ({seen})")
    reason = f"{metric} = {value:.4g} on the {evaluation.split} split ({evaluation.rows} {evaluation.unit})"
    if failures:
        reason += f": {' and '.join(failures)}"
    elif over_baseline is not None:
        reason += f"; gain over the baseline {over_baseline.words}"
        if by_chance:
            reason += ": not better than the baseline beyond chance"
    return GateResult(
        metric=metric,
        value=value,
        baseline=baseline,
        threshold=gate.threshold,
        over_baseline=gate.over_baseline,
        gain=over_baseline,
        passed=not failures,
        reason=reason,
    )


def _failures(gate: GateSettings, evaluation: Evaluation, metric: str) -> list[str]:
    """What a metric misses of the bound, the baseline and the other simple answers."""
    value, baseline = evaluation.metrics[metric], evaluation.baseline.get(metric)
    failures = []
    # Asked the other way round, so that a value equal to the bound meets it.
    if gate.threshold is not None and evaluation.better(metric, gate.threshold, value):
        bound = "at least" if evaluation.directions[metric] == "max" else "at most"
        failures.append(f"it must be {bound} {gate.threshold:.4g}")
    if baseline is not None and not evaluation.better(metric, value, baseline, gate.over_baseline):
        by = f" by more than {gate.over_baseline:.4g}" if gate.over_baseline else ""
        failures.append(
            f"it must beat the baseline ({evaluation.baseline_name}, {baseline:.4g}){by}"
        )
    for gain in evaluation.gains:
        is_rival = gain.metric == metric and gain.over != evaluation.baseline_name
        # The whole interval lies below 0: worse beyond chance.
        if is_rival and gain.high < 0:
            failures.append(
                f"it is worse than {gain.over} (by {-gain.value:.4g}, "
                f"95 % interval {-gain.high:.4g} to {-gain.low:.4g})"
            )
    return failures
