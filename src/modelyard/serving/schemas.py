"""Whether callers of one package can be answered by another: their JSON schemas, compared.

A request may be read more widely than before and never more narrowly; an answer must hold the
fields that it held, of the types that they had.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modelyard.host import Host

_DEEPEST = 16
"""Objects within objects; schemas that refer to themselves are compared so far."""
_BOUNDS = {
    "minimum": (max, "at least {}"),
    "exclusiveMinimum": (max, "above {}"),
    "minLength": (max, "at least {} characters"),
    "minItems": (max, "at least {} items"),
    "maximum": (min, "at most {}"),
    "exclusiveMaximum": (min, "below {}"),
    "maxLength": (min, "at most {} characters"),
    "maxItems": (min, "at most {} items"),
}
"""By keyword: which of two values is the tighter one, and how it reads."""


@dataclass(frozen=True)
class _Schema:
    """A JSON schema with the definitions that its references lead to."""

    content: Mapping[str, Any]
    defined: Mapping[str, Any]

    def alternatives(self) -> list[_Schema]:
        """What a value may be; more than one where the schema says `anyOf`."""
        content = self._resolved()
        options = content.get("anyOf") or content.get("oneOf")
        if options is None:
            return [_Schema(content, self.defined)]
        found: list[_Schema] = []
        for option in options:
            found += _Schema(option, self.defined).alternatives()
        return found

    def fields(self) -> dict[str, _Schema]:
        """The fields of an object."""
        properties = self.content.get("properties", {})
        return {name: _Schema(own, self.defined) for name, own in properties.items()}

    def items(self) -> _Schema:
        """What a list holds."""
        return _Schema(self.content.get("items", {}), self.defined)

    @property
    def choices(self) -> list[Any] | None:
        """The values that are allowed; None: not listed."""
        if "const" in self.content:
            return [self.content["const"]]
        found: list[Any] | None = self.content.get("enum")
        return found

    @property
    def types(self) -> set[str]:
        """`string`, `number`, …; empty: any."""
        named = self.content.get("type")
        if isinstance(named, list):
            return set(named)
        if named:
            return {named}
        return set()

    @property
    def open(self) -> bool:
        """Whether an object may hold fields that the schema does not name."""
        return self.content.get("additionalProperties") is not False

    def _resolved(self) -> Mapping[str, Any]:
        content: Mapping[str, Any] = self.content
        for _ in range(_DEEPEST):
            reference = content.get("$ref")
            if reference is None:
                break
            content = self.defined[reference.rpartition("/")[2]]
        return content


def breaks(old: Host, new: Host) -> list[str]:
    """What callers of `old` send, or read, that `new` refuses or no longer answers; empty:
    nothing."""
    requested = _schema(old.Request, "validation"), _schema(new.Request, "validation")
    answered = _schema(old.Response, "serialization"), _schema(new.Response, "serialization")
    return [*_narrower(*requested, "request", 0), *_poorer(*answered)]


def _schema(model: Any, mode: str) -> _Schema:
    content = model.model_json_schema(by_alias=True, mode=mode)
    return _Schema(content, content.get("$defs", {}))


def _narrower(old: _Schema, new: _Schema, where: str, depth: int) -> Iterator[str]:
    """What `old` takes and `new` does not."""
    if depth > _DEEPEST:
        return
    options = new.alternatives()
    for known in old.alternatives():
        refusals = [list(_refused(known, option, where, depth)) for option in options]
        # It is enough that one alternative takes the value.
        if not all(refusals):
            continue
        # None does: the nearest, of the same type, says why not.
        nearest = refusals[0]
        for reasons, option in zip(refusals, options, strict=True):
            if option.types == known.types:
                nearest = reasons
                break
        yield from nearest


def _refused(old: _Schema, new: _Schema, where: str, depth: int) -> Iterator[str]:
    # In JSON Schema every integer is a number.
    is_widened = old.types == {"integer"} and "number" in new.types
    is_taken = not new.types or old.types <= new.types or is_widened
    if not is_taken:
        yield f"{where} was {_words(old)} and must be {_words(new)}"
        return
    if new.choices is not None and old.choices is None:
        yield f"{where} takes only {_listed(new.choices)}"
    elif new.choices is not None and old.choices is not None:
        gone = [value for value in old.choices if value not in new.choices]
        if gone:
            yield f"{where} takes only {_listed(new.choices)}, no longer {_listed(gone)}"
    yield from _bounds(old, new, where)
    if "object" in new.types:
        yield from _objects(old, new, where, depth)
    if "array" in new.types:
        yield from _narrower(old.items(), new.items(), f"an item of {where}", depth + 1)


def _bounds(old: _Schema, new: _Schema, where: str) -> Iterator[str]:
    for name, (tighter, words) in _BOUNDS.items():
        before, after = old.content.get(name), new.content.get(name)
        if after is None or before == after:
            continue
        if before is None or tighter(before, after) == after:
            yield f"{where} must be {words.format(after)}"
    for name in ("pattern", "format", "multipleOf", "contentEncoding", "contentMediaType"):
        before, after = old.content.get(name), new.content.get(name)
        if after is not None and before != after:
            yield f"{where} must have the {name} {after}"


def _objects(old: _Schema, new: _Schema, where: str, depth: int) -> Iterator[str]:
    before, after = old.fields(), new.fields()
    inside = "" if where == "request" else f" of {where}"
    newly_required = set(new.content.get("required", ())) - set(old.content.get("required", ()))
    for name in sorted(newly_required):
        yield f"field {name!r}{inside} is now required"
    # An object that takes unknown fields still takes these; it only no longer reads them.
    if not new.open:
        for name in sorted(set(before) - set(after)):
            yield f"field {name!r}{inside} is no longer taken"
    if old.open and not new.open:
        yield f"further fields{inside} are no longer taken"
    for name in sorted(set(before) & set(after)):
        yield from _narrower(before[name], after[name], f"field {name!r}{inside}", depth + 1)


def _kinds(field: _Schema) -> set[str]:
    """The types that a field may have."""
    found: set[str] = set()
    for option in field.alternatives():
        found.update(option.types)
    return found


def _poorer(old: _Schema, new: _Schema) -> Iterator[str]:
    """Which fields of an answer are gone, or of another type."""
    before, after = old.alternatives()[0].fields(), new.alternatives()[0].fields()
    for name, field in before.items():
        if name not in after:
            yield f"field {name!r} of the answer is gone"
            continue
        known, now = _kinds(field), _kinds(after[name])
        # A schema without a type says nothing: of one that says nothing, nothing is new.
        are_known = bool(known) and bool(now)
        if are_known and not now <= known:
            yield f"field {name!r} of the answer may be {_joined(now - known)} now"


def _words(schema: _Schema) -> str:
    return _joined(schema.types) or "anything"


def _joined(names: set[str]) -> str:
    return " or ".join(sorted(names))


def _listed(values: list[Any]) -> str:
    shown = ", ".join(repr(value)[:40] for value in values[:8])
    return shown + (", …" if len(values) > 8 else "")
