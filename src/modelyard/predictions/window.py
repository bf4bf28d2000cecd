"""Files of the prediction log that fall in a window, in a folder or an object store, a few at a time.

Of an object store only the window's partitions are listed and fetched; each group of files is
deleted before the next comes.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from modelyard.credentials import redact
from modelyard.errors import Unavailable

GROUP_BYTES = 64 * 2**20
GROUP_FILES = 400
"""Files that are read at once: so many of the service's cost about 0.3 GB of memory."""
LOOKED_BACK = 31
"""Days with predictions among which the newest ones of a package are looked for."""
NAMED = 20
"""Skipped files that are named; the others are counted."""

Why = Literal["empty", "half-written", "unreadable", "vanished"]


class Skipped(BaseModel):
    """A file of the log that was not read."""

    model_config = ConfigDict(frozen=True)

    file: str
    """Within the log: `date=…/hour=…/…`."""
    why: Why
    detail: str = ""
    """What the reader said of it."""


class Seen(BaseModel):
    """What was looked at: files and rows, read and skipped."""

    model_config = ConfigDict(frozen=True)

    place: str
    """Folder or URI of the log."""
    files: int = 0
    """Files that were read."""
    rows: int = 0
    """Rows of these in the window."""
    outside: int = 0
    """Rows of these that are older than the window, or without a time."""
    late: int = 0
    """Rows of these that were made more than an hour before the hour that they are filed under."""
    skipped: dict[Why, int] = {}
    """Files that were not read, by reason."""
    examples: list[Skipped] = []
    """The first of them."""
    newest: str = ""
    """Where no row was seen: what the place holds instead, in words."""

    def in_words(self) -> str:
        """What was left out, in a line; empty where nothing was."""
        parts = []
        if self.skipped:
            kinds = ", ".join(f"{count:,} {why}" for why, count in sorted(self.skipped.items()))
            number = sum(self.skipped.values())
            first = self.examples[0]
            detail = f": {first.detail}" if first.detail else ""
            parts.append(
                f"skipped {number:,} of {number + self.files:,} files ({kinds}), such as {first.file}{detail}"
            )
        if self.outside:
            rows = "row" if self.outside == 1 else "rows"
            parts.append(f"skipped {self.outside:,} {rows} from before the window")
        return "; ".join(parts)


@dataclass(frozen=True)
class LogFile:
    """A file of the log, as a listing gives it."""

    path: str
    """As the file system knows it."""
    hour: str
    """Its partition, `2026-01-31T13`."""
    size: int

    @property
    def name(self) -> str:
        """Within the log, `date=…/hour=…/…`."""
        return "/".join(self.path.split("/")[-3:])

    @property
    def time(self) -> str:
        """Its partition for people, `2026-01-31 13:00 UTC`."""
        return f"{self.hour[:10]} {self.hour[11:]}:00 UTC"

    @property
    def package(self) -> str:
        """Version of the package that answered."""
        return self.path.rpartition("/")[2].lstrip(".").rpartition("-")[0]


