"""`report.html`: our verdict on top, Evidently's distributions below it. One self-contained
page."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.card import pages
from modelyard.drift import widgets
from modelyard.drift.columns import Columns
from modelyard.drift.statistics import ColumnDrift
from modelyard.drift.verdict import Verdict
from modelyard.errors import MissingExtra
from modelyard.settings.family import MonitorSettings
from modelyard.store.artifact import write_text

if TYPE_CHECKING:
    import pandas as pd

DRAWN_ROWS = 2_000
"""Rows of each side that Evidently draws, from a fixed seed: the page stays small, and the
decision is not its."""
DRAWN_COLUMNS = 40
"""Columns that Evidently draws, the most changed first: each costs about 0.2 s and 60 kB."""
DRAWN_CATEGORIES = 30
LONGEST_NAME, LONGEST_CATEGORY, LONGEST_TEXT = 80, 60, 2_000
"""Characters of a column's name and of a category in a drawing, and of any text on the page."""
STYLE = """
.my{font:15px/1.5 system-ui,sans-serif;color:#1b1f24;max-width:1140px;margin:24px auto;padding:0 16px}
.my{overflow-wrap:anywhere}
.my h1{font-size:24px;margin:0 0 4px}.my table{border-collapse:collapse;width:100%;margin:12px 0}
.my th,.my td{text-align:left;padding:5px 10px;border-bottom:1px solid #d8dee4}
.my td.n{text-align:right;font-variant-numeric:tabular-nums}.my .bad{color:#b42318;font-weight:600}
.my .note{color:#57606a}
"""


def write_report(
    file: Path, reference: Columns, current: Columns, verdict: Verdict, settings: MonitorSettings
) -> None:
    """Writes the page. With too few rows it holds the verdict alone.

    Raises:
        MissingExtra: Evidently is not installed.
    """
    drawn = [column for column in verdict.columns if _drawable(column, current)][:DRAWN_COLUMNS]
    if not drawn:
        write_text(file, _page(_banner(verdict, settings, ""), pages.policy()))
        return
    rows = [min(DRAWN_ROWS, count) for count in (verdict.rows_reference, verdict.rows_current)]
    sampled = (
        f"Below: Evidently's view of {rows[1]:,} of {verdict.rows_current:,} current and {rows[0]:,} of "
        f"{verdict.rows_reference:,} reference rows, {len(drawn)} of {len(verdict.columns)} columns. "
        "Its scores are the adjusted p-values of this table; this table decides."
    )
    body, policy = widgets.embed(_evidently(drawn, reference, current, settings))
    write_text(file, _page(_banner(verdict, settings, sampled) + body, policy))


def _drawable(column: ColumnDrift, current: Columns) -> bool:
    whole = column.test not in ("presence", "type") and column.kind != "missing"
    return whole and any(value is not None for value in current[column.name])


def _evidently(
    drawn: list[ColumnDrift], reference: Columns, current: Columns, settings: MonitorSettings
) -> str:
    try:
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset
    except ModuleNotFoundError:
        raise MissingExtra("the drift report", "monitor") from None

    labels = _labels([column.name for column in drawn], LONGEST_NAME)
    kinds = {
        kind: [labels[column.name] for column in drawn if column.kind == kind]
        for kind in ("numeric", "category")
    }
    shape = DataDefinition(
        numerical_columns=kinds["numeric"], categorical_columns=kinds["category"]
    )
    before, after = (
        Dataset.from_pandas(_frame(drawn, side, labels), shape) for side in (reference, current)
    )
    test = _our_test({labels[column.name]: column for column in drawn}, settings)
    preset = DataDriftPreset(
        columns=list(labels.values()),
        num_method=test,
        cat_method=test,
        threshold=settings.alpha,
        # Evidently alarms at this share, we above it.
        drift_share=float(np.nextafter(settings.share, 1)),
    )
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        page: str = Report([preset]).run(after, before).get_html_str(as_iframe=False)
    return page


