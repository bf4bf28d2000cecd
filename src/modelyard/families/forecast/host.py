"""The half that answers: a history to quantiles of what comes next. Only numpy and pydantic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model, model_validator

from modelyard.families.forecast.grid import seconds_of, texts
from modelyard.families.forecast.window import Column, Inputs, Schema, Windows, inputs_of
from modelyard.host import Caution, Explanation, Host, WithWarnings, described
from modelyard.runtimes.types import Runtime

GRAPH = "model"
LARGEST = 1e30
MOST_VALUES = 10_000
FAR = 10.0
"""Times the size of the training values beyond which a history is far outside of them."""
CHUNKS = 6
"""Stretches of the history that are left out in turn to explain a forecast."""

Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]
Cells = Annotated[list[Number | None], Field(min_length=1, max_length=MOST_VALUES)]


class Answer(WithWarnings):
    """The forecast of one series."""

    times: list[str] | None = Field(
        default=None, description="Of the steps ahead, where the request has times"
    )
    median: list[float] = Field(description="By step: as likely to be above as below")
    quantiles: dict[str, list[float]] = Field(
        description="By share of outcomes that lie below, each by step"
    )


class ForecastHost(Host):
    """Forecasts by one trained network."""

    Response = Answer
    rows_by = "median"

    def __init__(self, assets: Path) -> None:
        super().__init__(assets)
        self.schema = Schema.load(assets)
        self.Request = request_model(self.schema)

    def inputs(self, requests: Sequence[BaseModel]) -> Inputs:
        """What the graph sees of requests."""
        schema = self.schema
        count, steps = len(requests), schema.context + schema.horizon
        windows = Windows(
            values=np.full((count, schema.context), np.nan),
            times=np.zeros((count, steps)),
            past=np.full((count, schema.context, len(schema.past)), np.nan),
            known=np.full((count, steps, len(schema.known)), np.nan),
        )
        for number, request in enumerate(requests):
            fields = vars(request)
            latest = fields["values"][-schema.context :]
            begin = schema.context - len(latest)
            windows.values[number, begin:] = np.array(latest, np.float64)
            if schema.grid.dated:
                last = seconds_of(fields["times"][-1])
                ahead = np.arange(1 - schema.context, schema.horizon + 1)
                windows.times[number] = schema.grid.after(last, ahead)
            for part, columns in (("past", schema.past), ("known", schema.known)):
                for place, column in enumerate(columns):
                    cells = fields[part][column.name]
                    kept = cells[len(fields["values"]) - len(latest) :]
                    target = getattr(windows, part)[number, :, place]
                    target[begin:] = np.array(kept, np.float64)
        return inputs_of(schema, windows)

    def forecast(self, run: Runtime, inputs: Inputs) -> np.ndarray:
        """Quantiles in the series' unit, float64 (requests, horizon, quantiles)."""
        scaled = run(GRAPH, inputs.arrays)["quantiles"]
        found = inputs.restored(scaled.astype(np.float64))
        if self.schema.minimum >= 0:
            # What was never below 0 in training is a count or an amount.
            return np.asarray(np.maximum(found, 0.0))
        return found

    def predict(self, run: Runtime, requests: Sequence[BaseModel]) -> list[BaseModel]:
        """One answer a request, in order."""
        if not requests:
            return []
        quantiles = self.forecast(run, self.inputs(requests))
        answers: list[BaseModel] = []
        for request, own in zip(requests, quantiles, strict=True):
            answers.append(self._answer(request, own))
        return answers

    def describe(self, request: BaseModel, response: BaseModel) -> dict[str, float | str | None]:
        """Level, spread and gaps of the history, its last season against the one before; the mean of
        each column; the mean forecast and the width of its band, by the history's spread."""
        assert isinstance(response, Answer)
        values = _array(vars(request)["values"][-self.schema.context :])
        season = self.schema.season
        spread = float(np.nanstd(values))
        before = _mean(values[-2 * season : -season])
        last = _mean(values[-season:])
        size = spread or 1.0
        changed = None
        if before is not None and last is not None:
            changed = (last - before) / size
        inputs: dict[str, float | str | None] = {
            "level": _mean(values),
            "spread": spread,
            "change": changed,
            "missing": float(np.isnan(values).mean()),
        }
        for part, columns in (("past", self.schema.past), ("known", self.schema.known)):
            for column in columns:
                inputs[f"{part}: {column.name}"] = _mean(_array(vars(request)[part][column.name]))
        bands = list(response.quantiles.values())
        width = float(np.mean(np.array(bands[-1]) - np.array(bands[0]))) / size
        return described(inputs, {"forecast": float(np.mean(response.median)), "band": width})

    def explain(self, run: Runtime, request: BaseModel) -> Explanation:
        """How much the mean forecast changes where stretches of the history, or a column, are not
        known."""
        fields = vars(request)
        count = min(len(fields["values"]), self.schema.context)
        changed: dict[str, BaseModel] = {}
        for chunk in np.array_split(np.arange(count), min(CHUNKS, count)):
            first, last = count - int(chunk[0]), count - int(chunk[-1])
            values = list(fields["values"])
            values[len(values) - first : len(values) - last + 1] = [None] * len(chunk)
            changed[f"{first} to {last} steps back"] = request.model_copy(update={"values": values})
        for part, columns in (("past", self.schema.past), ("known", self.schema.known)):
            for column in columns:
                cells = fields[part] | {column.name: [None] * len(fields[part][column.name])}
                changed[column.name] = request.model_copy(update={part: cells})
        found = self.forecast(run, self.inputs([request, *changed.values()]))
        means = found[..., self.schema.quantiles.index(0.5)].mean(axis=1)
        parts = dict(zip(changed, (means[0] - means[1:]).tolist(), strict=True))
        return Explanation(
            method="occlusion: the forecast without it",
            output=f"mean forecast of {self.schema.target} over {self.schema.horizon} steps",
            contributions=parts,
        )

    def read_file(self, file: Path) -> list[dict[str, Any]] | None:
        """The series of a CSV or Parquet file, read as the training data were: one example each, the
        steps after its last value ahead."""
        from modelyard.families.forecast.bodies import read_bodies

        return read_bodies(file, self.schema)

    def _answer(self, request: BaseModel, found: np.ndarray) -> Answer:
        schema = self.schema
        times = None
        if schema.grid.dated:
            last = seconds_of(vars(request)["times"][-1])
            times = texts(schema.grid.after(last, np.arange(1, schema.horizon + 1)))
        names = [f"{level:g}" for level in schema.quantiles]
        bands = dict(zip(names, found.T.tolist(), strict=True))
        return Answer(
            times=times, median=bands["0.5"], quantiles=bands, warnings=self._cautions(request)
        )

    def _cautions(self, request: BaseModel) -> tuple[Caution, ...]:
        schema, found = self.schema, []
        values = _array(vars(request)["values"][-schema.context :])
        there = values[np.isfinite(values)]
        if len(there) < schema.least_history:
            seen = f"{len(there)} values; training histories had {schema.least_history} or more"
            found.append(Caution(field="values", message=seen))
        limit = FAR * max(abs(schema.minimum), abs(schema.maximum), 1e-12)
        if len(there) and np.abs(there).max() > limit:
            seen = f"{there[np.abs(there).argmax()]:g} is far outside the training data, "
            seen += f"{schema.minimum:g} to {schema.maximum:g}"
            found.append(Caution(field="values", message=seen))
        return tuple(found)


