"""Which files of a folder are tables, and reading them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from modelyard.errors import BadData
from modelyard.kit.json_lines import LIST, ROWS
from modelyard.kit.tables.competition import beside_training
from modelyard.kit.tables.delimited import parse_text
from modelyard.kit.tables.json_objects import read_json_file
from modelyard.kit.tables.parquet import read_parquet_file
from modelyard.kit.tables.table import LEFT_OUT, Table, joined
from modelyard.kit.tables.text import read_text
from modelyard.kit.tables.workbooks import is_workbook, read_workbook
from modelyard.store.artifact import MANIFEST
from modelyard.store.files import ARCHIVES, WORKBOOKS, File, files_of, is_about

DELIMITED = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
SUFFIXES = (*DELIMITED, ".parquet", ".pq")
_PLAIN = (".data", ".dat", ".tab", ".txt")
ALLOWED = ", ".join((*SUFFIXES, *sorted(ROWS), LIST, *WORKBOOKS))
_HINTS = {
    ARCHIVES: "Unpack it",
    _PLAIN: "Name it .csv: what separates its cells is found out",
    (
        ".npy",
        ".npz",
        ".mat",
        ".pkl",
        ".pickle",
        ".rds",
        ".rdata",
        ".h5",
    ): "Save its rows as CSV or Parquet",
}
"""What to do with files of some endings."""
QUICKLY_READ = 64 * 2**20
"""Bytes of tables that are read in about a second."""
_BESIDE = (".json", ".md", ".dvc", ".txt", ".yaml")
"""Endings of files that lie beside tables and are none."""


def read_table(raw: Path, *, has_header: bool | None = None) -> Table:
    """The one table in `raw`: a file, or a folder of one or several files with the same columns. What
    a competition lays next to them is left out, with a note.

    Args:
        has_header: of texts, whether their first row names the columns; None: as it looks.

    Raises:
        BadData: nothing to read, or a file that is empty, damaged, of another format, or ragged.
    """
    files = table_files(Path(raw))
    return joined(
        of_training({file.name: read_file(file, has_header=has_header) for file in files})
    )


def of_training(tables: Mapping[str, Table]) -> list[Table]:
    """Tables by the names of their files without those that hold no rows to learn from, which the first
    one notes."""
    columns = {name: table.names for name, table in tables.items()}
    left_out = beside_training(columns)
    kept = [table for name, table in tables.items() if name not in left_out]
    for name, reason in left_out.items():
        kept[0].note(f"{name}{LEFT_OUT}{tables[name].rows:,} rows: {reason}")
    return kept


def table_files(raw: Path) -> list[File]:
    """The data files of a folder, sorted; a file stands for itself.

    Raises:
        BadData: none, several formats at once, or a folder that has a file's name.
    """
    if not raw.exists():
        raise BadData("no such file or folder", file=raw)
    inside = files_of(raw)
    if raw.is_file():
        by_itself = is_workbook(raw.name) or raw.name.lower().endswith(LIST) or is_plain(raw.name)
        if not (_supported(raw.name) or by_itself):
            raise unsupported(raw)
        return list(inside)
    for folder in inside.all_folders():
        # Spark writes a table as a folder that is named like a Parquet file.
        if _supported(folder) and not folder.endswith(".parquet"):
            raise BadData("is a folder, not a file", file=raw / folder)
    files = [file for file in inside if file.path.name != MANIFEST]
    found = [file for file in files if _supported(file.name)]
    if not found:
        # Next to other tables a workbook describes them, as a .json does.
        found = [file for file in files if is_workbook(file.name)]
    if not found:
        others = [file for file in files if file.suffix not in _BESIDE]
        lists = [file for file in files if file.suffix == LIST]
        # A .json next to tables is a description of them; by itself it may hold the rows.
        if not others and len(lists) == 1:
            return lists
        plain = _plain_tables(files)
        if plain:
            return plain
        if len(others) == 1:
            raise unsupported(others[0].path)
        raise BadData(f"holds no table. Allowed: {ALLOWED}", file=raw)
    formats = {_format(file.name) for file in found}
    if len(formats) > 1:
        names = ", ".join(file.name for file in found[:5])
        problem = f"holds {' and '.join(sorted(formats))} files at once: {names}"
        raise BadData(problem, file=raw, hint="Keep one of them")
    return found


def _plain_tables(files: Sequence[File]) -> list[File]:
    """The only file of a folder whose name does not say what it holds; or all files, if they are called
    `.txt`, as the machines of a benchmark are. What tells about them or their licence is none of them."""
    if len(files) == 1 and is_plain(files[0].name):
        return list(files)
    found = [file for file in files if not is_about(file, anywhere=True)]
    if len(found) == 1 and is_plain(found[0].name):
        return found
    if found and all(file.suffix == ".txt" for file in found):
        return found
    return []


def is_quickly_read(data: Path) -> bool:
    """Whether a file or folder is small enough to be read before a run begins, to say at once what
    is wrong with it."""
    files = [data]
    if not data.is_file():
        files = [path for path in data.rglob("*") if path.is_file()]
    return sum(file.stat().st_size for file in files) <= QUICKLY_READ


def read_file(file: File, *, has_header: bool | None = None) -> Table:
    """One file as a table of one row or more.

    Args:
        has_header: of a text or sheet, whether its first row names the columns; None: as it looks.

    Raises:
        BadData: it is empty, damaged, of another format, ragged, or names a column twice.
    """
    if file.size == 0:
        raise BadData("the file is empty", file=file.path)
    if is_parquet(file.name):
        table = read_parquet_file(file)
    elif is_workbook(file.name):
        table = read_workbook(file, has_header=has_header)
    elif is_delimited(file.name):
        table = parse_text(read_text(file), has_header=has_header)
    else:
        table = read_json_file(file)
    check_table(table)
    return table


def check_table(table: Table) -> None:
    """Refuses a table without rows, or with two columns of one name.

    Raises:
        BadData: which.
    """
    for name, count in Counter(table.names).items():
        if count > 1:
            problem = f"{count} columns have this name"
            raise BadData(problem, file=table.file, column=name, hint="Rename all but one")
    if not table.rows:
        raise BadData("there is a header but no row below it", file=table.file)


def is_parquet(name: str) -> bool:
    """Whether a file of this name is one."""
    return name.lower().endswith((".parquet", ".pq"))


def is_delimited(name: str) -> bool:
    """Whether a file of this name holds text with a separator between its cells."""
    return name.lower().endswith(DELIMITED) or is_plain(name)


def is_plain(name: str) -> bool:
    """Whether a name does not say what the file holds. Such a file is taken for a table where it is
    named by itself, or is the only one of a folder."""
    bare = name.lower().removesuffix(".gz")
    return bare.endswith(_PLAIN) or not PurePosixPath(bare).suffix


def _format(name: str) -> str:
    if is_parquet(name):
        return "Parquet"
    if is_delimited(name):
        return "CSV"
    if is_workbook(name):
        return "Excel"
    return "JSON-lines"


def _supported(name: str) -> bool:
    return name.lower().endswith((*SUFFIXES, *ROWS))


def unsupported(file: Path, allowed: str = ALLOWED) -> BadData:
    """What is wrong with a file that is no table by its name, and how it becomes one; to be raised."""
    kind = file.suffix or file.name
    problem = f"files named *{kind} are not supported. Allowed: {allowed}"
    for endings, hint in _HINTS.items():
        if file.name.lower().endswith(endings):
            return BadData(problem, file=file, hint=hint)
    return BadData(problem, file=file)
