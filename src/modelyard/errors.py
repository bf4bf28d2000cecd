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

import errno
import json
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from pathlib import Path

from modelyard.credentials import redact

MOST_NAMES, NEAREST = 20, 5
"""So many allowed names are listed whole; of more, those that are most like what was typed."""
MEANT = 0.7
"""From this likeness on a name is taken for what was meant."""
FULL = "Free some space there, or name another place: MODELYARD_HOME for runs, TMPDIR for temporary files"
NO_RIGHT = "Give this account the right to it, or name another place: MODELYARD_HOME for runs"
REFUSALS = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EROFS: NO_RIGHT,
    errno.EACCES: NO_RIGHT,
    errno.EPERM: NO_RIGHT,
    errno.ENOTDIR: "Name a folder",
    errno.EISDIR: "Name a file",
    errno.EMFILE: "Type: ulimit -n 4096",
}
"""What the machine refuses, by the system's number, and what a person can do about it."""
FULL_DISK = re.compile(r"\d+ requested and \d+ written|database or disk is full")
"""How numpy and SQLite say, without a number, that the disk is full."""


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
        place = []
        if file is not None:
            place.append(str(file))
        if row is not None:
            place.append(f"row {row}")
        if column is not None:
            place.append(f"column {column!r}")
        message = ": ".join(filter(None, [", ".join(place), problem]))
        super().__init__(f"{message}. {hint}" if hint else message)
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


def refusal(error: BaseException) -> UsageError | None:
    """What this machine refuses, as an error for the person: a full disk, a folder that may not be
    written; None for what may be a bug."""
    if isinstance(error, ModelyardError):
        return None
    number = error.errno if isinstance(error, OSError) else None
    if FULL_DISK.search(str(error)):
        number = errno.ENOSPC
    if number not in REFUSALS:
        return None
    file = getattr(error, "filename", None)
    place = f": {file}" if file else ""
    return UsageError(f"{os.strerror(number).lower()}{place}. {REFUSALS[number]}")


def choices(what: str, seen: str, allowed: Iterable[str]) -> str:
    """Says that `seen` is not one of `allowed`, with the nearest spelling first; of very many names
    those that are like it.

    >>> choices("family", "tabluar", ["tabular", "image"])
    "family 'tabluar' is unknown. Did you mean 'tabular'? Allowed: image, tabular"
    """
    names = sorted(allowed)
    near = sorted(names, key=lambda name: _likeness(seen, name), reverse=True)
    guess = f" Did you mean '{near[0]}'?" if near and _likeness(seen, near[0]) >= MEANT else ""
    if len(names) > MOST_NAMES:
        names = [*near[:NEAREST], f"and {len(names) - NEAREST} more"]
    return f"{what} {seen!r} is unknown.{guess} Allowed: {', '.join(names) or 'none'}"


def first_of(names: Sequence[str], most: int) -> str:
    """The first names, for a message.

    >>> first_of(["red", "green", "blue"], 2)
    'red, green, …'
    """
    if len(names) > most:
        names = [*names[:most], "…"]
    return ", ".join(names)


def option(setting: str, value: str | Sequence[str]) -> str:
    """The option that gives a setting a text or a list of some, as a shell takes it.

    >>> option("features.target", "Units Sold")
    "--set 'features.target=Units Sold'"
    """
    if not isinstance(value, str):
        value = f"[{', '.join(_listed(text) for text in value)}]"
    return f"--set {in_shell(f'{setting}={value}')}"


def in_shell(text: str) -> str:
    """One word of a shell's line; brackets of a list stay plain."""
    return text if re.fullmatch(r"[\w@%+=:,./\[\]-]+", text) else shlex.quote(text)


def _listed(text: str) -> str:
    """A text within a list of YAML."""
    is_word = text.lower() in ("true", "false", "null")
    if re.fullmatch(r"[^\W\d][\w ./-]*", text) and not is_word:
        return text
    return json.dumps(text, ensure_ascii=False)


def _likeness(seen: str, name: str) -> float:
    """How alike two names are, 0 to 1; `kind` alone, and another section's, are `model.kind` too."""
    whole = SequenceMatcher(None, seen, name)
    ends = SequenceMatcher(None, seen.rpartition(".")[2], name.rpartition(".")[2])
    return max(whole.ratio(), ends.ratio())
