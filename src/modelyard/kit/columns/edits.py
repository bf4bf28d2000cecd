"""A person's schema file: what was edited in it binds, what was inferred does not.

    {"target": …, "task": …, "classes": …, "columns": […], "inferred": {…}}

A run writes the schema that it inferred next to the data, with a copy of it as `inferred`. A field
that differs from that copy is an edit. A file without the copy is a person's own: all of it binds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from modelyard.errors import BadData, UsageError, choices
from modelyard.kit.columns.schema import FILE, ROLES, Column
from modelyard.kit.json_lines import json_value
from modelyard.store.artifact import write_text

TASKS = ("auto", "classification", "regression")
FIELDS = ("target", "task", "classes", "columns", "dropped")
"""What a schema file may hold; a family that predicts nothing has the last two."""
INFERRED = "inferred"
"""The field that holds the copy of what was inferred."""
READING = ("role", "format", "unit", "words", "nullable")
"""Fields of a column that decide whether its cells can be read."""


@dataclass(frozen=True)
class Edits:
    """What a person edited. It may concern some columns only; the others are inferred."""

    file: Path | None = None
    """Where it stands; None: nothing was edited."""
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

    def of_target(self, target: str) -> Edits:
        """What holds when `target` is predicted: task and classes are those of the file's own
        target."""
        if self.target in (None, target):
            return self
        return replace(self, task=None, classes=None)

    def apply(self, column: Column) -> Column:
        """The inferred column with the person's fields laid over it.

        Raises:
            BadData: a field that is unknown or has a value that is not allowed.
        """
        given = self.columns.get(column.name)
        if not given:
            return column
        inferred = column.model_dump()
        values = dict(inferred)
        # What belongs to the inferred role would be refused with another one.
        if given.get("role", column.role) != column.role:
            values.update(transform=None, boolean=False, words=[])
        try:
            values |= given
            # An empty format or unit says nothing: it may stem from another role that the column
            # had.
            for name in ("format", "unit"):
                values[name] = given.get(name) or inferred[name]
            return Column.model_validate(values)
        except ValidationError as error:
            raise BadData(_explain(error), file=self.file, column=column.name) from None

    def explain(self, error: BadData) -> BadData:
        """An error about a column's cells, with what the file says of the column."""
        given = self.columns.get(error.column or "", {})
        said = []
        for name in READING:
            if given.get(name) not in (None, "", []):
                said.append(f'"{name}": {json.dumps(given[name], ensure_ascii=False)}')
        if self.file is None or not said:
            return error
        return BadData(
            f"{error.problem}; {self.file.name} says {', '.join(said)}",
            file=error.file,
            row=error.row,
            column=error.column,
            hint=error.hint,
        )


def read_edits(file: Path, called: Path | None = None) -> Edits:
    """Reads a schema file; one in which nothing was edited gives no edits.

    `called` is what messages call the file.

    Raises:
        BadData: not JSON, or a field that is unknown or has a value that is not allowed.
    """
    called = called or file
    content = _content(file, called)
    task = content.get("task")
    if task not in (None, *TASKS):
        raise BadData(choices("task", str(task), TASKS), file=called)
    target = content.get("target")
    if target is not None and not isinstance(target, str):
        raise BadData(f"'target' must be a column's name, seen {target!r}", file=called)
    classes = content.get("classes")
    if classes is not None and not _are_names(classes):
        raise BadData(f"'classes' must be a list of names, seen {classes!r}", file=called)
    inferred = content.get(INFERRED, {})
    if not isinstance(inferred, dict):
        problem = f"{INFERRED!r} must be an object, seen {type(inferred).__name__}"
        raise BadData(problem, file=called, hint="Delete it: all of the file then binds")
    given = {"target": target, "task": task, "classes": classes}
    changed = []
    for name, value in given.items():
        if value is not None and value != inferred.get(name):
            changed.append(name)
    columns = _changed_columns(content, inferred, called)
    if not changed and not columns:
        return Edits()
    if task == "auto" or "task" not in changed:
        task = None
    if "classes" not in changed:
        classes = None
    return Edits(called, target, task, classes, columns)


