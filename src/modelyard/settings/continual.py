"""The `continual` section: a run that starts from an earlier model, and what it keeps for later
ones."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from modelyard.settings.base import Settings

CHAMPION = "champion"
"""`start` with this value: the package that serves now; the first run, before there is one,
starts from scratch."""


class ContinualSettings(Settings):
    """Whether training starts from an earlier model, and the examples that are kept and shown
    again."""

    start: str | None = None
    """`champion` (the package that serves; a first run starts from scratch), a package as
    `NAME@VERSION`, a run's id, or the folder or URI of a package or model. None: training starts
    anew."""
    memory: int = Field(default=0, ge=0)
    """Training examples kept with the model for later runs, as training saw them: real data, in
    every package. 0: none."""
    choose: Literal["reservoir", "herding"] = "reservoir"
    """Which examples: reservoir (each one ever seen is equally likely), herding (of each class
    those whose mean is nearest to the class's mean, in the features before the last layer)."""
    replay: float = Field(default=0.5, ge=0, lt=1)
    """Share of each training batch that comes from the memory of the model that the run starts
    from; an epoch is longer by as much. 0: none."""
    keep: bool = False
    """Whether packages carry their weights for a later run to start from. A memory implies it."""

    @field_validator("start")
    @classmethod
    def _none_for_empty(cls, start: str | None) -> str | None:
        return start or None

    @property
    def carried(self) -> bool:
        """Whether a package carries what a later run needs."""
        return self.keep or self.memory > 0

    @property
    def wanted(self) -> bool:
        """Whether anything of this section is in use."""
        return self.start is not None or self.carried
