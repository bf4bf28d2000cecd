"""What a table's columns are: read from the data, edited by a person, followed by training and
serving alike.

Light: the serving half reads it too.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from modelyard.errors import BadData, UsageError, choices
from modelyard.kit.assets import Asset
from modelyard.store.artifact import write_text

Role = Literal["numeric", "category", "text", "time", "drop"]
Transform = Literal["identity", "log", "standardize", "onehot", "ordinal"]

ROLES: tuple[str, ...] = get_args(Role)
TASKS = ("auto", "classification", "regression")
TRANSFORMS: Mapping[str, tuple[str, ...]] = {
    "numeric": ("standardize", "log", "identity"),
    "category": ("onehot", "ordinal"),
    "text": (),
    "time": (),
    "drop": (),
}
"""Transforms each role may have; the first is the default."""

ENGLISH, CONTINENTAL, FRENCH = "1,234.5", "1.234,5", "1 234,5"
STYLES = (ENGLISH, CONTINENTAL, FRENCH, "1 234.5", "1'234.5")
"""How numbers may be written with separators: second character between thousands, sixth before
decimals."""

FILE = "schema.json"


class Column(BaseModel):
    """One column of the table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    role: Role
    transform: Transform | None = None
    """Numeric: identity, log (sign-preserving log1p) or standardize; category: onehot or
    ordinal."""
    boolean: bool = False
    """A numeric column of true and false."""
    nullable: bool = False
    """Whether a cell may be empty."""
    format: str = ""
    """How files write the cells: of times `ISO 8601` or a pattern such as `%d.%m.%Y`; of numbers
    `1,234.5`, `1.234,5`, `1 234,5`, `1 234.5` or `1'234.5` where thousands are separated.
    Requests hold plain numbers and ISO 8601."""
    unit: str = ""
    """What files write beside each number: `%`, `EUR`, `kg`. Requests hold the number alone."""
    description: str = ""
    """For the people who call the service."""
    examples: list[float | bool | str] = []
    minimum: float | None = None
    """Smallest training value; documentation, not a limit."""
    maximum: float | None = None
    """Largest training value; documentation, not a limit."""
    choices: list[str] = []
    """Categories by frequency; with `ordinal`, in their order, lowest first."""

    @model_validator(mode="before")
    @classmethod
    def _default_transform(cls, values: Any) -> Any:
        if (
            isinstance(values, dict)
            and values.get("transform") is None
            and values.get("role") in TRANSFORMS
        ):
            allowed = TRANSFORMS[values["role"]]
            values = {**values, "transform": allowed[0] if allowed else None}
        return values

    @model_validator(mode="after")
    def _transform_and_format_suit_role(self) -> Column:
        allowed = TRANSFORMS[self.role]
        if self.transform is not None and self.transform not in allowed:
            raise ValueError(
                f"transform {self.transform!r} does not suit role {self.role!r}. "
                f"Allowed: {', '.join(allowed) or 'null'}"
            )
        if self.role == "numeric" and self.format and self.format not in STYLES:
            allowed = tuple(json.dumps(style) for style in STYLES)
            raise ValueError(
                f"format {self.format!r} is none of numbers. Allowed: {', '.join(allowed)}, or empty"
            )
        return self