class LogPlace:
    """A prediction log, wherever it lies.

    Raises:
        Unavailable: the place cannot be read, or the object store does not answer.
    """

    def __init__(self, place: Path | str) -> None:
        self.place = redact(str(place))
        with self._reading():
            import fsspec
            from fsspec.implementations.local import LocalFileSystem

            files, root = fsspec.core.url_to_fs(str(place))
            self._files, self._root = files, str(root).rstrip("/")
            self._local = isinstance(files, LocalFileSystem)
            # A listing that this process took before would hide what was written since.
            self._files.invalidate_cache()

    def window(self, since: datetime, package: str | None) -> tuple[list[LogFile], list[Skipped]]:
        """The files of one package version (None: of all) in the partitions from `since` on, oldest
        first, and those among them that are no use."""
        first = since.astimezone(UTC).strftime("%Y-%m-%dT%H")
        found: list[LogFile] = []
        skipped: list[Skipped] = []
        for file in self._from(first):
            if package is not None and file.package != package:
                continue
            if file.path.endswith(".part"):
                detail = "it is being written, or its writer was killed"
                skipped.append(Skipped(file=file.name, why="half-written", detail=detail))
            elif not file.path.endswith(".parquet"):
                continue
            elif file.size:
                found.append(file)
            else:
                skipped.append(Skipped(file=file.name, why="empty"))
        return found, skipped

    def newest(self, package: str) -> str:
        """Where the newest rows are, in words, for a reader who wonders why there are none."""
        dates = self._folders(self._root, "date=")
        if not dates:
            return (
                f"{self.place} holds no prediction log: no such folder, bucket or prefix, or no "
                f"date=… in it. Is it where the service logs to? (setting 'monitor.log')"
            )
        newest, own = self._newest_hour(dates, package)
        if newest is None:
            return f"{self.place} has folders of a prediction log and no file in them"
        words = f"the newest rows in {self.place} are of {newest.time}, by "
        if newest.package == package:
            return f"{words}this package"
        words += f"package {newest.package}"
        if own is None:
            return (
                f"{words}; none of the last {LOOKED_BACK} days with rows are by package {package}"
            )
        return f"{words}; those of package {package} end with {own.time}"

    @contextmanager
    def here(self, files: list[LogFile]) -> Iterator[tuple[list[Path], list[Skipped]]]:
        """These files on this machine, for as long as the context lasts, and those that vanished
        since they were listed."""
        if self._local:
            yield [Path(file.path) for file in files], []
            return
        with tempfile.TemporaryDirectory() as folder:
            yield self._fetch(files, Path(folder))

    def _fetch(self, files: list[LogFile], folder: Path) -> tuple[list[Path], list[Skipped]]:
        targets = [folder / file.name for file in files]
        for target in targets:
            target.parent.mkdir(parents=True, exist_ok=True)
        with self._reading():
            try:
                # All at once: an object store answers each in 50 ms, and many at the same time.
                self._files.get([file.path for file in files], [str(target) for target in targets])
                return targets, []
            except FileNotFoundError:
                # One was deleted since it was listed, as by a rule of the store: which, only one
                # by one shows.
                pass
            skipped = []
            for file, target in zip(files, targets, strict=True):
                try:
                    self._files.get_file(file.path, str(target))
                except FileNotFoundError:
                    target.unlink(missing_ok=True)
                    skipped.append(Skipped(file=file.name, why="vanished"))
        return [target for target in targets if target.exists()], skipped

    def _from(self, hour: str) -> Iterator[LogFile]:
        for date in self._folders(self._root, "date=", hour[:10]):
            yield from self._hours(date, hour)

    def _hours(self, date: str, first: str = "") -> Iterator[LogFile]:
        """The files of a day, from an hour on."""
        day = date.rpartition("date=")[2]
        least = first[11:] if day == first[:10] else ""
        for folder in self._folders(date, "hour=", least):
            hour = f"{day}T{folder.rpartition('hour=')[2]}"
            for entry in sorted(self._list(folder), key=lambda entry: str(entry["name"])):
                yield LogFile(str(entry["name"]), hour, int(entry.get("size") or 0))

    def _newest_hour(self, dates: list[str], package: str) -> tuple[LogFile | None, LogFile | None]:
        """A file of the newest hour that has any, and of the newest that has one of `package`."""
        newest = None
        for date in reversed(dates[-LOOKED_BACK:]):
            files = [file for file in self._hours(date) if file.path.endswith(".parquet")]
            if files and newest is None:
                newest = max(files, key=lambda file: (file.hour, file.package == package))
            own = [file for file in files if file.package == package]
            if own:
                return newest, own[-1]
        return newest, None

    def _folders(self, path: str, key: str, least: str = "") -> list[str]:
        """Folders `key=value` of a path from one value on, in order."""
        found = set()
        for entry in self._list(path):
            # Some stores list a folder and the empty object that marks it.
            name = str(entry["name"]).rstrip("/")
            value = name.rpartition("/")[2]
            # Dates and hours are written so that they sort as text.
            if value.startswith(key) and value.removeprefix(key) >= least:
                found.add(name)
        return sorted(found)

    def _list(self, path: str) -> list[dict[str, Any]]:
        with self._reading():
            try:
                return list(self._files.ls(path, detail=True))
            except (FileNotFoundError, NotADirectoryError):
                return []

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ImportError, ValueError) as error:
            raise Unavailable(
                f"setting 'monitor.log': {self.place} cannot be read: {error}"
            ) from None


def groups(files: list[LogFile]) -> Iterator[list[LogFile]]:
    """The files in groups of bounded size."""
    group: list[LogFile] = []
    size = 0
    for file in files:
        is_full = size + file.size > GROUP_BYTES or len(group) == GROUP_FILES
        # A file that is larger than a group may be is one by itself.
        if group and is_full:
            yield group
            group, size = [], 0
        group.append(file)
        size += file.size
    if group:
        yield group


def seen(place: LogPlace, files: int, skipped: list[Skipped], **counts: int) -> Seen:
    """What was looked at, with a bounded number of names."""
    return Seen(
        place=place.place,
        files=files,
        skipped=dict(Counter(file.why for file in skipped)),
        examples=skipped[:NAMED],
        **counts,
    )
