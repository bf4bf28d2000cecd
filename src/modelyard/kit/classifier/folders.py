"""Which files a raw folder holds, and their labels: class folders, split folders, or labels.csv."""

from __future__ import annotations

from pathlib import Path

from modelyard.errors import BadData
from modelyard.kit.classifier.config import FileFeatures
from modelyard.kit.classifier.examples import (
    SPLIT_NAMES,
    Example,
    Listing,
    count_dropped,
    grouped,
)
from modelyard.kit.classifier.kind import FileKind
from modelyard.kit.classifier.listed import LABELS, read_listed
from modelyard.store.files import File, FileSet, files_of


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
    listing = (
        read_listed(table, files, kind, settings.classes)
        if table is not None
        else _by_folder(files, kind)
    )
    if settings.group_pattern is not None:
        pattern = settings.group_pattern
        listing.examples = [grouped(example, pattern) for example in listing.examples]
    return listing


def _by_folder(files: FileSet, kind: FileKind) -> Listing:
    raw = files.root
    folders = files.folders()
    dropped: dict[str, int] = {}
    # Each class folder with the split that it lies in, if any.
    classes: list[tuple[str | None, str]]
    outside = _directly_in(files, "", kind)
    if folders and all(folder.lower() in SPLIT_NAMES for folder in folders):
        splits = [SPLIT_NAMES[folder.lower()] for folder in folders]
        if "train" not in splits:
            raise BadData("has no folder 'train' next to the other splits", file=raw)
        classes = []
        for name, folder in zip(splits, folders, strict=True):
            outside += _directly_in(files, folder, kind)
            classes += [(name, inner) for inner in files.folders(folder)]
    else:
        classes = [(None, folder) for folder in folders]
    count_dropped(dropped, "outside a class folder", len(outside))
    if not classes:
        hint = f"Lay {kind.many} out as <class>/<file>, or list them in {LABELS}"
        hint += " with the columns file,label"
        if found := _directly_in(files, "", kind):
            raise BadData("lies outside of a class folder", file=found[0].path, hint=hint)
        raise BadData(f"holds no class folders and no {LABELS}", file=raw, hint=hint)
    examples = []
    for split, folder in classes:
        examples += _of_class(files, kind, split, folder, dropped)
    return Listing(raw, kind, sorted(examples, key=lambda example: example.name), dropped)


def _of_class(
    files: FileSet, kind: FileKind, split: str | None, folder: str, dropped: dict[str, int]
) -> list[Example]:
    """The examples of a class folder, at any depth. Adds to `dropped` what is not read."""
    label = folder.rpartition("/")[2]
    examples = []
    for file in files.below(folder):
        if kind.reads(file.name):
            examples.append(Example(file.name, file, label, split))
        elif file.suffix in kind.unread:
            count_dropped(dropped, f"{file.suffix} is not read: save it as {kind.save_as}", 1)
        else:
            count_dropped(dropped, f"files: not a {kind.one}", 1)
    if not examples:
        problem = f"an empty class: no {kind.one} in it (read are {kind.readable})"
        raise BadData(problem, file=files.root / folder)
    return examples


def _directly_in(files: FileSet, folder: str, kind: FileKind) -> list[File]:
    return [file for file in files.directly_in(folder) if kind.reads(file.name)]
