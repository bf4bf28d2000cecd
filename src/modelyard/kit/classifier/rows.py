"""Labelled examples that are cells of tables or fields of JSON rows, not files of their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa

from modelyard.errors import BadData, UsageError, choices
from modelyard.kit.classifier.config import RowFeatures
from modelyard.kit.classifier.examples import (
    Example,
    Listing,
    check_splits,
    usual_name,
)
from modelyard.kit.classifier.fasttext import fasttext_columns, is_fasttext
from modelyard.kit.classifier.flags import flags_of, join_flags
from modelyard.kit.classifier.folders import check_no_class_folder, read_folder
from modelyard.kit.classifier.kind import FileKind
from modelyard.kit.classifier.listed import LABELS
from modelyard.kit.classifier.named import name_classes
from modelyard.kit.classifier.parallel import LABEL, SOURCE, TARGET, TEXT, labelled, translated
from modelyard.kit.json_lines import JSON, LIST, ROWS, in_utf8, json_rows, read_utf8
from modelyard.kit.splits import SPLIT_NAMES
from modelyard.kit.tables import (
    SUFFIXES,
    as_texts,
    decoded,
    is_plain,
    read_file,
    texts,
    unsupported,
)
from modelyard.kit.tables.competition import beside_training
from modelyard.store.files import File, FileSet, files_of

MOST_UNREADABLE = 0.02
"""Share of a document's characters that may be unreadable: old mails hold some. Pictures and archives
have a tenth and more."""
TEXT_NAMES = (
    *(
        "text",
        "texts",
        "content",
        "body",
        "review",
        "message",
        "sentence",
        "comment",
        "comment_text",
    ),
    *("document", "tweet", "utterance", "question", "description", "abstract"),
    *("texto", "texte", "testo", "tekst", "inhalt", "nachricht", "bewertung", "kommentar"),
    *("mensaje", "comentario", "commentaire", "messaggio", "recensione"),
)
"""Usual names of a table's column with the text, the likeliest first, in lower case."""
LABEL_NAMES = (
    *("label", "labels", "class", "category", "target", "sentiment", "topic", "intent", "y"),
    *("class index", "class_index", "polarity", "emotion"),
    *("tag", "kind", "type", "area", "rating", "spam"),
    *("klasse", "kategorie", "thema", "etikett"),
    *("etiqueta", "categoria", "categoría", "clase", "tema", "etichetta"),
    *("étiquette", "catégorie", "categorie", "classe", "sujet"),
)
"""Usual names of a table's column with the label, the likeliest first, in lower case."""
TRANSLATION = "translation"
"""Field of JSON rows that hold the same text in several languages, by the language's code: as the
library datasets has them."""
LOOKED_AT = 1_000
"""Rows that tell which column holds the longest cells."""
Columns = dict[str, list[str | None]]
"""Cells by column; None is an empty one."""


class Content(File):
    """A text that stands in a file, as a file by itself."""

    __slots__ = ("data",)

    def __init__(self, file: File, data: bytes) -> None:
        super().__init__(file.root, file.name)
        self.data = data

    @property
    def size(self) -> int:
        return len(self.data)

    def open(self) -> BufferedIOBase:
        return BytesIO(self.data)


@dataclass(frozen=True)
class Rows:
    """Rows of one file."""

    file: File
    columns: Columns
    numbers: list[int]
    """Of each row, in the file."""
    notes: list[str]
    lists: frozenset[str] = frozenset()
    """Columns of JSON rows in which a cell is a list or an object."""
    split: str | None = None
    """Of all rows, where the names of parallel files say it."""
    ordered: bool = True
    """Whether the order of its columns means something."""


def tables_of(files: FileSet) -> list[File]:
    """The files that hold rows."""
    tables = [file for file in files if is_rows(file.name)]
    if tables:
        return tables
    # A .json or .txt next to other files describes them, or is a text; by itself it may hold the rows, and
    # so may files that are called as splits.
    plain = [file for file in files if is_plain(file.name)]
    if len(files) == 1:
        return [file for file in files if file.suffix == LIST] or plain
    # Nothing but lists in JSON: they are the rows themselves, in parts.
    lists = [file for file in files if file.suffix == LIST]
    if lists and all(file in lists or file.suffix in (".md", ".dvc") for file in files):
        return lists
    at_top = all("/" not in file.name and _split_of(file.path) for file in plain)
    others = [file for file in files if file not in plain and file.suffix not in (".md", ".dvc")]
    return plain if at_top and not others else []


