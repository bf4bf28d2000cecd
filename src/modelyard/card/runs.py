"""The page of all runs: one sortable table, with each run's card behind a button."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from modelyard.card import pages, text
from modelyard.card.templates import render

MOST_CARDS = 100
"""Cards in the page, those of the newest runs: each has some hundred kilobytes."""


@dataclass(frozen=True)
class RunRow:
    """One run, as the table shows it."""

    id: str
    family: str
    data: str
    created: str
    status: str
    seconds: float
    result: str
    """What deploy, or the last finished stage, said."""
    metric: str = ""
    value: float | None = None
    baseline: float | None = None
    card: str = ""
    """The card as HTML; "" where the run has none."""


@dataclass(frozen=True)
class _Cell:
    shown: str
    order: str = ""
    """What the column is sorted by, where it is not the text."""


_COLUMNS = ("run", "family", "data", "status", "time", "metric", "value", "baseline", "result")


def page(runs: Sequence[RunRow]) -> str:
    """The newest run first; without a network, and complete in one file."""
    newest = sorted(runs, key=lambda run: run.created, reverse=True)
    with_card = [run for run in newest if run.card]
    cards = {run.id: run.card for run in with_card[:MOST_CARDS]}
    rows = []
    for run in newest:
        rows.append((run.id, bool(run.card), run.id in cards, _cells(run)))
    title = "1 run" if len(runs) == 1 else f"{len(runs):,} runs"
    return render(
        "runs.html.j2",
        title,
        scripts=[(Path(__file__).parent / "runs.js").read_text(encoding="utf-8")],
        columns=_COLUMNS,
        rows=rows,
        cards=Markup(pages.data("cards", cards)),  # noqa: S704 - it escapes what ends a script
        left_out=len(with_card) - len(cards),
    )


def _cells(run: RunRow) -> list[_Cell]:
    return [
        _Cell(run.id, run.created),
        _Cell(run.family),
        _Cell(run.data),
        _Cell(run.status),
        _Cell(text.duration(run.seconds), f"{run.seconds:.3f}"),
        _Cell(text.words(run.metric)),
        _number(run.value),
        _number(run.baseline),
        _Cell(run.result),
    ]


def _number(value: float | None) -> _Cell:
    if value is None:
        return _Cell("")
    return _Cell(text.number(value), repr(value))
