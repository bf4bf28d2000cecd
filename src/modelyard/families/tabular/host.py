"""The half that answers: requests to inputs, outputs to labels and figures. Numpy and pydantic
alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel

from modelyard.families.tabular.interval import Interval
from modelyard.families.tabular.scale import IDENTITY, TargetScale
from modelyard.families.tabular.schema import TableSchema
from modelyard.families.tabular.shapley import shapley_values
from modelyard.host import Cell, Explanation, Outcome, WithWarnings, answered, described
from modelyard.kit.classes.answers import (
    ClassAnswer,
    answer_type,
    answers,
    class_outcome,
    score_of,
)
from modelyard.kit.classes.decision import Decision
from modelyard.kit.columns.encode import Columns, completed
from modelyard.kit.columns.host import ColumnHost
from modelyard.runtimes.types import Runtime

BACKGROUND = "background.npy"
PERMUTATIONS = 4
"""Orders in which an explanation switches the columns on, for each background row."""
MOST_EXPLAINING, LEAST_BACKGROUND = 50_000, 4
"""Rows that an explanation scores at most, and background rows it has at least: of a thousand columns
with all of them it would take ten seconds and outlast a request."""


class ValueAnswer(WithWarnings):
    """The answer of a regression."""

    value: float
    """The predicted value, in the target's own unit."""


class IntervalAnswer(ValueAnswer):
    """The answer of a regression that knows how far it may be off."""

    low: float
    """Lower edge of the interval that holds the true value with the coverage that was asked for."""
    high: float
    """Upper edge, in the target's own unit as the other edge."""


class Values(NamedTuple):
    """A regression's values, float64 (rows,), and the edges of their intervals; None without."""

    value: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None


