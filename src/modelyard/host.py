"""The half of a family that answers, and what else it may do: explain, stream, complete text.

A host is built from a package's assets, and imports numpy, pydantic and the standard library only.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from pydantic import BaseModel, Field, field_validator

from modelyard.runtimes.types import Arrays, Runtime

if TYPE_CHECKING:
    from modelyard.completion import Completed, Completion, Option

Cell = float | str | None

LOG_COLUMNS = (
    "_id",
    "_time",
    "_package",
    "_family",
    "_latency_ms",
    "_label",
    "_warnings",
    "_request",
)
"""Columns that the prediction log adds to what a host describes."""


TRUTHS = "truths.json"
"""In a package: the labels of its reference rows, where the family has them."""


class Caution(BaseModel):
    """Why an answer deserves less trust than the model's figures say."""

    field: str
    """The request's field or column."""
    message: str


class WithWarnings(BaseModel):
    """The base of answers. `Host.predict` sets `warnings` where a request holds what training never
    saw, or not all of it was used; serving counts them and writes their fields to the prediction
    log."""

    warnings: tuple[Caution, ...] = Field(
        default=(),
        exclude_if=lambda found: not found,
        description="What in the request training never saw; left out where there is nothing",
    )


def cautions_of(answer: BaseModel) -> tuple[Caution, ...]:
    """The cautions of an answer of any family."""
    return answer.warnings if isinstance(answer, WithWarnings) else ()


class Explanation(BaseModel):
    """Why the model answered as it did."""

    method: str
    """For example `TreeSHAP`, `Grad-CAM`."""
    output: str
    """The output that is explained, with its unit: `log-odds of malignant`."""
    base: float | None = None
    """The output on average data; base + sum of contributions = output, for additive methods."""
    contributions: dict[str, float]
    """By input field, largest magnitude first."""
    picture: str | None = None
    """A picture of the reasons for people, as a `data:image/png;base64,…` URL."""

    @field_validator("contributions")
    @classmethod
    def _largest_first(cls, found: dict[str, float]) -> dict[str, float]:
        return dict(sorted(found.items(), key=lambda item: -abs(item[1])))


class Cost(NamedTuple):
    """How much work an answer is at most. Serving scales the measured time of the golden example
    by it."""

    units: float = 1.0
    """In a unit of the family's own, such as tokens to write; only ratios count."""
    seconds: float = 0.0
    """Beside the model: what preparing the example takes on one core, such as decoding a large
    picture."""


class Outcome(NamedTuple):
    """A logged answer held against its label."""

    truth: Cell
    """The label as the model's data writes it."""
    error: float
    """Of a class 0 or 1, of a number the distance."""
    predicted: float | None = None
    happened: float | None = None
    """What should agree on average: a probability and whether it came true, or two numbers."""


