"""The half that answers: a row or a window of measurements to a score and its reasons. Only
numpy and pydantic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model

from modelyard.families.anomaly import scoring
from modelyard.families.anomaly.schema import LARGEST, Column, Detector, Schema
from modelyard.host import Caution, Explanation, Host, WithWarnings, described
from modelyard.kit.cautions import Ranges
from modelyard.runtimes.types import Runtime

FAR = 10.0
"""Widths of the training range beyond it from which on a measurement is far outside: so far that
another unit is likelier than an anomaly."""


MACHINE = "machine"
"""A request's field that names the machine."""
MOST_MACHINES = 8
"""Machines whose scores are drift columns of their own."""


class Answer(WithWarnings):
    """The answer to one row or window."""

    score: float
    """How strange it is; comparable between answers of one package only."""
    threshold: float
    """An anomaly is answered above this score."""
    anomaly: bool
    """Whether the score is above the threshold."""
    severity: float
    """0: as strange as the median normal row or window; 1: at the threshold; 3: three times as
    far."""
    contributions: dict[str, float]
    """By column, largest first: what it adds to the score. Reconstructions (autoencoder, lstm):
    its part of the error; the parts add up to the score. Others: how much the score falls with
    the column at the value that the other columns let expect."""


class AnomalyHost(Host):
    """Answers for one trained detector: its `Request` has the columns of the training data."""

    Response = Answer

    def __init__(self, assets: Path) -> None:
        super().__init__(assets)
        self.schema = Schema.load(assets)
        self.detector = Detector.load(assets)
        self.Request = request_model(self.schema, self.detector.window)
        self._ranges = Ranges(FAR)
        # A machine that is in several files is a series in each.
        self._known = list(dict.fromkeys(self.schema.machines))
        for place, column in enumerate(self.schema.columns):
            self._ranges.add(_key(place), column.name, column.minimum, column.maximum)

    def windows(self, requests: Sequence[BaseModel]) -> np.ndarray:
        """Measurements of requests less their offsets, float32 (requests, window, columns)."""
        width = len(self.schema.columns)
        cells = []
        for request in requests:
            cells.append([list(vars(row).values()) for row in _rows(request)])
        values = np.array(cells, np.float64).reshape(len(requests), self.detector.window, width)
        # In 64 bits: 32 would not tell the values of some columns apart.
        less: np.ndarray = (values - self.schema.offsets).astype(np.float32)
        return less

    def scores(self, run: Runtime, windows: np.ndarray) -> np.ndarray:
        """Scores, float64 (examples,), of float32 (examples, window, columns)."""
        return scoring.scores(self.detector, scoring.run_graph(run, windows))

    def predict(self, run: Runtime, requests: Sequence[BaseModel]) -> list[BaseModel]:
        """One answer a request, in order."""
        if not requests:
            return []
        score, parts = self.judge(run, self.windows(requests))
        severity = scoring.severity(self.detector, score)
        answers: list[BaseModel] = []
        for request, strange, far, own in zip(requests, score, severity, parts, strict=True):
            answers.append(self._answer(strange, far, own, self._cautions(request)))
        return answers

    def judge(self, run: Runtime, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores (examples,) and what each column adds to them (examples, columns), float64."""
        outputs = scoring.run_graph(run, windows)
        score = scoring.scores(self.detector, outputs)
        if "errors" in outputs:
            return score, scoring.error_parts(self.detector, outputs["errors"])
        return score, self._occluded(run, windows, score)

    def describe(self, request: BaseModel, response: BaseModel) -> dict[str, float | str | None]:
        """Each column's value, or its mean and standard deviation over the window; the score;
        anomaly or not; the machine, and the score of each of the first MOST_MACHINES by itself."""
        assert isinstance(response, Answer)
        values = self.windows([request])[0].astype(np.float64) + self.schema.offsets
        row: dict[str, float | str | None] = {}
        spreads: dict[str, float | str | None] = {}
        for name, cells in zip(self.schema.names, values.T, strict=True):
            row[name] = float(cells.mean())
            if len(cells) > 1:
                spreads[f"{name}: spread"] = float(cells.std())
        alarm = "yes" if response.anomaly else "no"
        answer: dict[str, float | str | None] = {"score": response.score, "anomaly": alarm}
        if self.schema.entity is not None:
            machine = _machine(request)
            spreads[MACHINE] = machine
            for name in self._known[:MOST_MACHINES]:
                spreads[f"score of {name}"] = None
                if machine == name:
                    spreads[f"score of {name}"] = response.score
        return described(row, answer, spreads)

    def explain(self, run: Runtime, request: BaseModel) -> Explanation:
        """What each column adds to the score; `Explanation.method` says how that is measured."""
        (answer,) = self.predict(run, [request])
        assert isinstance(answer, Answer)
        method = "occlusion to what the other columns let expect"
        base = None
        if self.detector.error_scale is not None:
            # Parts of an error add up to it.
            method, base = "share of the reconstruction error", 0.0
            if self.detector.kind == "neighbours":
                method = "share of the squared distance from the nearest training rows"
        return Explanation(
            method=method,
            output=f"anomaly score ({self.detector.kind}); an alarm above {self.detector.threshold:.4g}",
            base=base,
            contributions=answer.contributions,
        )

    def read_file(self, file: Path) -> list[dict[str, Any]] | None:
        """Rows of a CSV or Parquet file, read as the training data were, with their other columns;
        for windows, the one that ends at each row, where no gap in time lies in it. Where training
        resampled, so is the file.
        """
        from modelyard.families.anomaly.rows import read_bodies

        return read_bodies(file, self.schema, self.detector.window)

    def _occluded(self, run: Runtime, windows: np.ndarray, score: np.ndarray) -> np.ndarray:
        """How much each score falls with one column at its expected value, (examples, columns)."""
        expected, fall = self._expected(windows), np.empty((len(windows), windows.shape[2]))
        for index in range(windows.shape[2]):
            changed = windows.copy()
            changed[:, :, index] = expected[:, :, index]
            fall[:, index] = score - self.scores(run, changed)
        return fall

    def _expected(self, windows: np.ndarray) -> np.ndarray:
        """What the other columns of a row let expect of each column, within what training saw of
        it."""
        mean = self.schema.figures("mean")
        found = mean + (windows - mean) @ np.array(self.detector.expectation)
        # Beyond what training saw the linear rule knows nothing.
        low, high = self.schema.figures("minimum"), self.schema.figures("maximum")
        return np.asarray(np.clip(found, low, high))

    def _cautions(self, request: BaseModel) -> tuple[Caution, ...]:
        """One a column at most, for the first row of the window that has it."""
        found: dict[str, Caution] = {}
        for row in _rows(request):
            for caution in self._ranges.cautions(vars(row)):
                found.setdefault(caution.field, caution)
        machine = _machine(request)
        if machine is not None and machine not in self._known:
            said = f"{machine[:60]!r} was not in the training data; the one detector of all machines answers"
            found[MACHINE] = Caution(field=MACHINE, message=said)
        return tuple(found.values())

    def _answer(
        self, score: float, severity: float, parts: np.ndarray, cautions: tuple[Caution, ...]
    ) -> Answer:
        order = np.argsort(-np.abs(parts), kind="stable")
        return Answer(
            score=float(score),
            threshold=self.detector.threshold,
            anomaly=bool(score > self.detector.threshold),
            severity=float(severity),
            contributions={self.schema.names[index]: float(parts[index]) for index in order},
            warnings=cautions,
        )


def request_model(schema: Schema, window: int) -> type[BaseModel]:
    """`{"values": {column: number}}`, or `{"window": [{column: number}, …]}` of `window` rows,
    oldest first."""
    fields: dict[str, Any] = {}
    for place, column in enumerate(schema.columns):
        fields[_key(place)] = (_Number, _field(column))
    config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)
    row = create_model("Row", __config__=config, __doc__="Measurements of one moment.", **fields)
    values = {column.name: column.median for column in schema.columns}
    what = "One row of measurements."
    about = Field(description="Measurements of one moment, by column")
    content: dict[str, Any] = {"values": (row, about)}
    example: dict[str, Any] = {"values": values}
    if window > 1:
        what = f"{window} consecutive rows of measurements."
        about = Field(description=_window_words(schema, window))
        content = {"window": (_window_type(row, window), about)}
        example = {"window": [values] * window}
    if schema.entity is not None:
        about = Field(default=None, max_length=200, description=_machine_words(schema))
        content["machine"] = (str | None, about)
        if schema.machines:
            example["machine"] = schema.machines[0]
        # Machines are often numbered.
        config = config | ConfigDict(coerce_numbers_to_str=True)
    config = config | ConfigDict(json_schema_extra={"examples": [example]})
    model: type[BaseModel] = create_model("Request", __config__=config, __doc__=what, **content)
    return model


_Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]


def _key(place: int) -> str:
    """The Python name of a column's field: its own may be none."""
    return f"column_{place}"


def _field(column: Column) -> Any:
    about = f"a number; in training {column.minimum:g} to {column.maximum:g}"
    return Field(alias=column.name, description=about, examples=[column.median])


def _window_type(row: type[BaseModel], window: int) -> Any:
    def check(rows: list[Any]) -> list[Any]:
        if len(rows) != window:
            raise ValueError(
                f"{window} consecutive rows are needed, oldest first; seen: {len(rows)}"
            )
        return rows

    schema = Field(json_schema_extra={"minItems": window, "maxItems": window})
    return Annotated[list[row], AfterValidator(check), schema]  # type: ignore[valid-type]


def _window_words(schema: Schema, window: int) -> str:
    if schema.step is not None:
        apart = f", {schema.step:g} apart"
    else:
        apart = ""
    return f"{window} consecutive rows without a gap{apart}, oldest first"


def _machine_words(schema: Schema) -> str:
    machines = list(dict.fromkeys(schema.machines))
    shown = machines[:MOST_MACHINES]
    if len(machines) > MOST_MACHINES:
        shown.append("…")
    return f"Which machine it is ({schema.entity}); in training: {', '.join(shown)}"


def _rows(request: BaseModel) -> list[BaseModel]:
    """Of `window`, or the one of `values`."""
    fields = vars(request)
    if "window" in fields:
        rows: list[BaseModel] = fields["window"]
        return rows
    return [fields["values"]]


def _machine(request: BaseModel) -> str | None:
    machine: str | None = vars(request).get(MACHINE)
    return machine
