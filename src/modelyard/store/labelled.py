"""Requests whose label came, as further examples next to the raw data.

<dataset>/raw/                what data.uri names
<dataset>/labelled.jsonl      {"id": …, "time": …, "request": {…}, "label": …, "row": {…}} a line
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

FILE = "labelled.jsonl"


class LabelledRequest(BaseModel):
    """A request that a model answered, and the right answer."""

    model_config = ConfigDict(frozen=True)

    id: str
    time: str
    """When it was answered: UTC, ISO 8601."""
    request: dict[str, Any]
    """The body, without sensitive fields."""
    label: str
    """As text; a number as Python writes it."""
    row: dict[str, Any] = {}
    """What `Host.describe` made of it and of its answer, for labels that are of the answer, such as the
    reward of an action."""


def labelled_of(raw: Path) -> list[LabelledRequest]:
    """Those next to a raw folder, the oldest first; none where the run takes none."""
    file = Path(raw).parent / FILE
    if not file.is_file():
        return []
    with file.open(encoding="utf-8") as lines:
        return [LabelledRequest.model_validate_json(line) for line in lines]


def write_labelled(dataset: Path, requests: Iterable[LabelledRequest]) -> None:
    """Writes them into a data set."""
    with (Path(dataset) / FILE).open("w", encoding="utf-8") as lines:
        lines.writelines(f"{request.model_dump_json()}\n" for request in requests)