def request_model(schema: Schema) -> type[BaseModel]:
    """`{"values": [...]}` with `times`, `past` and `known` where the training data have them."""
    about = f"Latest values of {schema.target}, oldest first, {schema.grid.words} apart; null where one is missing"
    fields: dict[str, Any] = {"values": (Cells, Field(description=about))}
    example: dict[str, Any] = {"values": schema.example}
    ahead = schema.context + schema.horizon
    if schema.grid.dated:
        fields["times"] = (
            Annotated[list[str], Field(min_length=1, max_length=MOST_VALUES)],
            Field(description="Date or time of each value, ISO 8601, without a gap"),
        )
        steps = np.arange(len(schema.example))
        example["times"] = texts(schema.grid.after(schema.example_time, steps))
    if schema.past:
        fields["past"] = (
            _cells_of(schema.past),
            Field(description="Other columns, a cell a value"),
        )
        example["past"] = {
            column.name: [column.mean] * len(schema.example) for column in schema.past
        }
    if schema.known:
        words = f"Columns that are known ahead: a cell a value and {schema.horizon} more"
        fields["known"] = (_cells_of(schema.known), Field(description=words))
        example["known"] = {column.name: [column.minimum] * ahead for column in schema.known}

    def check(request: Any) -> Any:
        _check(schema, vars(request))
        return request

    validator: Any = model_validator(mode="after")(check)
    config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [example]})
    model: type[BaseModel] = create_model(
        "Request",
        __config__=config,
        __doc__="The history of one series.",
        __validators__={"check": validator},
        **fields,
    )
    return model


def _cells_of(columns: list[Column]) -> Any:
    names = [column.name for column in columns]

    def check(found: dict[str, Any]) -> dict[str, Any]:
        if set(found) != set(names):
            raise ValueError(f"it must have the columns {', '.join(names)}")
        return found

    return Annotated[dict[str, Cells], AfterValidator(check)]


def _check(schema: Schema, fields: dict[str, Any]) -> None:
    """Raises:
    ValueError: lists that do not fit each other, no value at all, times that are no steps."""
    count = len(fields["values"])
    if all(value is None for value in fields["values"][-schema.context :]):
        raise ValueError(f"values: none of the last {schema.context} is there")
    for part, length in (("past", count), ("known", count + schema.horizon)):
        for name, cells in fields.get(part, {}).items():
            if len(cells) != length:
                raise ValueError(
                    f"{part}: {name!r} has {len(cells)} cells; {length} are needed for {count} values"
                )
    if not schema.grid.dated:
        return
    times = fields["times"]
    if len(times) != count:
        raise ValueError(f"times: {len(times)} for {count} values")
    moments = np.array([_moment(place, text) for place, text in enumerate(times)])
    steps = schema.grid.places(moments)
    wrong = np.flatnonzero(np.diff(steps) != 1)
    if len(wrong):
        place = int(wrong[0]) + 1
        raise ValueError(
            f"times: {times[place]!r} after {times[place - 1]!r}; steps are {schema.grid.words}. "
            "Send null in values for a step without one"
        )


def _moment(place: int, text: str) -> float:
    try:
        return seconds_of(text)
    except (ValueError, OverflowError):
        raise ValueError(f"times: {text[:40]!r} (number {place + 1}) is no date or time") from None


def _array(cells: Sequence[float | None]) -> np.ndarray:
    return np.array(cells, np.float64)


def _mean(values: np.ndarray) -> float | None:
    there = values[np.isfinite(values)]
    if len(there):
        return float(there.mean())
    return None
