"""Which files a raw folder holds, and their labels: class folders, split folders, or labels.csv."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Literal

from modelyard.errors import BadData, UsageError
from modelyard.kit.classifier.config import FileFeatures
from modelyard.kit.classifier.examples import (
    Example,
    Listing,
    first_group,
    grouped,
)
from modelyard.kit.classifier.kind import FileKind
from modelyard.kit.classifier.listed import LABELS, is_listed, read_listed
from modelyard.kit.classifier.lists import OF_PARTS, OF_SPLITS, read_tables, tables_in
from modelyard.kit.splits import SPLIT_NAMES
from modelyard.store.files import File, FileSet, files_of

UNLABELLED = frozenset({"unlabeled", "unlabelled", "unsup"})
"""Folders next to the class folders of a split, or to the splits, in lower case, that hold what has no
class: so in the IMDB reviews and in STL-10. `features.classes` may name one as a class."""
LEAST_OF_CLASS = 6
"""Names that begin alike, for their beginning to be a class."""
_BEGINS = re.compile(r"([A-Za-z][A-Za-z _-]*?)[._ -]?\d")
"""The class at the beginning of a name, before its number: `cat.0.jpg`, `yorkshire_terrier_12.jpg`."""
Wanted = int | Literal["path", "last"]
"""Which folders of a path are the class: `features.class_folder`."""


def read_folder(raw: Path, kind: FileKind, settings: FileFeatures) -> Listing:
    """The labelled files: by `labels.csv`, or by class folders, in split folders or not.

    Raises:
        BadData: with file, and row of labels.csv.
        UsageError: `features.group_pattern` does not fit the data.
    """
    raw = Path(raw)
    if not raw.is_dir() or not any(raw.iterdir()):
        raise BadData("holds no files", file=raw)
    files = files_of(raw)
    table = files.get(LABELS)
    if settings.class_pattern is not None:
        check_no_class_folder(settings, "features.class_pattern names the classes")
        listing = _by_name(files, kind, settings.class_pattern)
    elif table is None or not is_listed(table):
        listing = _by_table_or_folder(files, kind, settings)
    else:
        check_no_class_folder(settings, f"{LABELS} names the labels")
        listing = read_listed(table, files, kind, settings.classes)
    if settings.group_pattern is not None:
        pattern = settings.group_pattern
        listing.examples = [grouped(example, pattern) for example in listing.examples]
    return listing


def _by_table_or_folder(files: FileSet, kind: FileKind, settings: FileFeatures) -> Listing:
    """By a table of another name than labels.csv that lists the files, else by folders."""
    tables = tables_in(files, kind, settings.classes)
    if tables:
        check_no_class_folder(settings, f"{tables[0].table.name} names the labels")
        return read_tables(tables, files, kind)
    table = files.get(LABELS)
    if table is not None:
        return read_listed(table, files, kind, settings.classes)
    return _by_folder(files, kind, settings)


def _by_name(files: FileSet, kind: FileKind, pattern: str) -> Listing:
    """The class is a part of each file's name: `cat.0.jpg`."""
    listing = Listing(files.root, kind, [], headline="classes are parts of the names")
    for file in files:
        if not kind.reads(file.name):
            continue
        path = PurePosixPath(file.name)
        folders = [folder.lower() for folder in path.parts[:-1]]
        splits = [SPLIT_NAMES[folder] for folder in folders if folder in SPLIT_NAMES]
        split = splits[0] if splits else None
        label = first_group(pattern, path.name, "features.class_pattern")
        if label is None:
            listing.drop("features.class_pattern is not in the name")
        else:
            listing.examples.append(Example(file.name, file, label, split))
    if not listing.examples:
        problem = f"setting 'features.class_pattern' = {pattern!r} is in no name of a {kind.one}"
        raise UsageError(problem)
    if {example.split for example in listing.examples} == {"train"}:
        # Only the training pictures have their class in their name: splits are drawn of them.
        listing.examples = [replace(example, split=None) for example in listing.examples]
    listing.examples.sort(key=lambda example: example.name)
    return listing