class TableSchema(Asset):
    """A table: its target and its columns."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    FILE: ClassVar[str] = FILE

    target: str
    task: Literal["classification", "regression"]
    classes: list[str] | None = None
    """Class names in index order; of two, the second is the positive one. None for a regression."""
    columns: list[Column]
    """All columns but the target, those with role `drop` included."""
    dropped: dict[str, str] = Field(default_factory=dict)
    """Columns left out, and why."""

    @property
    def inputs(self) -> list[Column]:
        """The columns a request holds: all that are not dropped."""
        return [column for column in self.columns if column.role != "drop"]


@dataclass(frozen=True)
class Edits:
    """What a person's schema file says. It may name some columns only; the others are inferred."""

    file: Path | None = None
    target: str | None = None
    task: Literal["classification", "regression"] | None = None
    classes: Sequence[str] | None = None
    columns: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By column name, the fields that are given."""

    def role(self, name: str) -> str | None:
        """The role given to a column, if any."""
        role: str | None = self.columns.get(name, {}).get("role")
        return role

    def requires(self, name: str) -> bool:
        """Whether no cell of a column may be empty."""
        return self.columns.get(name, {}).get("nullable") is False

    def apply(self, column: Column) -> Column:
        """The inferred column with the person's fields laid over it.

        Raises:
            BadData: a field that is unknown or has a value that is not allowed.
        """
        given = self.columns.get(column.name)
        if not given:
            return column
        values = column.model_dump()
        if given.get("role", column.role) != column.role:
            values.update(transform=None, boolean=False)
        try:
            # An empty format or unit says nothing: it may stem from another role that the column
            # had.
            written = {name: given.get(name) or values[name] for name in ("format", "unit")}
            return Column.model_validate({**values, **given, **written})
        except ValidationError as error:
            raise BadData(_explain(error), file=self.file, column=column.name) from None


def read_edits(file: Path) -> Edits:
    """Reads an edited schema: `{"target": ..., "task": ..., "columns": [{"name": ..., "role":
    ...}]}`.

    Raises:
        BadData: not JSON, or a field that is unknown or has a value that is not allowed.
    """
    if not file.is_file():
        hint = "Check the setting features.table_schema"
        raise BadData("no such schema file", file=file, hint=hint)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadData(f"is not JSON: {error}", file=file) from None
    if not isinstance(content, dict):
        raise BadData("must hold an object with 'columns'", file=file)
    for name in content:
        if name not in TableSchema.model_fields:
            raise BadData(choices("field", name, TableSchema.model_fields), file=file)
    task = content.get("task")
    if task not in (None, *TASKS):
        raise BadData(choices("task", str(task), TASKS), file=file)
    target = content.get("target")
    if target is not None and not isinstance(target, str):
        raise BadData(f"'target' must be a column's name, seen {target!r}", file=file)
    classes = content.get("classes")
    if classes is not None and not (
        isinstance(classes, list) and all(isinstance(c, str) for c in classes)
    ):
        raise BadData(f"'classes' must be a list of names, seen {classes!r}", file=file)
    columns = dict(_edited_columns(content.get("columns", []), file))
    return Edits(file, target, None if task == "auto" else task, classes, columns)


def find_edits(data: Path, setting: str | None) -> Edits:
    """The edited schema to follow: `setting` if given, else `<stem>.schema.json` or `schema.json`.

    `data` is the data file beside which they are looked for, or the folder that holds it.
    """
    data = Path(data)
    folder = data if data.is_dir() else data.parent
    if setting is not None:
        brought = folder / FILE
        return read_edits(brought if brought.is_file() else Path(setting))
    found = sorted(folder.glob("*.schema.json")) if data.is_dir() else []
    if beside := schema_beside(data):
        return read_edits(beside)
    if len(found) > 1:
        problem = f"holds several schemas: {', '.join(file.name for file in found)}"
        hint = "Keep one, or choose it with --set features.table_schema=PATH"
        raise BadData(problem, file=folder, hint=hint)
    return read_edits(found[0]) if found else Edits()


def companions(uri: str | None, setting: str | None) -> dict[str, Path]:
    """The edited schema as a file of the data set: `setting`, or the one beside a local data
    file."""
    if setting is not None:
        if not Path(setting).is_file():
            raise UsageError(f"setting 'features.table_schema' = {setting!r}: no such file")
        return {FILE: Path(setting).absolute()}
    data = Path(uri).expanduser() if uri else None
    if data is None or not data.is_file():
        return {}
    beside = schema_beside(data)
    return {FILE: beside} if beside else {}


def schema_beside(data: Path) -> Path | None:
    """`<stem>.schema.json` or `schema.json` beside a data file, or the latter in a folder."""
    own = [] if data.is_dir() else [own_schema(data)]
    general = (data if data.is_dir() else data.parent) / FILE
    return next((file for file in [*own, general] if file.is_file()), None)


def own_schema(data: Path) -> Path:
    """`customers.schema.json` of `customers.csv.gz`."""
    return data.with_name(f"{data.name.split('.')[0]}.schema.json")


def write_back(features: Path, data: Path) -> list[Path]:
    """Writes `data.schema.json` beside `data.csv`, where the next run finds it and a person can
    edit it.

    Not where there is one, and never into a folder of data, which may be versioned as a whole.
    """
    file = own_schema(data)
    if data.is_dir() or not os.access(file.parent, os.W_OK) or schema_beside(data):
        return []
    write_text(file, TableSchema.load(Path(features) / "assets").model_dump_json(indent=1) + "\n")
    return [file]


def near(name: str, names: list[str]) -> str:
    """The sentence that lists the columns there are, the nearest spelling first."""
    folded = {other.casefold(): other for other in names}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    guess = f"Did you mean {folded[close[0]]!r}? " if close else ""
    shown = ", ".join(names[:20]) + (f", … ({len(names)} in all)" if len(names) > 20 else "")
    return f"{guess}Columns: {shown}"


def _edited_columns(columns: Any, file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(columns, list):
        raise BadData(f"'columns' must be a list, seen {type(columns).__name__}", file=file)
    seen: set[str] = set()
    for index, column in enumerate(columns):
        name = column.get("name") if isinstance(column, dict) else None
        if not isinstance(name, str) or not name:
            problem = f"columns[{index}] must be an object with a 'name', seen {column!r}"
            raise BadData(problem, file=file)
        if name in seen:
            raise BadData("the column is listed twice", file=file, column=name)
        seen.add(name)
        if "role" in column and column["role"] not in ROLES:
            raise BadData(choices("role", str(column["role"]), ROLES), file=file, column=name)
        yield name, column


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return choices("field", name, Column.model_fields)
    message = first["msg"].removeprefix("Value error, ")
    return f"field {name!r} = {first['input']!r}: {message}" if name else message
