"""What is wrong with a request, in lines that name the field, the value seen and what is
allowed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import to_json

from modelyard.errors import BadData, choices
from modelyard.serving.wording import MOST_CHOICES, one_of, short, shown, typed

MOST = 20
"""Most problems that one answer lists."""
_MOST_ERRORS = 1_000
_SPARE_FIELDS = 100
"""An example may have twice the fields of its schema, since some have two names, and so many
more."""


_FLAT = frozenset({"number", "integer", "string", "boolean", "null"})


class Problem(BaseModel):
    """One thing that is wrong."""

    error: str = Field(description="What is wrong, the value seen and what is allowed, in one line")
    field: str | None = Field(None, description="The field, with dots into nested ones")
    index: int | None = Field(None, description="Which example of a list, from 0")


class ErrorBody(Problem):
    """Body of every answer that is not 200: the first problem, and all of them where there are
    several."""

    errors: list[Problem] | None = Field(None, description=f"All problems, at most {MOST}")


_OPENAI_CODES = {401: "invalid_api_key", 404: "unknown_url", 405: "method_not_supported"}
"""What OpenAI calls these errors, by status."""


class Refusal(Exception):
    """A request that is answered with `status` and its problems."""

    headers: tuple[tuple[bytes, bytes], ...] = ()

    def __init__(self, status: int, *problems: Problem) -> None:
        super().__init__(problems[0].error)
        self.status, self.problems = status, problems[:MOST]

    def body(self) -> dict[str, Any]:
        """JSON of the answer; fields that say nothing are left out."""
        if len(self.problems) > 1:
            errors = list(self.problems)
        else:
            errors = None
        body = ErrorBody(**self.problems[0].model_dump(), errors=errors)
        return body.model_dump(mode="json", exclude_none=True)

    def json(self) -> bytes:
        """The answer's body."""
        return to_json(self.body())

    def openai_body(self) -> dict[str, Any]:
        """JSON of the answer as OpenAI's clients read it."""
        first = self.problems[0]
        if self.status < 500:
            kind = "invalid_request_error"
        else:
            kind = "server_error"
        # OpenAI's errors have one message, and no place for an index: equal ones are said once.
        errors = dict.fromkeys(problem.error for problem in self.problems)
        message = "; ".join(errors)
        code = _OPENAI_CODES.get(self.status)
        if self.status == 404 and first.field == "model":
            code = "model_not_found"
        return {"error": {"message": message, "type": kind, "param": first.field, "code": code}}


