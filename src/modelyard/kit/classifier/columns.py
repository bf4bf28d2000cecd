"""Which columns of rows hold the content and its label."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from modelyard.errors import BadData, choices
from modelyard.kit.classifier.config import RowFeatures
from modelyard.kit.classifier.examples import usual_name
from modelyard.kit.classifier.flags import flags_of
from modelyard.kit.classifier.parts import Rows

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
LOOKED_AT = 1_000
"""Rows that tell which column holds the longest cells."""
Find = Callable[[Rows, RowFeatures], tuple[str, str]]
"""Which columns hold the content and its label."""


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


def find_columns(rows: Rows, settings: RowFeatures) -> tuple[str, str]:
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
