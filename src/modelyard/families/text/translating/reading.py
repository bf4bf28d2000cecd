"""Pairs of texts: two columns of a table, or two fields of JSON rows."""

from __future__ import annotations

import re
from pathlib import Path

from modelyard.errors import BadData
from modelyard.families.text.translating.spec import PAIRS
from modelyard.kit.classifier.columns import named_columns
from modelyard.kit.classifier.config import RowFeatures
from modelyard.kit.classifier.examples import Listing
from modelyard.kit.classifier.parts import Rows
from modelyard.kit.classifier.rows import read_rows

SOURCES = ("source", "src", "input", "from", "text", "original", "question", "quelle")
TARGETS = ("target", "tgt", "output", "to", "translation", "reference", "answer", "label", "ziel")
"""Usual names of the two columns, the likeliest first, in lower case."""
LANGUAGE = re.compile(r"[a-z]{2,3}([-_][a-z]{2,4})?", re.IGNORECASE)
"""Codes such as `en`, `deu` and `pt-BR`."""
MOST_WORDS = 2
"""Of the name of a column that is not known."""
NAMELESS = ["c1", "c2"]
"""What the first columns of a table without a header are called."""
ASIDE = frozenset({"split", "group", "id"})


def read_pairs(raw: Path, settings: RowFeatures) -> tuple[Listing, str]:
    """The pairs of tables and JSON rows, the target as label; and the column of the sources.

    Raises:
        BadData: with file, row and column.
    """
    listing, content = read_rows(raw, PAIRS, settings, _find)
    if listing.dropped:
        renamed = {"no label": "no target", f"no {PAIRS.one}": "no source"}
        listing.dropped = {renamed.get(why, why): count for why, count in listing.dropped.items()}
    target = listing.examples[0].columns[1]
    listing.notes[-1] = f"The source is the column {content!r}, the target {target!r}."
    return listing, content


def _find(rows: Rows, settings: RowFeatures) -> tuple[str, str]:
    """As set; by their names; or of a table whose two columns are called as languages, or that has only
    two, or names none, the first."""
    source, target = named_columns(rows, settings, SOURCES, TARGETS)
    others = [name for name in rows.columns if name not in {source, target} | ASIDE]
    if source is None and target is None:
        languages = [name for name in others if LANGUAGE.fullmatch(name)]
        if len(languages) == 2 and rows.ordered:
            source, target = languages
        elif rows.ordered and others[:2] == NAMELESS:
            # A third column says where a pair is from, as Tatoeba's does.
            source, target = others[:2]
        elif rows.ordered and len(others) == 2 and all(_is_name(name) for name in others):
            source, target = others
    elif len(others) == 1:
        source, target = source or others[0], target or others[0]
    if source is None or target is None or source == target:
        seen = ", ".join(repr(name) for name in rows.columns)
        raise BadData(
            f"no column is the source and the target by its name; seen: {seen}",
            file=rows.file.path,
            hint=_hint(rows),
        )
    if target in rows.lists:
        problem = "holds lists or objects; a target is a text, and each of several a row of its own"
        raise BadData(problem, file=rows.file.path, column=target)
    return source, target


def _hint(rows: Rows) -> str:
    hint = "Name them: --set features.text_column=SOURCE --set features.label_column=TARGET"
    if rows.ordered:
        hint += "; a table needs a first row with names, such as source,target"
    return hint


def _is_name(name: str) -> bool:
    """Whether it may name a column: a first row that is a pair of texts mostly says more."""
    return len(name.split()) <= MOST_WORDS and not name.endswith((".", "!", "?"))
