"""Tensors of the Open Inference Protocol, as JSON or as bytes behind it, to numpy and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from modelyard.runtimes.types import Tensor
from modelyard.serving.bodies import VALUES, parse
from modelyard.serving.calls import Reply
from modelyard.serving.problems import refuse

BYTES, JSON_TEXT = "BYTES", "JSON"
_LENGTH = 4
"""Bytes of the length before each element of a BYTES tensor."""
_ONNX = {"float": "FP32", "double": "FP64", "float16": "FP16", "string": BYTES, "bool": "BOOL"}
TYPES: dict[str, np.dtype[Any]] = {
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BOOL": np.dtype("?"),
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
}
_FLOATS = frozenset({"FP16", "FP32", "FP64"})
_WHOLE = frozenset(name for name, dtype in TYPES.items() if dtype.kind in "iu")
_NAMES = {dtype: name for name, dtype in TYPES.items()}
MOST_TENSORS = 2_048
"""Most tensors of a request: one for each field of a wide table."""
_OCTETS = b"application/octet-stream"


class Column(NamedTuple):
    """A tensor that a model takes or gives."""

    name: str
    kind: str
    """The protocol's datatype; JSON for BYTES that hold a document."""
    shape: tuple[int | None, ...]

    @classmethod
    def of(cls, tensor: Tensor) -> Column:
        """A graph's tensor."""
        return cls(tensor.name, _ONNX.get(tensor.kind, tensor.kind.upper()), tensor.shape)

    def metadata(self) -> dict[str, Any]:
        """As the model's metadata has it; -1 is an axis that varies."""
        kind = BYTES if self.kind == JSON_TEXT else self.kind
        return {
            "name": self.name,
            "datatype": kind,
            "shape": [-1 if size is None else size for size in self.shape],
        }

    def array(self, values: list[Any]) -> np.ndarray:
        """A plain field's values as a tensor; a missing one is NaN, 0, or an empty text."""
        if self.kind == BYTES:
            return np.array([str(value or "").encode() for value in values], object)
        missing = math.nan if self.kind.startswith("FP") else 0
        return np.array([missing if value is None else value for value in values], TYPES[self.kind])


class _Wish(BaseModel):
    model_config = ConfigDict(extra="allow")

    binary_data: bool = False
    binary_data_size: int | None = Field(default=None, ge=0)
    binary_data_output: bool = False


class _Input(BaseModel):
    name: str
    datatype: str
    shape: list[int] = Field(max_length=16)
    data: list[Any] | None = None
    parameters: _Wish = _Wish()


class _Output(BaseModel):
    name: str
    parameters: _Wish = _Wish()


class _Request(BaseModel):
    id: str | None = Field(default=None, max_length=128)
    inputs: list[_Input] = Field(min_length=1, max_length=MOST_TENSORS)
    outputs: list[_Output] = Field(default=[], max_length=MOST_TENSORS)
    parameters: _Wish = _Wish()


@dataclass(frozen=True)
class Inference:
    """An inference request: its tensors, and how the answer is wanted."""

    id: str | None
    inputs: dict[str, np.ndarray]
    outputs: list[_Output]
    binary: bool

    def wanted(self, names: list[str]) -> dict[str, bool]:
        """Which outputs are wanted, and whether as bytes; all of them where none is named."""
        if not self.outputs:
            return dict.fromkeys(names, self.binary)
        found = {}
        for output in self.outputs:
            if output.name not in names:
                raise refuse(
                    400,
                    f"output {output.name!r} is unknown; allowed: {', '.join(names)}",
                    field="outputs",
                )
            found[output.name] = output.parameters.binary_data or self.binary
        return found


def column_type(schema: dict[str, Any]) -> str:
    """The datatype of a field of a JSON schema; JSON where it is not plain."""
    options = schema.get("anyOf", [schema])
    kinds = {option.get("type", "") for option in options}
    # A tensor has no null: a missing number is NaN, see `Column.array`.
    kinds.discard("null")
    if len(kinds) != 1:
        return JSON_TEXT
    plain = {"number": "FP64", "integer": "INT64", "boolean": "BOOL", "string": BYTES}
    return plain.get(kinds.pop(), JSON_TEXT)


