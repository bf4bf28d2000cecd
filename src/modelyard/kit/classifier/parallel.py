"""Examples in text files of equally many lines, where line n of one belongs to line n of the other:
`train_text.txt` and `train_labels.txt`, `train/seq.in` and `train/label`, `train.de` and `train.en`."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePosixPath
from typing import NamedTuple

from modelyard.errors import BadData, first_of
from modelyard.kit.splits import split_of
from modelyard.kit.tables import decoded
from modelyard.store.files import File, FileSet

TEXT, LABEL, TAG_LINES, SOURCE, TARGET = "text", "label", "tags", "source", "target"
ROLES = {
    "text": TEXT,
    "texts": TEXT,
    "sentence": TEXT,
    "sentences": TEXT,
    "seq.in": TEXT,
    "label": LABEL,
    "labels": LABEL,
    "seq.out": TAG_LINES,
    "tags": TAG_LINES,
    "src": SOURCE,
    "source": SOURCE,
    "tgt": TARGET,
    "trg": TARGET,
    "target": TARGET,
}
"""What a file holds by the end of its name, without `.txt` and `.gz`."""
_ROLE = re.compile(rf"(?P<stem>|.*[._-])(?P<role>{'|'.join(map(re.escape, ROLES))})")
_LANGUAGE = re.compile(r"(?P<stem>.+\.)(?P<role>[a-z]{2})")
"""`train.de`."""
_ENDINGS = re.compile(r"(\.txt)?(\.gz)?$")
SHOWN = 5
"""Names in a message."""


class Parallel(NamedTuple):
    """Files that belong together."""

    folder: str
    files: dict[str, File]
    """By what they hold: a role, or the code of a language."""
    split: str | None

    def lines(self) -> dict[str, list[str]]:
        """The lines of each file, without blanks around them.

        Raises:
            BadData: one has more lines than another.
        """
        found = {role: _lines(file) for role, file in self.files.items()}
        first = next(iter(found))
        for role, lines in found.items():
            if len(lines) == len(found[first]):
                continue
            problem = (
                f"has {len(lines):,} lines, {self.files[first].path.name} {len(found[first]):,}"
            )
            hint = "Line n of one file belongs to line n of the other"
            raise BadData(problem, file=self.files[role].path, hint=hint)
        return found


def labelled(files: FileSet, wanted: Collection[str]) -> list[Parallel]:
    """Files of texts with the other `wanted` ones next to them: labels, tags, or targets of a source.

    Raises:
        BadData: one of them is missing, or the folder holds several data sets.
    """
    groups = _groups(files, _ROLE)
    found = [group for group in groups if set(wanted) <= group.files.keys()]
    if not found:
        return []
    for group in groups:
        missing = set(wanted) - group.files.keys()
        lone = [file for role, file in group.files.items() if role in wanted]
        if missing and lone:
            problem = f"there is no file of the {first_of(sorted(missing), SHOWN)} next to it"
            raise BadData(problem, file=lone[0].path)
    chosen = []
    for group in found:
        chosen.append(group._replace(files={role: group.files[role] for role in wanted}))
    return _of_one_set(chosen, files)


def translated(files: FileSet) -> list[Parallel]:
    """Files of one text in two languages or more, by their codes: `train.de` and `train.en`.

    Raises:
        BadData: the folder holds several data sets.
    """
    groups = [group for group in _groups(files, _LANGUAGE) if len(group.files) > 1]
    return _of_one_set(groups, files)


def _groups(files: FileSet, pattern: re.Pattern[str]) -> list[Parallel]:
    """Files whose names differ only in what they hold."""
    found: dict[str, Parallel] = {}
    for file in files:
        path = PurePosixPath(file.name)
        match = pattern.fullmatch(_ENDINGS.sub("", path.name.lower()))
        if match is None:
            continue
        folder = str(path.parent)
        role = ROLES.get(match["role"], match["role"])
        group = found.setdefault(f"{folder}/{match['stem']}", Parallel(folder, {}, split_of(file)))
        group.files[role] = file
    return list(found.values())


def _of_one_set(groups: list[Parallel], files: FileSet) -> list[Parallel]:
    """Refuses folders next to one another that hold the same splits: each is a data set by itself."""
    folders: dict[str | None, set[str]] = {}
    for group in groups:
        folders.setdefault(group.split, set()).add(group.folder)
    several = max(folders.values(), key=len, default=set())
    if len(several) > 1:
        names = first_of(sorted(several), SHOWN)
        hint = "Point data.uri at one of them, or at the folder above its splits"
        raise BadData(f"holds several data sets: {names}", file=files.root, hint=hint)
    return groups


def _lines(file: File) -> list[str]:
    # Not by `splitlines`: it cuts at characters that tweets hold.
    lines = decoded(file)[0].split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.strip() for line in lines]