def check_no_class_folder(settings: FileFeatures, reason: str) -> None:
    """Refuses the setting where folders name no classes, and says why they don't."""
    if settings.class_folder != "path":
        raise UsageError(f"setting 'features.class_folder' is for class folders; {reason}")


def _by_folder(files: FileSet, kind: FileKind, settings: FileFeatures) -> Listing:
    listing, wanted = Listing(files.root, kind, []), settings.class_folder
    top = _unwrapped(files, kind)
    if top:
        listing.notes.append(f"All {kind.many} are in the folder {top!r}: its folders are read.")
    folders = files.folders(top)
    outside = _directly_in(files, top, kind)
    _check_classes(files, folders, kind)
    unlabelled = [folder for folder in folders if _is_unlabelled(folder, settings)]
    labelled = [folder for folder in folders if folder not in unlabelled]
    # Next to class folders, one that is called so may be a class: it stays.
    if _are_splits(labelled):
        for folder in unlabelled:
            _drop_unlabelled(listing, files, folder)
        folders = labelled
    # Each top folder of classes with the split that it lies in, if any.
    classes: list[tuple[str | None, str]] = [(None, folder) for folder in folders]
    if _are_splits(folders):
        splits = [SPLIT_NAMES[_last(folder)] for folder in folders]
        if "train" not in splits:
            raise BadData("has no folder 'train' next to the other splits", file=files.root / top)
        classes = []
        for name, folder in zip(splits, folders, strict=True):
            outside += _directly_in(files, folder, kind)
            classes += [(name, inner) for inner in files.folders(folder)]
    listing.drop("outside a class folder", len(outside))
    if not classes:
        raise _no_classes(files, kind)
    depth = 0
    for split, folder in classes:
        if split is not None and _is_unlabelled(folder, settings):
            _drop_unlabelled(listing, files, folder)
            continue
        depth = max(depth, _read_class(listing, files, split, folder, wanted))
    if not listing.examples:
        problem = f"no {kind.one} lies {wanted} folders deep (features.class_folder)"
        raise BadData(problem, file=files.root / top)
    listing.examples.sort(key=lambda example: example.name)
    listing.headline = _said(wanted, depth)
    if wanted == "last":
        listing.notes += _joined(listing)
    return listing


def _are_splits(folders: Sequence[str]) -> bool:
    return bool(folders) and all(_last(folder) in SPLIT_NAMES for folder in folders)


def _is_unlabelled(folder: str, settings: FileFeatures) -> bool:
    return _last(folder) in UNLABELLED and PurePosixPath(folder).name not in settings.classes


def _drop_unlabelled(listing: Listing, files: FileSet, folder: str) -> None:
    found = [file for file in files.below(folder) if listing.kind.reads(file.name)]
    listing.drop(f"without a label, in {folder}", len(found))


def _check_classes(files: FileSet, folders: Sequence[str], kind: FileKind) -> None:
    """Refuses folders that part a collection (`train` and `test1`, `images_1` and `images_2`) and
    have no class folders in them: they would become the classes."""
    if len(folders) < 2 or _are_splits(folders):
        return
    if not any(_directly_in(files, folder, kind) for folder in folders):
        return
    names = [_last(folder) for folder in folders]
    are_splits = all(OF_SPLITS.fullmatch(name) for name in names)
    are_parts = all(OF_PARTS.search(name) for name in names)
    if are_splits or are_parts:
        listed = ", ".join(names[:4])
        problem = f"holds {kind.many} in {listed}, which are no classes"
        raise BadData(problem, file=files.root, hint=_hint(files, kind))


def _hint(files: FileSet, kind: FileKind) -> str:
    """What to do about files that lie in no class folder."""
    begins: Counter[str] = Counter()
    for file in files:
        match = _BEGINS.match(PurePosixPath(file.name).name)
        if match and kind.reads(file.name):
            begins[match.group(1)] += 1
    classes = sorted(name for name, count in begins.items() if count >= LEAST_OF_CLASS)
    # A single beginning, such as IMG_, names no class.
    if 2 <= len(classes) <= 1_000:
        few = ", ".join(classes[:3])
        return (
            f"Where names begin with the class ({few}), type: "
            f"--set features.class_pattern='{_BEGINS.pattern}'"
        )
    hint = f"Lay {kind.many} out as <class>/<file>, or list them in {LABELS}"
    return f"{hint} with the columns file,label"