def decode(body: bytes, header: bytes | None) -> Inference:
    """Reads a request.

    Raises:
        Refusal: 400: it is not one, or a tensor's bytes, shape and datatype do not go together.
    """
    length = len(body)
    if header is not None:
        # Cut, since int() raises on more than 4,300 digits.
        if not header.isdigit() or int(header[:18]) > length:
            raise refuse(400, f"header inference-header-content-length must be from 0 to {length}")
        length = int(header)
    head = body if length == len(body) else body[:length]
    try:
        request = _Request.model_validate(parse(head))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise refuse(400, f"field {field!r}: {first['msg']}", field=field or None) from None
    tensors: dict[str, np.ndarray] = {}
    # The bytes of all binary tensors follow the JSON, in the order of its inputs.
    start = length
    for given in request.inputs:
        if given.name in tensors:
            raise refuse(400, f"tensor {given.name!r} stands there twice", field=given.name)
        size = given.parameters.binary_data_size
        raw = None
        if size is not None:
            raw = body[start : start + size]
            start += size
        tensors[given.name] = _tensor(given, raw)
    if start < len(body):
        left = len(body) - start
        raise refuse(400, f"{left} bytes follow those of the tensors; see binary_data_size")
    return Inference(request.id, tensors, request.outputs, request.parameters.binary_data_output)


def check(given: dict[str, np.ndarray], expected: list[Column]) -> dict[str, np.ndarray]:
    """The tensors of a graph, all there and of its types and sizes.

    Raises:
        Refusal: 400: which one is not.
    """
    names = [column.name for column in expected]
    if set(given) != set(names):
        raise refuse(
            400,
            f"the graph takes the tensors {', '.join(names)}; seen {', '.join(given)}",
            field="inputs",
        )
    arrays = {}
    for column in expected:
        array = given[column.name]
        if not _fits(array.shape, column.shape) or not _becomes(_kind(array), column.kind):
            declared = column.metadata()
            raise refuse(
                400,
                f"tensor {column.name!r} must be {declared['datatype']} of shape "
                f"{declared['shape']}, seen {_kind(array)} of shape {list(array.shape)}",
                field=column.name,
            )
        arrays[column.name] = _cast(array, column)
    return arrays