Find = Callable[[Rows, RowFeatures], tuple[str, str]]
"""Which columns hold the content and its label."""


def read_rows(
    raw: Path, kind: FileKind, settings: RowFeatures, find: Find | None = None
) -> tuple[Listing, str]:
    """The labelled examples of tables, of JSON rows, or of text files in class folders, as UTF-8;
    and the column that holds them: as set, by its name, or by what it holds, unless `find` says.

    Files that are named as splits (`train.csv`, `test.csv`) are these splits; else a column `split`
    may name them, as in labels.csv.

    Raises:
        BadData: with file, row and column.
        UsageError: `features.group_pattern` is set.
    """
    raw = Path(raw)
    files = files_of(raw)
    tables = tables_of(files)
    together = [] if tables else _parallel_rows(files, kind, find)
    if find is not None and not (tables or together):
        allowed = (
            "a table (.csv, .tsv, .parquet), JSON rows (.jsonl) with a source and a target, or text"
        )
        allowed += " files of equally many lines, such as train.de and train.en"
        raise BadData(f"holds no {kind.many} of texts: allowed is {allowed}", file=raw)
    if not (tables or together) or files.get(LABELS) is not None:
        _check_folder(raw, files, kind)
        return _read_files(raw, kind, settings), kind.field
    check_no_class_folder(settings, "a column names the labels")
    if settings.group_pattern is not None:
        said = "is for files: a column `group` says which rows stay together"
        raise UsageError(f"setting 'features.group_pattern' {said}")
    listing = Listing(raw, kind, [])
    parts = together or _of_training([rows_in(file) for file in tables], listing)
    # Others may lack a column: what is wrong with them is said of them.
    widest = max(parts, key=lambda part: len(part.columns))
    if find is None:
        listing.notes += _join_flags(parts, widest, settings)
    content, label = (find or _find)(widest, settings)
    by_name = len(parts) > 1 and all(part.split for part in parts)
    for part in parts:
        _check_columns(part, content, label, kind, several=len(parts) > 1)
        listing.notes += part.notes
        _add(listing, part, content, label, part.split if by_name else None)
    if not listing.examples:
        problem = f"no row has both a {kind.one} ({content}) and a label ({label})"
        raise BadData(problem, file=parts[0].file.path)
    check_splits(listing.examples)
    if find is None and getattr(settings, "labels", "one") == "one":
        name_classes(listing, files)
    listing.notes.append(f"The {kind.one} is the column {content!r}, the label {label!r}.")
    return listing, content


def _parallel_rows(files: FileSet, kind: FileKind, find: Find | None) -> list[Rows]:
    """The rows of text files that hold a column each: of texts and labels, or of a text and its
    translation."""
    if find is None:
        groups = labelled(files, (TEXT, LABEL))
    else:
        groups = labelled(files, (SOURCE, TARGET)) or translated(files)
    parts = []
    for group in groups:
        first, *others = [file.path.name for file in group.files.values()]
        lines = group.lines()
        columns: Columns = {}
        for role, cells in lines.items():
            columns[role] = [cell or None for cell in cells]
        numbers = list(range(1, len(next(iter(lines.values()))) + 1))
        notes = [f"Line n of {first} belongs to line n of {', '.join(others)}."]
        file = next(iter(group.files.values()))
        parts.append(Rows(file, columns, numbers, notes, split=group.split, ordered=False))
    return parts


def _check_folder(raw: Path, files: FileSet, kind: FileKind) -> None:
    """Refuses what holds neither tables nor such files."""
    if raw.is_file():
        allowed = ", ".join((*SUFFIXES, *sorted(ROWS), LIST))
        hint = f"Allowed: {allowed}, or a folder <class>/<file> of {kind.readable} files"
        raise BadData(f"is no table of {kind.many}", file=raw, hint=hint)
    others = [file for file in files if file.suffix not in (".md", ".dvc")]
    if len(others) == 1 and not kind.reads(others[0].name):
        raise unsupported(others[0].path)


