"""How the labels of an example are written."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from modelyard.settings.base import Settings


class LabelsFeatures(Settings):
    """A section's fields for labels; a family adds them to its `features`."""

    labels: Literal["one", "many"] = "one"
    """Whether an example has one label, or any number."""
    separator: str | None = Field(default=None, min_length=1, max_length=3)
    """many: what stands between two labels of a cell. None: `|`, `;` or `,`, whichever most cells
    hold; the run says which. A list of JSON needs none."""