def _fits(seen: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    if len(seen) != len(wanted):
        return False
    return all(declared in (None, size) for size, declared in zip(seen, wanted, strict=True))


def _becomes(seen: str, wanted: str) -> bool:
    """Whether a tensor of one datatype is taken for another: floats of any width are."""
    return seen == wanted or (seen in _FLOATS and wanted in _FLOATS)


def _cast(array: np.ndarray, column: Column) -> np.ndarray:
    """The tensor in the graph's own datatype.

    Raises:
        Refusal: 400: a value is too large for it.
    """
    if _kind(array) == column.kind:
        return array
    try:
        return _as_type(array, column.kind)
    except ValueError as error:
        raise refuse(400, f"tensor {column.name!r}: {error}", field=column.name) from None


def _as_type(values: np.ndarray, kind: str) -> np.ndarray:
    """Raises ValueError for a finite value that the datatype has only as an infinity."""
    # An overflow is looked for below, where it differs from an infinity that was sent.
    with np.errstate(over="ignore"):
        array = values.astype(TYPES[kind])
    if array.dtype.kind == "f":
        lost = np.isinf(array) & np.isfinite(values)
        if lost.any():
            raise ValueError(f"{values[lost][0]:g} is too large for {kind}")
    return array


def encode(
    inference: Inference, outputs: dict[str, np.ndarray], name: str, version: str, call: str
) -> Reply:
    """The answer, with the tensors as they were wanted."""
    entries = []
    blobs: list[bytes] = []
    for output, binary in inference.wanted(list(outputs)).items():
        array = outputs[output]
        entry: dict[str, Any] = {
            "name": output,
            "datatype": _kind(array),
            "shape": list(array.shape),
        }
        if binary:
            blob = _packed(array)
            blobs.append(blob)
            entry["parameters"] = {"binary_data_size": len(blob)}
        elif array.size > VALUES:
            said = (
                f"output {output!r} has {array.size:,} values; as JSON at most {VALUES:,}: "
                "ask for binary_data"
            )
            raise refuse(400, said, field="outputs")
        else:
            entry["data"] = _listed(array)
        entries.append(entry)
    answer = {
        "model_name": name,
        "model_version": version,
        "id": inference.id or call,
        "outputs": entries,
    }
    head = to_json(answer)
    if not blobs:
        return Reply(head)
    headers = ((b"inference-header-content-length", b"%d" % len(head)),)
    return Reply(b"".join([head, *blobs]), media=_OCTETS, headers=headers)


def _tensor(given: _Input, raw: bytes | None) -> np.ndarray:
    count = math.prod(given.shape)
    where = f"tensor {given.name!r}"
    if given.datatype != BYTES and given.datatype not in TYPES:
        raise refuse(
            400,
            f"{where}: datatype {given.datatype!r} is unknown; allowed: BYTES, {', '.join(TYPES)}",
        )
    if any(size < 0 for size in given.shape):
        raise refuse(400, f"{where}: shape {given.shape} has a negative size", field=given.name)
    try:
        if raw is None:
            array = _from_list(given)
        else:
            array = _from_bytes(given.datatype, raw, count)
    except (TypeError, ValueError, OverflowError) as error:
        raise refuse(400, f"{where} is not {given.datatype}: {error}", field=given.name) from None
    if array.size != count:
        said = f"{where}: shape {given.shape} has {count} values, the data {array.size}"
        raise refuse(400, said, field=given.name)
    return array.reshape(given.shape)


def _from_list(given: _Input) -> np.ndarray:
    if given.data is None:
        raise ValueError("there is neither data nor binary_data_size")
    flat = _flat(given.data)
    kinds = set(map(type, flat))
    if given.datatype == BYTES:
        if kinds - {str}:
            raise ValueError("the values are not texts")
        return np.array([text.encode() for text in flat], object)
    # Before numpy sees them: it would give each of many texts the room of the longest.
    if kinds - {bool, int, float}:
        raise ValueError("the values are not numbers")
    if given.datatype in _WHOLE and kinds <= {int}:
        # Without a type numpy makes floats of numbers that no int64 holds, and digits are lost.
        try:
            return np.array(given.data, TYPES[given.datatype]).ravel()
        except OverflowError:
            raise ValueError("a value is out of range") from None
    values = np.array(given.data)
    if values.dtype.kind not in "bif" and values.size:
        raise ValueError("the values are not numbers")
    array = _as_type(values, given.datatype)
    # numpy casts in silence: 1.5 becomes 1, and 300 in eight bits 44.
    if array.dtype.kind != "f" and not np.array_equal(array, values):
        raise ValueError("a value has another type, or is too large")
    return array.ravel()


def _flat(values: list[Any]) -> list[Any]:
    """The elements of nested lists in their order."""
    if not any(type(value) is list for value in values):
        return values
    flat: list[Any] = []
    for value in values:
        if type(value) is list:
            flat += _flat(value)
        else:
            flat.append(value)
    return flat


def _from_bytes(kind: str, raw: bytes, count: int) -> np.ndarray:
    if kind != BYTES:
        return np.frombuffer(raw, TYPES[kind])
    values: list[bytes] = []
    at = 0
    while at < len(raw):
        if len(values) == count:
            raise ValueError(f"there are more elements than the {count} of its shape")
        size = int.from_bytes(raw[at : at + _LENGTH], "little")
        at += _LENGTH + size
        if at > len(raw):
            raise ValueError("an element is longer than its data")
        values.append(raw[at - size : at])
    return np.array(values, object)


def _packed(array: np.ndarray) -> bytes:
    if array.dtype != object:
        return np.ascontiguousarray(array).tobytes()
    pieces = []
    for value in array.ravel().tolist():
        pieces += [len(value).to_bytes(_LENGTH, "little"), value]
    return b"".join(pieces)


def _listed(array: np.ndarray) -> list[Any]:
    values: list[Any] = array.ravel().tolist()
    if array.dtype == object:
        return [value.decode() for value in values]
    return values


def _kind(array: np.ndarray) -> str:
    if array.dtype == object:
        return BYTES
    return _NAMES[array.dtype.newbyteorder("<")]