def _unwrapped(files: FileSet, kind: FileKind) -> str:
    """The folder that holds everything, where it holds nothing but folders: what unpacking an
    archive leaves. Empty: the raw folder itself."""
    top = ""
    while len(folders := files.folders(top)) == 1 and not _directly_in(files, top, kind):
        (inner,) = folders
        # A folder that holds files itself is a class, the only one.
        if _directly_in(files, inner, kind) or not files.folders(inner):
            break
        top = inner
    return top


def _no_classes(files: FileSet, kind: FileKind) -> BadData:
    hint = _hint(files, kind)
    if found := _directly_in(files, "", kind):
        return BadData("lies outside of a class folder", file=found[0].path, hint=hint)
    tables = [file for file in files if file.suffix in (".csv", ".parquet")]
    if tables and not any(kind.reads(file.name) for file in files):
        name = tables[0].name
        hint = (
            f"A table whose columns hold numbers is tabular's: modelyard run tabular --data {name}"
        )
        return BadData(f"holds a table and no {kind.many}", file=tables[0].path, hint=hint)
    return BadData(f"holds no class folders and no {LABELS}", file=files.root, hint=hint)


def _read_class(
    listing: Listing, files: FileSet, split: str | None, folder: str, wanted: Wanted
) -> int:
    """Adds the examples of a top class folder, at any depth; counts what is not read.

    Returns:
        The most folders that a file's path has from the class folder on.
    """
    kind = listing.kind
    before = len(PurePosixPath(folder).parts) - 1
    depth = 0
    for file in files.below(folder):
        if file.suffix in kind.unread:
            listing.drop(f"{file.suffix} is not read: save it as {kind.save_as}")
        elif not kind.reads(file.name):
            listing.drop(f"files: not a {kind.one}")
        else:
            path = PurePosixPath(file.name).parent.parts[before:]
            depth = max(depth, len(path))
            label = _class_of(path, wanted)
            if label is None:
                listing.drop(f"fewer than {wanted} folders deep")
            else:
                listing.examples.append(Example(file.name, file, label, split))
    if not depth:
        problem = f"an empty class: no {kind.one} in it (read are {kind.readable})"
        hint = "Where it is no class, move it away, or point data.uri at the folder of the classes"
        raise BadData(problem, file=files.root / folder, hint=hint)
    return depth


def _class_of(path: Sequence[str], wanted: Wanted) -> str | None:
    """The class by the folders of a file, from the top class folder on; None: it lies above the
    folder that names the class."""
    if wanted == "path":
        return "/".join(path)
    if wanted == "last":
        return path[-1]
    if len(path) >= wanted:
        return path[wanted - 1]
    return None


def _said(wanted: Wanted, depth: int) -> str:
    """What the classes are, unless all folders lie next to each other."""
    if wanted == "last":
        return "classes are the innermost folders"
    if wanted != "path":
        return f"classes are the level-{wanted} folders"
    if depth > 1:
        return f"classes are paths of up to {depth} folders"
    return ""


def _joined(listing: Listing) -> list[str]:
    """Which classes are folders of the same name in different ones."""
    folders: dict[str, set[str]] = {}
    for example in listing.examples:
        path = PurePosixPath(example.name).parent
        # The same class in different splits is the same folder.
        folders.setdefault(example.label, set()).add(path.parent.name)
    notes = []
    for label, names in sorted(folders.items()):
        lower = {name.lower() for name in names}
        if len(names) > 1 and not lower <= SPLIT_NAMES.keys():
            listed = ", ".join(sorted(names))
            notes.append(f"The class {label!r} is of the folders in {listed}.")
    return notes


def _last(folder: str) -> str:
    """The folder's own name, in lower case."""
    return PurePosixPath(folder).name.lower()


def _directly_in(files: FileSet, folder: str, kind: FileKind) -> list[File]:
    return [file for file in files.directly_in(folder) if kind.reads(file.name)]
