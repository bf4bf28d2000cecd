"""Names of classes in a file of their own, where a table holds their numbers."""

from __future__ import annotations

from dataclasses import replace

from modelyard.kit.classifier.examples import Listing
from modelyard.kit.tables import decoded
from modelyard.store.files import File, FileSet

CLASSES = "classes.txt"
NUMBERED = "mapping.txt"
"""As tweeteval has it: a line is a number, a tab and a name."""
SHOWN = 3
"""Classes that the note names."""


def name_classes(listing: Listing, files: FileSet) -> None:
    """Puts the names in `classes.txt`, a line each, in the place of numbers from 0, or from 1 where
    the last class is the number of lines; says which, or that they fit neither."""
    file = files.get(NUMBERED)
    if file is not None and _by_number(listing, file):
        return
    file = files.get(CLASSES)
    if file is None or not file.read().strip():
        return
    lines = decoded(file)[0].strip().splitlines()
    names = [line.strip() for line in lines]
    labels = {example.label for example in listing.examples}
    if not all(label.isdecimal() for label in labels):
        listing.notes.append(f"{CLASSES} is not read: labels are no numbers.")
        return
    numbers = {int(label) for label in labels}
    first = 0 if 0 in numbers else 1
    last, largest = first + len(names) - 1, max(numbers)
    # Without a 0 they may count from 0 and lack the first class: only the last one shows it.
    fits = largest <= last if first == 0 else largest == last
    if not fits or not all(names):
        said = f"{len(names)} lines do not fit labels from {min(numbers)} to {largest}"
        listing.notes.append(f"{CLASSES} is not read: {said}.")
        return
    for place, example in enumerate(listing.examples):
        listing.examples[place] = replace(example, label=names[int(example.label) - first])
    shown = [f"{number} is {name}" for number, name in enumerate(names[:SHOWN], first)]
    if len(names) > SHOWN:
        shown.append("…")
    listing.notes.append(f"{CLASSES} names the classes: {', '.join(shown)}.")


def _by_number(listing: Listing, file: File) -> bool:
    """Puts names in the place of the numbers that a file gives them; False where it does not name them
    all."""
    names: dict[str, str] = {}
    for line in decoded(file)[0].strip().split("\n"):
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) < 2 or not cells[1] or cells[1] in names.values():
            return False
        names[cells[0]] = cells[1]
    if not all(example.label in names for example in listing.examples):
        return False
    for place, example in enumerate(listing.examples):
        listing.examples[place] = replace(example, label=names[example.label])
    shown = [f"{number} is {name}" for number, name in list(names.items())[:SHOWN]]
    if len(names) > SHOWN:
        shown.append("…")
    listing.notes.append(f"{file.path.name} names the classes: {', '.join(shown)}.")
    return True
