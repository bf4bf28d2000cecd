"""The prediction log, wherever it lies, as columns to compare with a package's reference."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelyard.errors import Unavailable, UsageError
from modelyard.host import LOG_COLUMNS, Host
from modelyard.predictions.log import read_log, unlogged


def served(place: str | Path, since: datetime, package: str) -> dict[str, list[Any]]:
    """What one package version answered from `since` on, by described column; nothing logged: an
    empty dict.

    Raises:
        Unavailable: the object store does not answer.
    """
    if "://" not in str(place):
        columns = read_log(Path(place), since, package)
    else:
        with tempfile.TemporaryDirectory() as folder:
            _download(str(place), since, package, Path(folder))
            columns = read_log(Path(folder), since, package)
    return {name: values for name, values in columns.items() if name not in LOG_COLUMNS}


def comparable(
    reference: dict[str, list[Any]], current: dict[str, list[Any]], host: Host
) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """Both sides with the columns that can be compared.

    A log leaves out a column that held nothing: here it holds None. What the host must not log is
    in neither.
    """
    hidden = unlogged(host)
    rows = len(next(iter(current.values()), ()))
    before = {name: values for name, values in reference.items() if name not in hidden}
    after = {
        name: current.get(name, [None] * rows)
        for name in [*before, *(n for n in current if n not in before)]
    }
    return before, {name: values for name, values in after.items() if name not in hidden}


def require(place: str) -> None:
    """Refuses a log that was named and is not there: a misspelt path would stay `too few rows`
    for ever."""
    if "://" not in place and not Path(place).is_dir():
        raise UsageError(
            f"setting 'monitor.log': no folder {place}. Give the folder that the service logs to"
        )


def _download(uri: str, since: datetime, package: str, folder: Path) -> None:
    import fsspec

    first = since.astimezone(UTC).strftime("date=%Y-%m-%d/hour=%H")
    try:
        files, root = fsspec.core.url_to_fs(uri)
        found = [
            str(file)
            for file in files.glob(f"{root.rstrip('/')}/date=*/hour=*/{package}-*.parquet")
        ]
        for file in found:
            partition = "/".join(file.split("/")[-3:-1])
            if partition >= first:
                (folder / partition).mkdir(parents=True, exist_ok=True)
                files.get_file(file, str(folder / partition / Path(file).name))
    except (OSError, ImportError, ValueError) as error:
        raise Unavailable(f"setting 'monitor.log': {uri} cannot be read: {error}") from None