def refuse(
    status: int,
    error: str,
    *,
    field: str | None = None,
    index: int | None = None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> Refusal:
    """A refusal with one problem."""
    refused = Refusal(status, Problem(error=error, field=field, index=index))
    refused.headers = headers
    return refused


def costly(seconds: float, left: float) -> Refusal:
    """413 for work that could not be done in time even if nothing else were."""
    said = (
        f"the request asks for about {seconds:,.0f} s of work and must be answered within {left:,.0f} s; "
        "send fewer examples, or ask for less in each"
    )
    return refuse(413, said)


def overloaded(seconds: float) -> Refusal:
    """503, with when to come back."""
    wait = max(1, math.ceil(seconds))
    said = f"the service has more requests than it can answer in time; try again in {wait} s"
    return refuse(503, said, headers=((b"retry-after", b"%d" % wait),))


def late() -> Refusal:
    """504."""
    return refuse(
        504,
        "the answer did not come in time; raise x-deadline-ms, or send fewer or smaller examples",
    )


class Reader:
    """Turns JSON values into examples of one Request type."""

    def __init__(self, request: type[BaseModel]) -> None:
        self.request = request
        schema = request.model_json_schema()
        self._definitions: dict[str, Any] = schema.get("$defs", {})
        self.fields: dict[str, Any] = schema.get("properties", {})
        takes_unknown = bool(schema.get("additionalProperties"))
        self.flat = not takes_unknown and all(map(_is_flat, self.fields.values()))
        """Whether no field holds further ones, so that every number is looked at as it is read."""
        self._most_fields = 2 * len(self.fields) + _SPARE_FIELDS
        self._looks = request.model_config.get("allow_inf_nan", True)
        """Whether the type itself lets NaN and infinities through."""

    def __call__(
        self, values: Sequence[Any], many: bool, wanted: Callable[[], bool] | None = None
    ) -> list[BaseModel]:
        """Reads every value; `many` says whether problems carry an index.

        Raises:
            Refusal: 400: with all problems of all values; 504: it is no longer `wanted`.
        """
        examples: list[BaseModel] = []
        problems: list[Problem] = []
        for number, value in enumerate(values):
            if wanted is not None and not wanted():
                raise late()
            index = number if many else None
            if isinstance(value, dict) and len(value) > self._most_fields:
                # The validator would make an error of each of a million unknown names.
                problems += self._unknown(value, index)
                break
            try:
                example = self.request.model_validate(value)
                examples.append(example)
                if self._looks:
                    for name in _not_finite_fields(example):
                        problems.append(self._not_finite(name, index))
            except ValidationError as error:
                problems += self._problems(error, value, index)
            if len(problems) >= MOST:
                break
        if problems:
            raise Refusal(400, *problems)
        return examples

    def example(self, value: Any) -> BaseModel:
        """One value, outside of a service.

        Raises:
            BadData: its first problem, with the field as the column.
        """
        try:
            (example,) = self([value], many=False)
        except Refusal as refused:
            first = refused.problems[0]
            said = first.error.removeprefix(f"field {first.field!r}").lstrip(": ")
            raise BadData(said, column=first.field) from None
        return example

    def allowed(self, field: str) -> str:
        """What a field takes, in words: `a number of at least 0`."""
        return self._words(self.fields[field])

    def _problems(self, error: ValidationError, value: Any, index: int | None) -> list[Problem]:
        count = error.error_count()
        if count > _MOST_ERRORS:  # describing each of them would take longer than all the rest
            said = (
                f"{count:,} values of the example are not allowed; GET /openapi.json says what is"
            )
            return [Problem(error=said, field=None, index=index)]
        faults = error.errors(include_url=False, include_context=False)
        located = [(_path(fault, value), fault) for fault in faults]
        around: set[tuple[str, ...]] = set()
        for path, _ in located:
            for size in range(1, len(path)):
                around.add(tuple(path[:size]))
        problems: dict[str, Problem] = {}
        for path, fault in located:
            # A value of several kinds has the faults of each: that which fits best has inner ones.
            is_of_union = len(path) < len(fault["loc"])
            if is_of_union and tuple(path) in around:
                continue
            problem = self._problem(fault, path, index)
            # By its words: the kinds of a union may say the same.
            problems[problem.error] = problem
            if len(problems) == MOST:
                break
        return list(problems.values())

    def _unknown(self, value: dict[str, Any], index: int | None) -> list[Problem]:
        said = f"the example has {len(value):,} fields; at most {self._most_fields:,} are read"
        problems = [Problem(error=said, field=None, index=index)]
        for name in value:
            if len(problems) == MOST:
                break
            if name not in self.fields:
                said = f"field {shown(name)} is unknown"
                problems.append(Problem(error=said, field=short(name), index=index))
        return problems

    def _not_finite(self, name: str, index: int | None) -> Problem:
        field = self.request.model_fields[name]
        if isinstance(field.validation_alias, str):
            shown = field.validation_alias
        else:
            shown = field.alias or name
        return Problem(error=f"field {shown!r} must be a finite number", field=shown, index=index)

    def _problem(self, error: Any, path: list[str], index: int | None) -> Problem:
        if not path:
            return Problem(error=self._whole(error), field=None, index=index)
        return Problem(error=self._line(error, path), field=".".join(path), index=index)

    def _whole(self, error: Any) -> str:
        if error["type"] in ("value_error", "assertion_error"):
            return _message(error)
        names = ", ".join(list(self.fields)[:MOST_CHOICES])
        return f"an example must be an object with the fields {names}, seen {shown(error['input'])}"

    def _line(self, error: Any, path: list[str]) -> str:
        name, kind = ".".join(path), error["type"]
        schema = self._schema_at(path)
        if isinstance(error["input"], float) and not math.isfinite(error["input"]):
            return f"field {name!r} must be a finite number"
        if kind == "missing":
            hint = f": it must be {self._words(schema)}" if schema is not None else ""
            return f"field {name!r} is missing{hint}"
        if kind == "extra_forbidden":
            if len(path) == 1:
                return choices("field", name, self.fields)
            return f"field {name!r} is unknown"
        if kind in ("value_error", "assertion_error") or schema is None:
            return f"field {name!r}: {_message(error)}, seen {shown(error['input'])}"
        return f"field {name!r} must be {self._words(schema)}, seen {shown(error['input'])}"

    def _schema_at(self, path: list[str]) -> dict[str, Any] | None:
        """The schema of a field, or of what a field holds; None where it is of several kinds."""
        schema: dict[str, Any] | None = {"properties": self.fields}
        for part in path:
            if schema is not None and "$ref" in schema:
                schema = self._definitions[schema["$ref"].rsplit("/", 1)[-1]]
            if schema is None:
                return None
            schema = _inside(schema, part)
        return schema

    def _words(self, schema: dict[str, Any]) -> str:
        if "$ref" in schema:
            return self._words(self._definitions[schema["$ref"].rsplit("/", 1)[-1]])
        if "anyOf" in schema or "oneOf" in schema:
            options = schema.get("anyOf") or schema["oneOf"]
            kinds = [self._words(option) for option in options]
            return " or ".join(dict.fromkeys(kinds))
        if "const" in schema:
            return json.dumps(schema["const"])
        if "enum" in schema:
            return one_of(schema["enum"])
        return typed(schema)


def _path(error: Any, value: Any) -> list[str]:
    """Where in the value a fault is: without what pydantic calls the kinds of a union, which are no
    part of it (`prompt`, `list[str]`, 0)."""
    path = []
    last = len(error["loc"])
    for place, part in enumerate(error["loc"], 1):
        # A field that is missing is named last, and the value does not hold it.
        is_missing = place == last and error["type"] == "missing"
        if _holds(value, part):
            value = value[part]
        elif place > 1 and not is_missing:
            continue
        path.append(short(str(part)))
    return path


def _holds(value: Any, part: str | int) -> bool:
    """Whether `part` is a field of an object, or a place in a list."""
    if isinstance(value, list):
        return isinstance(part, int) and part < len(value)
    return isinstance(value, dict) and part in value


def _inside(schema: dict[str, Any], part: str) -> dict[str, Any] | None:
    """The schema of a field of an object, or of an item of a list."""
    found = None
    if "properties" in schema:
        found = schema["properties"].get(part)
    elif part.isdigit():
        first = schema.get("prefixItems", [])
        found = first[int(part)] if int(part) < len(first) else schema.get("items")
    return found if isinstance(found, dict) else None


def not_finite(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where a JSON value holds NaN or an infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        yield path
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from not_finite(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from not_finite(inner, (*path, number))


def _is_flat(schema: dict[str, Any]) -> bool:
    options = schema.get("anyOf", [schema])
    return all(option.get("type") in _FLAT for option in options)


def _not_finite_fields(example: BaseModel) -> list[str]:
    names = []
    for name, value in vars(example).items():
        if type(value) is float and not math.isfinite(value):
            names.append(name)
    return names


def _message(error: Any) -> str:
    # What pydantic puts before the words of a validator's own exception.
    text = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    text = text.replace("Input should", "it must", 1)
    return " ".join(text.split())
