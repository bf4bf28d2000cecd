"""What a caller sends and gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, Field, StrictInt, create_model

from modelyard.host import WithWarnings

Source = Literal["personal", "history", "profile", "popular"]
LONGEST_ID, MOST_IDS = 200, 10_000
"""Characters of an id, and ids of a list: what a request may cost is bounded."""
Id = StrictInt | Annotated[str, Field(min_length=1, max_length=LONGEST_ID)]
Ids = Annotated[list[Id], Field(max_length=MOST_IDS)]
MOST = 100
"""Items an answer has at most."""


class Query(BaseModel, extra="forbid"):
    """Whom to recommend to, and how much."""

    user: Id | None = Field(
        default=None, description="Id as in the training data; left out for a stranger"
    )
    k: int = Field(default=10, ge=1, le=MOST, description="Items wanted")
    exclude: Ids = Field(default=[], description="Ids of items not to recommend, for any reason")
    history: Ids = Field(
        default=[],
        description="Ids of items that the user had and training may not know: never recommended, and the taste of "
        "a user whom training did not know",
    )


class Recommendation(BaseModel, extra="forbid"):
    """One item."""

    item: str = Field(description="Item id")
    score: float = Field(description="Larger is better; comparable within one answer")
    title: str | None = Field(default=None, description="Title, where the data has one")
    category: str | None = Field(default=None, description="Category, where the data has one")
    click: float | None = Field(
        default=None, description="Chance of a click when shown (multitask)"
    )
    conversion: float | None = Field(
        default=None, description="Chance that a click converts (multitask)"
    )
    dwell: float | None = Field(
        default=None, description="Typical seconds spent after a click (multitask)"
    )


class Answer(WithWarnings, extra="forbid"):
    """Items, best first."""

    items: list[Recommendation] = Field(
        description="Best first; fewer than k when too few are left"
    )
    source: Source = Field(
        description="personal: the user was in the training data; history: an unknown user, judged by the history "
        "given; profile: an unknown user without one, judged by what the profile says; popular: nothing is known, so "
        "these are what most had"
    )
    ignored: int = Field(description="Ids in exclude and history that training did not know")


@dataclass(frozen=True)
class Asked:
    """A request in indices."""

    source: Source
    user: int | None
    history: list[int]
    """Items of the request's history, known ones, without repeats."""
    hidden: np.ndarray
    """Items that must not be in the answer, int64."""
    ignored: int
    k: int
    profile: np.ndarray | None = None
    """What columns say of the user, float32 (outputs,); None: users have none."""


def query_with(profile: type[BaseModel]) -> type[Query]:
    """The schema of a request where users have columns."""
    description = "Columns about the user: of one whom training knew, in place of what it knew"
    fields: dict[str, Any] = {
        "profile": (profile | None, Field(default=None, description=description))
    }
    model: type[Query] = create_model("Query", __base__=Query, **fields)
    model.__doc__ = Query.__doc__
    return model