def _our_test(columns: dict[str, ColumnDrift], settings: MonitorSettings) -> str:
    """Has Evidently show our decision: a test of its kind that answers with the verdict's
    column."""
    from evidently.legacy.calculations.stattests import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    def decided(reference: Any, current: Any, kind: Any, threshold: float) -> tuple[float, bool]:
        column = columns[str(reference.name)]
        return column.adjusted_p, column.drifted

    name = "modelyard: adjusted p-value"
    register_stattest(
        StatTest(name, name, [ColumnType.Numerical, ColumnType.Categorical], settings.alpha),
        decided,
    )
    return name


def _frame(drawn: list[ColumnDrift], side: Columns, labels: dict[str, str]) -> pd.DataFrame:
    import pandas as pd

    rows = len(side[drawn[0].name])
    chosen = np.arange(rows)
    if rows > DRAWN_ROWS:
        chosen = np.random.default_rng(0).choice(rows, DRAWN_ROWS, replace=False)
    table: dict[str, Any] = {}
    for column in drawn:
        values = [side[column.name][index] for index in chosen.tolist()]
        table[labels[column.name]] = (
            _numbers(values) if column.kind == "numeric" else _categories(values)
        )
    return pd.DataFrame(table)


def _numbers(values: Sequence[Any]) -> np.ndarray:
    numbers = np.array(values, np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _categories(values: Sequence[Any]) -> np.ndarray:
    counts = Counter("" if value is None else str(value) for value in values)
    common = _labels([value for value, _ in counts.most_common(DRAWN_CATEGORIES)], LONGEST_CATEGORY)
    labels = [None if value is None else common.get(str(value), "(rare)") for value in values]
    return np.array(labels, dtype=object)


def _labels(names: Sequence[str], longest: int) -> dict[str, str]:
    """A label for each name, all different, in which Evidently and plotly find no markup."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        label = pages.harmless(name, longest) or "(blank)"
        number = 1
        while label in taken:
            number += 1
            label = f"{pages.harmless(name, longest) or '(blank)'} ({number})"
        taken.add(label)
        found[name] = label
    return found


def _banner(verdict: Verdict, settings: MonitorSettings, sampled: str) -> str:
    window = verdict.window
    rule = (
        f"A column drifted when its p-value, adjusted over all columns (Benjamini-Hochberg), is at most "
        f"{settings.alpha:g} and its effect at least {settings.min_effect:g}; the data drifted when more than "
        f"{settings.share:.0%} of the columns did."
    )
    lines = [
        f"{verdict.family} {verdict.package}: {verdict.rows_current:,} predictions from {window.since} to "
        f"{window.until}, against {verdict.rows_reference:,} reference rows.",
        verdict.retrain_reason,
        rule if verdict.columns else "",
    ]
    said = "".join(f"<p>{_text(line)}</p>" for line in lines if line)
    note = f'<p class="note">{_text(sampled)}</p>' if sampled else ""
    return f'<div class="my"><h1>{_text(verdict.reason)}</h1>{said}{_table(verdict)}{note}</div>'


def _table(verdict: Verdict) -> str:
    if not verdict.columns:
        return ""
    names = ("column", "", "test", "effect", "adjusted p", "missing", "what changed")
    head = "".join(f"<th>{name}</th>" for name in names)
    return f"<table><tr>{head}</tr>{''.join(_row(column) for column in verdict.columns)}</table>"


def _row(column: ColumnDrift) -> str:
    state = '<td class="bad">drifted</td>' if column.drifted else "<td>stable</td>"
    return (
        f'<tr><td>{_text(column.name)}</td>{state}<td>{_text(column.test)}</td><td class="n">{column.effect:.3f}</td>'
        f'<td class="n">{column.adjusted_p:.2g}</td>'
        f'<td class="n">{column.missing_reference:.0%} → {column.missing_current:.0%}</td>'
        f"<td>{_text(column.summary)}</td></tr>"
    )


def _text(text: str) -> str:
    """Text from outside, as HTML; a page is no place for more of it than a person reads."""
    shown = text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
    return escape(pages.clean(shown))


def _page(body: str, policy: str) -> str:
    head = f"{pages.head('Drift', policy)}<style>{STYLE}</style>"
    return f'<!DOCTYPE html><html lang="en"><head>{head}</head><body>{body}</body></html>'