def _check_columns(rows: Rows, content: str, label: str, kind: FileKind, *, several: bool) -> None:
    """Refuses a file, one of `several` or not, that lacks one of both columns, or holds no texts."""
    for name in (content, label):
        if name not in rows.columns:
            problem = f"the column is missing; seen: {', '.join(rows.columns)}"
            hint = f"Move a file that has no {name} out of the folder" if several else ""
            raise BadData(problem, file=rows.file.path, column=name, hint=hint)
    if content in rows.lists and not kind.is_json:
        problem = f"holds lists or objects; a {kind.one} is a text"
        raise BadData(problem, file=rows.file.path, column=content)


def _of_training(parts: list[Rows], listing: Listing) -> list[Rows]:
    """Without what a competition lays next to the rows to learn from, which is noted."""
    columns = {part.file.name: part.columns for part in parts}
    left_out = beside_training(columns)
    for part in parts:
        if part.file.name in left_out:
            reason = left_out[part.file.name]
            rows = f"{len(part.numbers):,} rows"
            listing.notes.append(f"{part.file.name} is left out, with {rows}: {reason}.")
    return [part for part in parts if part.file.name not in left_out]


def _join_flags(parts: Sequence[Rows], widest: Rows, settings: RowFeatures) -> list[str]:
    """One column of labels in the place of columns of 0 and 1, where a text may have many; a note."""
    if getattr(settings, "labels", "one") != "many" or settings.label_column is not None:
        return []
    if usual_name(LABEL_NAMES, widest.columns, {settings.text_column}) is not None:
        return []
    flags = flags_of(widest.columns, settings.classes)
    for part in parts:
        if flags and set(flags) <= set(flags_of(part.columns, flags)):
            join_flags(part.columns, flags)
    if not flags:
        return []
    return [f"Labels are the columns of 0 and 1: {', '.join(flags)}."]


def is_rows(name: str) -> bool:
    """Whether a file of this name is a table or holds JSON rows."""
    return name.lower().endswith((*SUFFIXES, *ROWS))


def _split_of(file: Path) -> str | None:
    """The split that a file's name says: `train.csv`."""
    return SPLIT_NAMES.get(file.name.split(".")[0].lower())


def _read_files(raw: Path, kind: FileKind, settings: RowFeatures) -> Listing:
    """Files in class folders, or listed in labels.csv, in whatever encoding they are."""
    listing = read_folder(raw, kind, settings)
    remarks: list[str] = []
    unreadable: list[str] = []
    for place, example in enumerate(listing.examples):
        content, notes = decoded(example.file, MOST_UNREADABLE)
        # The first note is on the encoding, a second one on characters that are none of it.
        remarks += notes[:1]
        unreadable += notes[1:]
        text = Content(example.file, content.strip().encode())
        listing.examples[place] = replace(example, file=text)
    for found in (remarks, unreadable):
        if found:
            note = found[0]
            if len(found) > 1:
                note += f" (and so on for {len(found) - 1} more files)"
            listing.notes.append(note)
    return listing


def rows_in(file: File, *, has_header: bool | None = None) -> Rows:
    """The rows of one table or file of JSON; `has_header` as in `read_file`."""
    if file.suffix not in JSON and is_fasttext(file):
        columns, numbers, notes = fasttext_columns(file)
        return Rows(file, columns, numbers, notes, split=_split_of(file.path))
    if file.suffix not in JSON:
        table = read_file(file, has_header=has_header)
        columns = {name: texts(table, name) for name in table.names}
        numbers = table.files[0].row_numbers().tolist()
        return Rows(file, columns, numbers, table.notes, split=_split_of(file.path))
    columns, numbers, lists = {}, [], set()
    for number, value in json_rows(read_utf8(file), file.path, splits=True):
        value = flat(value)
        if not isinstance(value, dict):
            raise BadData("must be a JSON object", file=file.path, row=number)
        # A field that is new has been empty in all rows before.
        for name in value.keys() - columns.keys():
            columns[name] = [None] * len(numbers)
        for name, cells in columns.items():
            cell = value.get(name)
            cells.append(_cell(cell))
            if isinstance(cell, dict | list):
                lists.add(name)
        numbers.append(number)
    columns = dict(sorted(columns.items()))
    split = _split_of(file.path)
    return Rows(file, columns, numbers, [], frozenset(lists), split, ordered=False)