def find_edits(data: Path, setting: str | None) -> Edits:
    """The edits to follow: of `setting` if given, else of `<stem>.schema.json` or `schema.json`.

    `data` is the data file next to which they are looked for, or the folder that holds it.
    """
    data = Path(data)
    folder = data if data.is_dir() else data.parent
    if setting is not None:
        # A run on another machine has the data set's copy, see `companions`, and not the path.
        file = folder / FILE
        if not file.is_file():
            file = Path(setting)
        return read_edits(file, called=Path(setting))
    found = edits_of(data)
    if found.file is not None or not data.is_dir():
        return found
    # A schema without an edit binds nothing: only edited ones can contradict each other.
    edited: dict[str, Edits] = {}
    for file in sorted(folder.glob("*.schema.json")):
        edits = read_edits(file)
        if edits.file is not None:
            edited[edits.file.name] = edits
    if len(edited) > 1:
        hint = "Keep one, or choose it with --set features.table_schema=PATH"
        raise BadData(f"holds several schemas: {', '.join(edited)}", file=folder, hint=hint)
    if not edited:
        return Edits()
    (only,) = edited.values()
    return only


def companions(uri: str | None, setting: str | None) -> dict[str, Path]:
    """The edited schema as a file of the data set: `setting`, or the one next to a local data
    file."""
    if setting is not None:
        if not Path(setting).is_file():
            raise UsageError(f"setting 'features.table_schema' = {setting!r}: no such file")
        return {FILE: Path(setting).absolute()}
    if not uri:
        return {}
    data = Path(uri).expanduser()
    if not data.is_file():
        return {}
    file = edits_of(data).file
    if file is None:
        return {}
    return {file.name: file}


def edits_of(data: Path) -> Edits:
    """The edits next to a data file, or in `schema.json` of a folder."""
    for file in _schemas(data):
        edits = read_edits(file)
        if edits.file is not None:
            return edits
    return Edits()


def write_back(features: Path, data: Path) -> list[Path]:
    """Writes `data.schema.json` next to `data.csv`, for a person to edit.

    Not where there is one, and never into a folder of data, which may be versioned as a whole.
    """
    if data.is_dir() or not os.access(data.parent, os.W_OK) or _schemas(data):
        return []
    found = json.loads((Path(features) / "assets" / FILE).read_text())
    # What is predicted stands above the columns, which are many.
    schema = {name: found[name] for name in FIELDS if name in found}
    # The copy is one line at the end: people edit the lines above it.
    copy = json.dumps(schema, ensure_ascii=False)
    shown = json.dumps(schema, ensure_ascii=False, indent=1).removesuffix("\n}")
    file = _own_schema(data)
    write_text(file, f'{shown},\n "{INFERRED}": {copy}\n}}\n')
    return [file]


def _schemas(data: Path) -> list[Path]:
    """`<stem>.schema.json` and `schema.json` next to a data file, or the latter in a folder; those
    that there are."""
    if data.is_dir():
        files = [data / FILE]
    else:
        files = [_own_schema(data), data.parent / FILE]
    return [file for file in files if file.is_file()]


def _own_schema(data: Path) -> Path:
    """`customers.schema.json` of `customers.csv.gz`."""
    return data.with_name(f"{data.name.split('.')[0]}.schema.json")


def _content(file: Path, called: Path) -> dict[str, Any]:
    if not file.is_file():
        hint = "Check the setting features.table_schema"
        raise BadData("no such schema file", file=called, hint=hint)
    # As bytes: Windows' editor writes a byte order mark.
    content = json_value(file.read_bytes(), called)
    if not isinstance(content, dict):
        raise BadData("must hold an object with 'columns'", file=called)
    allowed = [*FIELDS, INFERRED]
    for name in content:
        if name not in allowed:
            raise BadData(choices("field", name, allowed), file=called)
    return content


def _changed_columns(
    content: dict[str, Any], inferred: dict[str, Any], file: Path
) -> dict[str, dict[str, Any]]:
    """By column name, the fields that are not as they were inferred."""
    before = dict(_columns(inferred.get("columns", []), file))
    found = {}
    for name, column in _columns(content.get("columns", []), file):
        known = before.get(name, {})
        changed = {}
        for key, value in column.items():
            if key not in known or known[key] != value:
                changed[key] = value
        if changed:
            found[name] = changed
    return found


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _columns(columns: Any, file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(columns, list):
        raise BadData(f"'columns' must be a list, seen {type(columns).__name__}", file=file)
    seen: set[str] = set()
    for index, column in enumerate(columns):
        name = None
        if isinstance(column, dict):
            name = column.get("name")
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
    if name:
        return f"field {name!r} = {first['input']!r}: {message}"
    return message
