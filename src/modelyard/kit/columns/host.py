"""Requests that are one row of a table, of any family that reads columns. Numpy and pydantic
only."""

from __future__ import annotations

import keyword
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictStr,
    ValidationError,
    WrapValidator,
    create_model,
)

from modelyard.host import Cell, Host, WithWarnings
from modelyard.kit.columns.cautions import Cautions
from modelyard.kit.columns.cells import as_times, calendar, parse_time, words
from modelyard.kit.columns.encode import Encoder
from modelyard.kit.columns.schema import Column, HasColumns

LONGEST = 100
"""Characters of a category that drift detection keeps."""
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class ColumnHost(Host):
    """Answers about rows of a table: its `Request` has the table's columns as fields."""

    def __init__(self, assets: Path, schema: HasColumns, about: str) -> None:
        """`about` says what a request is."""
        super().__init__(assets)
        self._schema = schema
        self.encoder = Encoder.load(assets)
        named = _field_names(schema.inputs)
        self._fields = {column.name: field for field, column in named.items()}
        self._described: list[tuple[str, str, Column | None]] = []
        """Column, field, and the column's schema where the value itself does not describe it."""
        for column in schema.inputs:
            describes_itself = column.role == "numeric" and not (column.boolean or column.words)
            described = None if describes_itself else column
            self._described.append((column.name, self._fields[column.name], described))
        self.Request = request_model(schema, about)
        self._cautions = Cautions(schema, self._fields, self.encoder, self.assets)

    def columns(self, requests: Sequence[BaseModel]) -> dict[str, tuple[Any, ...]]:
        """Values by column of at least one request, as the encoder takes them."""
        rows = []
        for request in requests:
            values = vars(request)
            rows.append([values[field] for field in self._fields.values()])
        # Turned by zip: a request has one row, for which a loop over its columns costs more.
        columns = zip(*rows, strict=True)
        return dict(zip(self._fields, columns, strict=True))

    def warn(self, requests: Sequence[BaseModel], found: Sequence[WithWarnings]) -> None:
        """Sets the warnings of answers whose requests hold what training never saw."""
        for request, answer in zip(requests, found, strict=True):
            answer.warnings = self._cautions.of(vars(request))

    def cells(self, request: BaseModel) -> tuple[dict[str, Cell], dict[str, Cell]]:
        """A request as drift detection sees it: the columns, and texts and times as figures."""
        row: dict[str, Cell] = {}
        derived: dict[str, Cell] = {}
        values = vars(request)
        for name, field, column in self._described:
            value = values[field]
            if column is None:
                row[name] = value
            elif column.words:
                number, word = value, None
                if isinstance(value, str):
                    number, word = None, value
                row[name] = number
                derived[f"{name}: word"] = word
            elif column.role in ("text", "time"):
                derived |= _figures(column, value)
            else:
                row[name] = shown(column, value)
        return row, derived

    def read_file(self, file: Path) -> Sequence[dict[str, Any]] | None:
        """Rows of a CSV or Parquet file, read as the training data were."""
        from modelyard.kit.columns.rows import read_rows

        return read_rows(file, self._schema)


def _figures(column: Column, value: Any) -> dict[str, float | str | None]:
    """What drift detection sees of a text or a time, in columns of their own names."""
    name = column.name
    if column.role == "text":
        text = (value or "").strip()
        return {
            f"{name}: words": float(len(words(text))),
            f"{name}: characters": float(len(text)),
        }
    if not value:
        return {f"{name}: weekday": None, f"{name}: hour": None}
    # Not the age: it moves with the calendar, and would count as drift by itself.
    parts = calendar(as_times([value]))
    return {
        f"{name}: weekday": WEEKDAYS[int(parts["weekday"][0])],
        f"{name}: hour": float(parts["hour"][0]),
    }


def shown(column: Column, value: Any) -> str | None:
    """A category or a true and false as drift detection sees it."""
    if value is None or value == "":
        return None
    if column.boolean:
        return "true" if value else "false"
    return str(value.strip()[:LONGEST])


def request_model(schema: HasColumns, about: str) -> type[BaseModel]:
    """The schema of one request: a field a column, by its own name in JSON; any other field is
    refused. `about` says what a request is."""
    fields: dict[str, Any] = {}
    for name, column in _field_names(schema.inputs).items():
        fields[name] = (_type(column), _field(column))
    example = {column.name: _example(column) for column in schema.inputs}
    config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        serialize_by_alias=True,
        json_schema_extra={"examples": [example]},
    )
    model: type[BaseModel] = create_model("Request", __config__=config, **fields)
    model.__doc__ = about
    return model


def _field_names(columns: Sequence[Column]) -> dict[str, Column]:
    """A Python name for each column: its own where that is one and not one of pydantic's."""
    taken = {column.name for column in columns}
    named = {}
    for index, column in enumerate(columns):
        name = column.name
        is_name = name.isidentifier() and not keyword.iskeyword(name)
        # pydantic takes a leading underscore for a private attribute, and its own names, such as
        # `copy`, for methods.
        is_pydantics = name.startswith("_") or hasattr(BaseModel, name)
        if not is_name or is_pydantics:
            name = f"column_{index}"
            while name in taken:
                name += "_"
        named[name] = column
    return named


def _type(column: Column) -> Any:
    kind: Any = StrictStr
    if column.role == "numeric":
        kind = StrictBool if column.boolean else StrictFloat
        if column.words:
            allowed: Any = StrictFloat | Literal[tuple(column.words)]
            kind = Annotated[allowed, WrapValidator(_in_one_sentence(column))]
    elif column.role == "time":
        kind = Annotated[StrictStr, AfterValidator(_checked_time)]
    if column.nullable:
        return kind | None
    return kind


def _field(column: Column) -> Any:
    examples = list(column.examples)
    if not examples and column.role == "time":
        examples = [_example(column)]
    notes = [column.description or _words_for(column)]
    if column.minimum is not None and column.maximum is not None:
        notes.append(f"in training {column.minimum:g} to {column.maximum:g}")
    if column.choices:
        shown = column.choices[:10]
        if len(column.choices) > 10:
            shown.append("…")
        notes.append(f"in training {', '.join(shown)}; others are allowed")
    extra: dict[str, Any] = {}
    if column.role == "time":
        extra = {"format": "date-time"}
    return Field(
        default=None if column.nullable else ...,
        alias=column.name,
        description=": ".join(notes),
        examples=examples or None,
        json_schema_extra=extra or None,
    )


_WORDS_FOR = {
    "numeric": "a number",
    "category": "a category",
    "text": "free text",
    "time": "an ISO 8601 date or time, UTC without an offset",
}


def _words_for(column: Column) -> str:
    if column.boolean:
        return "true or false"
    if column.words:
        return f"a number, or one of {', '.join(map(repr, column.words))}"
    if column.role == "numeric" and column.unit:
        return f"a number, in {column.unit}"
    return _WORDS_FOR[column.role]


def _example(column: Column) -> Any:
    if column.examples:
        return column.examples[0]
    if column.nullable:
        return None
    if column.boolean:
        return False
    return {"numeric": 0.0, "time": "2026-03-31T08:00:00"}.get(column.role, "")


def _in_one_sentence(column: Column) -> Callable[[Any, Callable[[Any], Any]], Any]:
    """What is wrong with a value that is neither a number nor a word of the column."""

    # pydantic names the fault of each kind of a union: two errors for one value.
    def check(value: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise ValueError(f"must be {_words_for(column)}") from None

    return check


def _checked_time(text: str) -> str:
    parse_time(text)
    return text