def flat(value: Any) -> Any:
    """The object of a row; what `{"translation": {…}}` holds stands next to its other fields."""
    if isinstance(value, dict) and isinstance(inner := value.get(TRANSLATION), dict):
        return {name: cell for name, cell in value.items() if name != TRANSLATION} | inner
    return value


def _cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return (value or "").strip() or None
    if isinstance(value, dict | list):
        return json.dumps(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # of any size, where Arrow's have 64 bits
    return as_texts(pa.array([value]))[0]


def named_columns(
    rows: Rows, settings: RowFeatures, contents: Sequence[str], labels: Sequence[str]
) -> tuple[str | None, str | None]:
    """The columns of content and label as set, or the first that are called so.

    Raises:
        BadData: a column that is set is not there.
    """
    columns = rows.columns
    content, label = settings.text_column, settings.label_column
    for setting, name in (("text_column", content), ("label_column", label)):
        if name is not None and name not in columns:
            problem = f"{choices('column', name, columns)} (features.{setting})"
            raise BadData(problem, file=rows.file.path)
    content = content or usual_name(contents, columns, {label})
    return content, label or usual_name(labels, columns, {content})


def _find(rows: Rows, settings: RowFeatures) -> tuple[str, str]:
    """The columns of text and label: as set, by their names, or by what they hold."""
    columns = rows.columns
    content, label = named_columns(rows, settings, TEXT_NAMES, LABEL_NAMES)
    aside = {content, label, "split", "group"}
    others = []
    for name, cells in columns.items():
        # What spreadsheets leave behind the last column, `Unnamed: 2`, holds next to nothing.
        if name not in aside and not _mostly_empty(cells):
            others.append(name)
    if content is None and others:
        content = max(others, key=lambda name: _length(columns[name]))
        others.remove(content)
    if label is None and len(others) == 1:
        (label,) = others
    if content is None or label is None or content == label:
        problem = f"no column is the label by its name; seen: {', '.join(columns)}"
        hint = "Name it: --set features.label_column=NAME (and features.text_column)"
        if flags_of(columns, settings.classes) and hasattr(settings, "labels"):
            hint += "; where each column of 0 and 1 is a label: --set features.labels=many"
        raise BadData(problem, file=rows.file.path, hint=hint)
    return content, label


def _mostly_empty(cells: list[str | None]) -> bool:
    return 2 * cells.count(None) > len(cells)


def _length(cells: list[str | None]) -> float:
    """Mean of the first cells' characters."""
    some = cells[:LOOKED_AT]
    return sum(len(cell or "") for cell in some) / max(1, len(some))


def _add(listing: Listing, rows: Rows, content: str, label: str, split: str | None) -> None:
    """The rows that have a content and a label; others are counted."""
    columns, empty = rows.columns, [None] * len(rows.numbers)
    # Called as in labels.csv, so that one text says how both are divided.
    splits, groups = columns.get("split", empty), columns.get("group", empty)
    cells = zip(rows.numbers, columns[content], columns[label], splits, groups, strict=True)
    for number, text, answer, named, group in cells:
        if text is None:
            listing.drop(f"no {listing.kind.one}")
            continue
        if answer is None:
            listing.drop("no label")
            continue
        if named is not None and named.lower() not in SPLIT_NAMES:
            problem = choices("split", named, SPLIT_NAMES)
            raise BadData(problem, file=rows.file.path, row=number, column="split")
        data = in_utf8(text, rows.file.path, content, number)
        example = Example(
            name=f"{rows.file.name} row {number}",
            file=Content(rows.file, data),
            label=answer,
            split=split or SPLIT_NAMES.get((named or "").lower()),
            group=group,
            table=rows.file.path,
            row=number,
            columns=(content, label),
        )
        listing.examples.append(example)
