"""Files that annotations list and the folder lacks: who has a part of a collection often has the
annotations of all of it."""

from __future__ import annotations

from pathlib import Path

from modelyard.errors import BadData, first_of
from modelyard.kit.classifier.examples import Example, Listed, Listing
from modelyard.kit.classifier.kind import FileKind
from modelyard.store.files import FileSet

REASON = "listed, and not in the folder"
LEAST_OF_LISTED, LEAST_OF_FOLDER = 0.1, 0.5
"""A part of a collection is a good share of what is listed, or a folder that holds little else: 500 of
COCO's 118,287 training pictures are the second. In the folder of another collection a few names are
listed by chance, and most of its files are not."""
SHOWN = 3


class Absent:
    """Files that a folder lacks, by the names that annotations give them."""

    def __init__(self, raw: Path, kind: FileKind) -> None:
        self.raw, self.kind = raw, kind
        self._listed: dict[tuple[str, Path], None] = {}

    @property
    def names(self) -> list[str]:
        """In the order in which they were found, each once."""
        return list(dict.fromkeys(name for name, _ in self._listed))

    def add(self, name: str, table: Path) -> None:
        """Counts a file that `table` lists; the same name twice in one table is one."""
        self._listed[name, table] = None

    def leave_out(self, listing: Listed, found: int, there: int) -> None:
        """Counts them in the listing, and names the first.

        Args:
            found: listed files that are in the folder.
            there: files of the kind in the folder.

        Raises:
            BadData: the folder has so few of the listed files that it is another one.
        """
        if not self._listed:
            return
        absent, shown = len(self._listed), first_of(self.names, SHOWN)
        total = found + absent
        is_part = found >= LEAST_OF_LISTED * total or found >= LEAST_OF_FOLDER * there
        if not found or not is_part:
            have = f"{found:,}" if found else "none"
            problem = f"has {have} of the {total:,} {self.kind.many} that are listed: no {shown}"
            _, table = next(iter(self._listed))
            hint = f"Names are relative to the file that lists them ({table.name}), or to the data "
            hint += "folder: point data.uri at a folder with both"
            raise BadData(problem, file=self.raw, hint=hint)
        listing.drop(REASON, absent)
        are = "is" if absent == 1 else "are"
        listing.notes.append(
            f"{absent:,} of the {total:,} {self.kind.many} that are listed {are} not in the folder, "
            f"and left out ({shown})."
        )


def complete(listing: Listing, files: FileSet, tables: str, absent: Absent) -> None:
    """Sorts the examples that `tables` list, and counts the files that they do not, and those
    that are `absent`.

    Raises:
        BadData: two rows list the same file, or too few are in the folder.
    """
    seen: dict[str, Example] = {}
    for example in listing.examples:
        first = seen.setdefault(example.name, example)
        if first is not example:
            problem = f"{example.name!r} is in row {first.row} already"
            column = example.columns[0]
            raise BadData(problem, file=example.table, row=example.row, column=column)
    there = sum(listing.kind.reads(file.name) for file in files)
    listing.drop(f"not in {tables}", there - len(seen))
    absent.leave_out(listing, len(seen), there)
    listing.examples.sort(key=lambda example: example.name)
