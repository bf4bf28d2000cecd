"""Everything modelyard raises on purpose.

ModelyardError            one clear line for the person, exit code 2; anything else is a bug
├── UsageError            a command, setting or environment that cannot work
│   └── MissingExtra      an optional dependency that this job needs is not installed
├── BadData               the person's data: file, row, column, field
├── BrokenArtifact        a folder that is incomplete, or whose bytes are not the ones recorded
├── GateFailed            the model misses the declared condition
├── Unavailable           another service does not answer: registry, cluster, object store
└── Interrupted           stopped, and saved: the same job, run again, continues (exit code 75)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from modelyard.credentials import redact


class ModelyardError(Exception):
    """Base of all errors that a person can act on. The message is one line, without credentials."""

    exit_code = 2

    def __str__(self) -> str:
        return redact(" ".join(super().__str__().split()))


class UsageError(ModelyardError):
    """A command, a setting or an environment that cannot work."""


class MissingExtra(UsageError):
    """An optional dependency is missing.

    `needs` names what wants it ("tabular", "model.kind = mlp"), `extra` the wheel's extra that
    brings it.
    """

    def __init__(self, needs: str, extra: str) -> None:
        super().__init__(
            f"{needs} needs packages that are not installed. Type: pip install 'modelyard[{extra}]'"
        )


class BadData(ModelyardError):
    """Data that cannot be used, with its place: `BadData("empty cell", file="a.csv", row=7,
    column="y")`.

    Rows count from 1 at the first row below the header, as a spreadsheet shows them less the
    header.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: object = None,
        row: int | None = None,
        column: str | None = None,
        hint: str = "",
    ) -> None:
        parts = [str(file) if file is not None else "", f"row {row}" if row is not None else ""]
        parts.append(f"column {column!r}" if column is not None else "")
        place = ", ".join(part for part in parts if part)
        super().__init__(
            ": ".join(part for part in (place, problem) if part) + (f". {hint}" if hint else "")
        )
        self.problem, self.file, self.row, self.column, self.hint = problem, file, row, column, hint

    def within(self, folder: Path, called: str) -> BadData:
        """The same, with the file as it is called inside `folder`; `called` is what the folder
        itself is called."""
        path = Path(str(self.file)) if self.file is not None else None
        if path is None or not path.is_relative_to(folder):
            return self
        name = path.relative_to(folder).as_posix()
        return BadData(
            self.problem,
            file=called if name == "." else name,
            row=self.row,
            column=self.column,
            hint=self.hint,
        )


class BrokenArtifact(ModelyardError):
    """A folder that is incomplete, or whose bytes are not the ones its manifest records."""


class GateFailed(ModelyardError):
    """The model misses the condition declared for it; the message holds the numbers."""


class Unavailable(ModelyardError):
    """Another service does not answer: a registry, a cluster, an object store."""


class Interrupted(ModelyardError):
    """The job was stopped and saved what it had: run again, it continues from there."""

    exit_code = 75


def choices(what: str, seen: str, allowed: Iterable[str]) -> str:
    """Says that `seen` is not one of `allowed`, with the nearest spelling first.

    >>> choices("family", "tabluar", ["tabular", "image"])
    "family 'tabluar' is unknown. Did you mean 'tabular'? Allowed: image, tabular"
    """
    names = sorted(allowed)
    near = difflib.get_close_matches(seen, names, n=1)
    guess = f" Did you mean '{near[0]}'?" if near else ""
    return f"{what} {seen!r} is unknown.{guess} Allowed: {', '.join(names) or 'none'}"
