"""Labelled examples that are cells of tables or fields of JSON rows, not files of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from modelyard.errors import BadData, UsageError, choices
from modelyard.kit.classifier.columns import LABEL_NAMES, Find, find_columns
from modelyard.kit.classifier.config import RowFeatures
from modelyard.kit.classifier.examples import (
    Example,
    Listing,
    check_splits,
    usual_name,
)
from modelyard.kit.classifier.flags import flags_of, join_flags
from modelyard.kit.classifier.folders import check_no_class_folder, read_folder
from modelyard.kit.classifier.kind import FileKind
from modelyard.kit.classifier.listed import LABELS
from modelyard.kit.classifier.named import name_classes
from modelyard.kit.classifier.parallel import LABEL, SOURCE, TARGET, TEXT, labelled, translated
from modelyard.kit.classifier.parts import Columns, Content, Rows, rows_in, tables_of
from modelyard.kit.json_lines import LIST, ROWS, in_utf8
from modelyard.kit.splits import SPLIT_NAMES
from modelyard.kit.tables import (
    SUFFIXES,
    decoded,
    unsupported,
)
from modelyard.kit.tables.competition import beside_training
from modelyard.store.files import WORKBOOKS, FileSet, files_of

MOST_UNREADABLE = 0.02
"""Share of a document's characters that may be unreadable: old mails hold some. Pictures and archives
have a tenth and more."""


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
    tables = tables_of(files, documents=kind.is_json)
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
    content, label = (find or find_columns)(widest, settings)
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
        allowed = ", ".join((*SUFFIXES, *sorted(ROWS), LIST, *WORKBOOKS))
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