class Host(ABC):
    """The half that answers. Built from a package's assets; imports numpy, pydantic and the
    standard library.

    Subclasses set `Request` and `Response`: as class attributes, or in `__init__` where they follow
    the data.
    """

    Request: type[BaseModel]
    """One example in. Field descriptions become the service's documentation."""
    Response: type[BaseModel]
    """One answer out; with `WithWarnings` as its base it may carry cautions."""
    sensitive: ClassVar[frozenset[str]] = frozenset()
    """Request fields that must never be logged."""
    completion_options: ClassVar[frozenset[Option]] = frozenset()
    """Which optional fields of a Completion `complete` reads; a request with another one is
    refused."""

    reads: ClassVar[frozenset[str]] = frozenset()
    """Endings of the files that `read_file` reads besides tables, for messages."""

    rows_by: ClassVar[str] = ""
    """A field of the answer that lists steps or objects: `modelyard predict` writes a row for each
    into a table, next to lists that are as long. Empty: an answer is a row."""

    error_name: str = ""
    """What the mean error of labelled answers is called: `error rate`. Empty: labels are not
    compared with answers."""
    counts_errors: bool = True
    """Whether an answer is right or wrong; else it is wrong by a distance."""

    def __init__(self, assets: Path) -> None:
        self.assets = Path(assets)

    @abstractmethod
    def predict(self, run: Runtime, requests: Sequence[BaseModel]) -> list[BaseModel]:
        """Answers a batch: pre-processing, graphs, post-processing. One answer a request, in
        order."""

    @abstractmethod
    def describe(self, request: BaseModel, response: BaseModel) -> dict[str, float | str | None]:
        """One flat row a request: all that drift detection needs. The same columns each time;
        None is missing. `described` joins columns of the data and fields of the answer."""

    def outcome(self, row: Mapping[str, Cell], label: Cell) -> Outcome | None:
        """A described answer held against the label that came for it; None where the label is no
        class of the model, or no number."""
        return None

    def cost(self, request: BaseModel) -> Cost:
        """How much work the answer is at most, for admission; cheap itself, and never raises.

        The default: every request is as much work as any other.
        """
        return Cost()

    def check_arrays(self, graph: str, arrays: Arrays) -> None:  # noqa: B027 - most families have nothing to bound
        """Called before a caller's own tensors go to a graph; axis 0 is bounded by serving already.

        Raises:
            BadData: further axes are larger than one call of the graph may have, in time or memory.
        """

    def read_file(self, file: Path) -> Sequence[dict[str, Any]] | None:
        """A file of examples as JSON bodies of `Request`, read as the family reads its data; None:
        as any table. What is no list has the same columns in all rows.

        One a row of the file, in its order. Columns that `Request` lacks may be among them, and go
        along with the answer; a row with nothing of a `Request` has no answer. Attributes `notes` and
        `numbers`, where there are any, say what was taken for granted, and each row's number.

        Raises:
            BadData: with file, row and column.
        """
        return None


def described(
    inputs: Mapping[str, Cell],
    answer: Mapping[str, Cell],
    derived: Mapping[str, Cell] = MappingProxyType({}),
) -> dict[str, Cell]:
    """The row of a request: its inputs, what was `derived` of inputs (`note: words`) and the
    answer's fields, none of which replaces another.

    A field of the answer that is named as an input is `answer.<name>`, a derived column
    `derived.<name>`; an input named as a column of the prediction log is `input.<name>`. Case makes no
    difference, as in the log's files. Every other name stays as it is.
    """
    names = _distinct(tuple(inputs), tuple(derived), tuple(answer))
    values = [*inputs.values(), *derived.values(), *answer.values()]
    return dict(zip(names, values, strict=True))


def answered(row: Mapping[str, Cell], name: str) -> Cell:
    """A field of the answer in a row that `described` made."""
    return row.get(f"answer.{name}", row.get(name))


@functools.lru_cache(maxsize=64)
def _distinct(
    inputs: tuple[str, ...], derived: tuple[str, ...], answer: tuple[str, ...]
) -> tuple[str, ...]:
    """Names of the row's columns; the same ones for every row of a package."""
    taken = set(LOG_COLUMNS)
    names = []
    for prefix, given in (("input", inputs), ("derived", derived), ("answer", answer)):
        for name in given:
            free = _free(name, prefix, taken)
            taken.add(free.casefold())
            names.append(free)
    return tuple(names)


def _free(name: str, prefix: str, taken: Collection[str]) -> str:
    while name.casefold() in taken:
        name = f"{prefix}.{name}"
    return name


@runtime_checkable
class Explains(Protocol):
    """A host that gives reasons. Serving then answers `/explain`."""

    def explain(self, run: Runtime, request: BaseModel) -> Explanation | None:
        """Why this answer; None where there are no reasons for this example."""


@runtime_checkable
class Streams(Protocol):
    """A host whose answers come in parts."""

    def stream(self, run: Runtime, request: BaseModel) -> Iterator[BaseModel] | None:
        """Parts of one answer as they come and, last, the answer that `predict` gives; None: it
        comes at once.

        Raises:
            ModelyardError: before the first part, where the request cannot be answered.
        """


@runtime_checkable
class Completes(Protocol):
    """A host that completes text. Serving then speaks OpenAI's protocol on `/v1/completions`, and on
    `/v1/chat/completions` where its attribute `chats` is true."""

    def complete(self, completion: Completion) -> dict[str, Any]:
        """A text completion as JSON body of a `Request`."""

    def completed(self, request: BaseModel, part: BaseModel) -> Completed:
        """What `part`, an answer or a streamed part of one, is to a caller of `/v1/completions`."""
