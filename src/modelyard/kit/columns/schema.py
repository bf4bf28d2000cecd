"""What the columns of a table are: read from the data, edited by a person, followed by training
and serving alike.

Light: the serving half reads it too.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Protocol, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from modelyard.kit.assets import Asset
from modelyard.kit.numerals import STYLES

Role = Literal["numeric", "category", "text", "time", "drop"]
Transform = Literal["identity", "log", "standardize", "onehot", "ordinal"]

ROLES: tuple[str, ...] = get_args(Role)
TRANSFORMS: Mapping[str, tuple[str, ...]] = {
    "numeric": ("standardize", "log", "identity"),
    "category": ("onehot", "ordinal"),
    "text": (),
    "time": (),
    "drop": (),
}
"""Transforms each role may have; the first is the default."""

FILE = "schema.json"
MOST_CHOICES = 50
"""Categories that a column names at most, the most frequent first."""


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
    one of STYLES, such as `1.234,5`, where thousands are separated or decimals have a comma.
    Requests hold plain numbers and ISO 8601."""
    unit: str = ""
    """What files write next to each number: `%`, `EUR`, `kg`. Requests hold only the number."""
    words: list[str] = []
    """What may stand in place of a number, such as `none recorded`. Requests hold a number or one of
    them."""
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
        if not isinstance(values, dict) or values.get("transform") is not None:
            return values
        # An unknown role is refused by its field.
        allowed = TRANSFORMS.get(values.get("role", ""), ())
        if allowed:
            return {**values, "transform": allowed[0]}
        return values

    @model_validator(mode="after")
    def _transform_and_format_suit_role(self) -> Column:
        allowed = TRANSFORMS[self.role]
        if self.transform is not None and self.transform not in allowed:
            raise ValueError(
                f"transform {self.transform!r} does not suit role {self.role!r}. "
                f"Allowed: {', '.join(allowed) or 'null'}"
            )
        holds_numbers = self.role == "numeric" and not self.boolean
        if self.words and not holds_numbers:
            raise ValueError("words may stand in place of numbers only: role 'numeric'")
        if self.role == "numeric" and self.format and self.format not in STYLES:
            allowed = tuple(json.dumps(style) for style in STYLES)
            raise ValueError(
                f"format {self.format!r} is none of numbers. Allowed: {', '.join(allowed)}, or empty"
            )
        return self


class ColumnSchema(Asset):
    """The columns of a table, as an asset. A family that predicts one of them adds which."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    FILE: ClassVar[str] = FILE

    columns: list[Column]
    """All columns that may be inputs, those with role `drop` included."""
    dropped: dict[str, str] = Field(default_factory=dict)
    """Columns left out, and why."""

    @property
    def inputs(self) -> list[Column]:
        """The columns a request holds: all that are not dropped."""
        return [column for column in self.columns if column.role != "drop"]


class HasColumns(Protocol):
    """The schema of a table, of any family."""

    @property
    def columns(self) -> list[Column]:
        """All columns that may be inputs."""
        ...

    @property
    def dropped(self) -> dict[str, str]:
        """Columns left out, and why."""
        ...

    @property
    def inputs(self) -> list[Column]:
        """The columns a request holds: all that are not dropped."""
        ...


class ColumnSettings(Protocol):
    """What a family's settings say of columns."""

    @property
    def drop(self) -> tuple[str, ...]:
        """Columns to leave out."""
        ...

    @property
    def max_categories(self) -> int:
        """Categories a column keeps."""
        ...

    @property
    def max_words(self) -> int:
        """Words of a text column that become inputs."""
        ...

    @property
    def numeric(self) -> Literal["standardize", "log", "identity"]:
        """Default transform of numeric columns."""
        ...


def near(name: str, names: list[str]) -> str:
    """The sentence that lists the columns there are, the nearest spelling first."""
    folded = {other.casefold(): other for other in names}
    shown = f"Columns: {', '.join(names[:20])}"
    if len(names) > 20:
        shown += f", … ({len(names)} in all)"
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {folded[close[0]]!r}? {shown}"
    return shown