class TabularHost(ColumnHost):
    """Answers for one trained table: its `Request` has the table's columns as fields."""

    def __init__(self, assets: Path) -> None:
        self.schema = TableSchema.load(assets)
        about = f"One row of the table, to predict {self.schema.target}."
        super().__init__(assets, self.schema, about)
        self.decision = Decision.load_or(assets, Decision())
        self.scale = TargetScale.load_or(assets, IDENTITY)
        self.interval: Interval | None = None
        if (self.assets / Interval.FILE).is_file():
            self.interval = Interval.load(self.assets)
        self.Response = _response_model(self.schema, self.interval)
        self.counts_errors = self.schema.classes is not None
        if self.counts_errors:
            self.error_name = "error rate"
        else:
            self.error_name = "mean absolute error"

    def predict(self, run: Runtime, requests: Sequence[BaseModel]) -> list[BaseModel]:
        """One answer a request, in order."""
        if not requests:
            return []
        x = self.encoder.transform(self.columns(requests))
        found: list[WithWarnings] = []
        if self.schema.classes is None:
            found += _value_answers(self._values(run, x))
        else:
            found += answers(self.decision, self.schema.classes, self._score(run, x))
        self.warn(requests, found)
        return list(found)

    def scores(self, run: Runtime, columns: Columns) -> np.ndarray:
        """Calibrated probabilities, float64 (rows, classes), or values, float64 (rows,), of whole
        columns.

        Columns beyond the schema's are ignored; one that may be empty may be absent.

        Raises:
            BadData: a column is absent that may not be empty.
        """
        return self._score(run, self.encoder.transform(completed(columns, self.schema)))

    def values(self, run: Runtime, columns: Columns) -> Values:
        """What a regression answers to whole columns, as `scores` takes them."""
        return self._values(run, self.encoder.transform(completed(columns, self.schema)))

    def describe(self, request: BaseModel, response: BaseModel) -> dict[str, float | str | None]:
        """The input columns, texts and times as figures, and the answer."""
        row, derived = self.cells(request)
        if isinstance(response, IntervalAnswer):
            answer = {"prediction": response.value, "width": self._width(response)}
            return described(row, answer, derived)
        if isinstance(response, ValueAnswer):
            return described(row, {"prediction": response.value}, derived)
        assert isinstance(response, ClassAnswer)
        return described(row, {"score": score_of(response), "label": response.label}, derived)

    def outcome(self, row: Mapping[str, Cell], label: Cell) -> Outcome | None:
        """Whether the class was the label's, or how far the value was from it."""
        if self.schema.classes is not None:
            return class_outcome(row, label, self.schema.classes)
        value = answered(row, "prediction")
        if value is None or label is None:
            return None
        try:
            truth = float(label)
        except ValueError:
            return None
        if not np.isfinite(truth):
            return None
        return Outcome(truth, abs(float(value) - truth), float(value), truth)

    def explain(self, run: Runtime, request: BaseModel) -> Explanation | None:
        """Shapley values of the columns; None when the model was packaged without background rows.

        A classifier's output is a probability: of the positive class, or of the predicted one of
        several.
        """
        file = self.assets / BACKGROUND
        if not file.is_file():
            return None
        x = self.encoder.transform(self.columns([request]))[0]
        score, output = self.explained(run, x)
        names = list(self.encoder.groups)
        background = np.load(file, allow_pickle=False).astype(np.float32)
        # Drawn at random, so that the first ones stand for average data as all do.
        affordable = MOST_EXPLAINING // (PERMUTATIONS * len(names))
        values, base = shapley_values(
            score,
            x,
            background[: max(LEAST_BACKGROUND, affordable)],
            [self.encoder.groups[name] for name in names],
            permutations=PERMUTATIONS,
            seed=0,
        )
        return Explanation(
            method="Shapley values, sampled permutations",
            output=output,
            base=base,
            contributions=dict(zip(names, values.tolist(), strict=True)),
        )

    def explained(
        self, run: Runtime, x: np.ndarray
    ) -> tuple[Callable[[np.ndarray], np.ndarray], str]:
        """The figure whose reasons are given for an encoded row, as a function of such rows, and
        what it is called."""
        classes = self.schema.classes
        if classes is None:
            return partial(self._score, run), self.schema.target
        if len(classes) == 2:
            index = 1
        else:
            index = int(self._score(run, x[None])[0].argmax())

        def probability(rows: np.ndarray) -> np.ndarray:
            return np.asarray(self._score(run, rows)[:, index])

        return probability, f"probability of {classes[index]}"

    def _score(self, run: Runtime, x: np.ndarray) -> np.ndarray:
        if self.schema.classes is None:
            return self.scale.restored(self._output(run, x))
        return self.decision.of_probabilities(self._output(run, x))

    def _values(self, run: Runtime, x: np.ndarray) -> Values:
        output = self._output(run, x)
        value = self.scale.restored(output)
        if self.interval is None:
            return Values(value)
        low, high = self.interval.bounds(x, output)
        return Values(value, self.scale.restored(low), self.scale.restored(high))

    def _width(self, answer: IntervalAnswer) -> float:
        """Of an answer's interval; where all have the same, without the last digits in which large
        edges differ: they would look like a distribution."""
        interval = self.interval
        if interval is None or interval.spread is not None or self.scale.log:
            return answer.high - answer.low
        return (max(interval.high, 0.0) - min(interval.low, 0.0)) * self.scale.spread

    def _output(self, run: Runtime, x: np.ndarray) -> np.ndarray:
        if self.schema.classes is None:
            name = "value"
        else:
            name = "probabilities"
        return run("model", {"features": x})[name]


def _value_answers(found: Values) -> list[ValueAnswer]:
    if found.low is None or found.high is None:
        return [ValueAnswer(value=value) for value in found.value.tolist()]
    edges = zip(found.value.tolist(), found.low.tolist(), found.high.tolist(), strict=True)
    return [IntervalAnswer(value=value, low=low, high=high) for value, low, high in edges]


def _response_model(schema: TableSchema, interval: Interval | None) -> type[BaseModel]:
    if schema.classes is not None:
        return answer_type(schema.classes)
    if interval is None:
        return ValueAnswer
    return IntervalAnswer
