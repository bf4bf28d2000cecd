"""`report.html`: our verdict on top with Evidently's next to it, Evidently's drawings below. One
self-contained page."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path

from modelyard.card import pages
from modelyard.drift import second, widgets
from modelyard.drift.columns import Rows
from modelyard.drift.quality import Quality
from modelyard.drift.second import ColumnOpinion, Opinion
from modelyard.drift.sketch import SAMPLE_ROWS
from modelyard.drift.statistics import ColumnDrift
from modelyard.drift.verdict import Verdict
from modelyard.settings.monitor import MonitorSettings
from modelyard.store.artifact import write_text

LONGEST_TEXT = 2_000
"""Characters of any text on the page."""
NO_OPINION = "not compared"
STYLE = """
.my{font:15px/1.5 system-ui,sans-serif;color:#1b1f24;max-width:1140px;margin:24px auto;padding:0 16px}
.my{overflow-wrap:anywhere}
.my h1{font-size:24px;margin:0 0 4px}.my h2{font-size:18px;margin:20px 0 4px}
.my table{border-collapse:collapse;width:100%;margin:12px 0}
.my th,.my td{text-align:left;padding:5px 10px;border-bottom:1px solid #d8dee4}
.my th,.my td.n,.my td.s{white-space:nowrap}
.my td.n{text-align:right;font-variant-numeric:tabular-nums}
.my .bad{color:#b42318;font-weight:600}
.my .note{color:#57606a}
"""


def write_report(
    file: Path, reference: Rows, current: Rows, verdict: Verdict, settings: MonitorSettings
) -> None:
    """Writes the page. With too few rows it holds the verdict only.

    Raises:
        MissingExtra: Evidently is not installed.
    """
    opinion = None
    if verdict.columns:
        opinion = second.ask(verdict.columns, reference, current)
    banner = _banner(verdict, settings, opinion)
    if opinion is None:
        write_text(file, _page(banner, pages.policy()))
        return
    body, policy = widgets.embed(opinion.page)
    write_text(file, _page(banner + body, policy))


def _banner(verdict: Verdict, settings: MonitorSettings, opinion: Opinion | None) -> str:
    window = verdict.window
    rule = (
        f"A column drifted when its p-value, adjusted over all tests of all columns (Benjamini-Hochberg), is at most "
        f"{settings.alpha:g} and its effect at least what is given with it; the data drifted when more than "
        f"{settings.share:.0%} of the columns did."
    )
    lines = [
        f"{_watched(verdict)}: {verdict.rows_current:,} predictions from {window.since} to "
        f"{window.until}, against {verdict.rows_reference:,} reference rows.",
        _read(verdict),
        verdict.retrain_reason,
        rule if verdict.columns else "",
    ]
    opinions = {} if opinion is None else opinion.columns
    parts = [
        f"<h1>{_text(verdict.reason)}</h1>",
        _asides(verdict),
        _paragraphs(lines),
        _table(verdict, opinions),
    ]
    if opinion is not None:
        parts.append(f'<p class="note">{_text(_second(verdict, opinion))}</p>')
        parts.append(_differences(verdict, settings, opinion))
    return f'<div class="my">{"".join(parts)}</div>'


def _paragraphs(lines: Iterable[str]) -> str:
    """Those that say something."""
    paragraphs = [f"<p>{_text(line)}</p>" for line in lines if line]
    return "".join(paragraphs)


def _asides(verdict: Verdict) -> str:
    """Broken columns, one a line, and what is odd about the rows."""
    alerts = ""
    if verdict.alerts:
        items = [f"<li>{_text(alert.in_words())}</li>" for alert in verdict.alerts]
        title = "Broken columns, whatever the data as a whole:"
        alerts = f'<p class="bad">{title}</p><ul>{"".join(items)}</ul>'
    return alerts + _paragraphs([*verdict.cautions, *_of_labels(verdict.quality)])


def _of_labels(quality: Quality | None) -> list[str]:
    """How good the answers were whose label came."""
    if quality is None:
        return []
    lines = [f"With labels: {quality.in_words()}."]
    if quality.predicted is not None and quality.happened is not None:
        said = f"On average {quality.predicted:.3g} was predicted and {quality.happened:.3g} came"
        if quality.calibration_error is not None:
            said += f"; calibration error {quality.calibration_error:.3f}"
        lines.append(f"{said}.")
    return lines


def _read(verdict: Verdict) -> str:
    """Files and rows that the verdict rests on, and each kind of file that was skipped."""
    seen = verdict.seen
    if seen is None:
        return ""
    parts = [f"Read from {seen.files:,} files in {seen.place}", seen.in_words() or "none skipped"]
    if verdict.rows_current > SAMPLE_ROWS:
        parts.append(
            f"shares are of all rows, distributions of numbers those of {SAMPLE_ROWS:,} of "
            f"{verdict.rows_current:,} rows"
        )
    return "; ".join(parts) + "."


def _watched(verdict: Verdict) -> str:
    """`churn@3 (tabular 1f3c…), schedule payments`."""
    named = f"{verdict.family} {verdict.package}"
    if verdict.model:
        named = f"{verdict.model} ({named})"
    if verdict.schedule:
        named += f", schedule {verdict.schedule}"
    return named


def _second(verdict: Verdict, opinion: Opinion) -> str:
    """What Evidently was given, by what it judges, and what it says of the data."""
    drifted = sum(column.drifted for column in opinion.columns.values())
    state = "drifted" if opinion.drifted else "did not"
    return (
        "This table decides. Evidently's verdict, in the last column, is a second opinion on a sample, by a test and a "
        "threshold that it chooses for each column by itself. The drawings below are of this sample too: "
        f"{opinion.rows_current:,} of {verdict.rows_current:,} current and {opinion.rows_reference:,} of "
        f"{verdict.rows_reference:,} reference rows, {len(opinion.columns)} of {len(verdict.columns)} columns. For "
        f"Evidently {drifted} of these columns drifted, and the data {state}."
    )


def _differences(verdict: Verdict, settings: MonitorSettings, opinion: Opinion) -> str:
    """Columns on which the two verdicts differ, each with both reasons."""
    differing = []
    for column in verdict.columns:
        other = opinion.columns.get(column.name)
        if other is not None and other.drifted != column.drifted:
            differing.append(f"<li>{_text(_difference(column, other, settings))}</li>")
    if not differing:
        return '<p class="note">The two verdicts agree on every column that both judged.</p>'
    return f"<h2>Where the two verdicts differ</h2><ul>{''.join(differing)}</ul>"


def _difference(column: ColumnDrift, other: ColumnOpinion, settings: MonitorSettings) -> str:
    size = "below" if column.effect < column.least_effect else "at least"
    effect = f"effect {column.effect:.3f}, {size} {column.least_effect:.3g}"
    surety = "above" if column.adjusted_p > settings.alpha else "at most"
    chance = f"adjusted p {column.adjusted_p:.2g}, {surety} {settings.alpha:g}"
    ours = "drifted" if column.drifted else "stable"
    theirs = "drifted" if other.drifted else "stable"
    left_out = ""
    if column.test == "missing share":
        left_out = " Evidently leaves missing values out, whose share is what changed here."
    return (
        f"{column.name}: {ours} here ({column.test}: {chance}; {effect}), {theirs} for Evidently "
        f"({_measured(other)}).{left_out}"
    )


def _measured(other: ColumnOpinion) -> str:
    return f"{other.method} {other.score:.3g}, threshold {other.threshold:g}"


def _table(verdict: Verdict, opinions: dict[str, ColumnOpinion]) -> str:
    if not verdict.columns:
        return ""
    names = ["column", "", "test", "effect", "adjusted p", "missing", "what changed", "Evidently"]
    head = [f"<th>{name}</th>" for name in names]
    rows = [_row(column, opinions.get(column.name)) for column in verdict.columns]
    return f"<table><tr>{''.join(head)}</tr>{''.join(rows)}</table>"


def _row(column: ColumnDrift, other: ColumnOpinion | None) -> str:
    state = '<td class="s">stable</td>'
    if column.drifted:
        state = '<td class="s bad">drifted</td>'
    least = f" (least {column.least_effect:.3g})" if column.least_effect else ""
    opinion = NO_OPINION
    if other is not None:
        theirs = "drifted" if other.drifted else "stable"
        opinion = f"{theirs}: {_measured(other)}"
    return (
        f'<tr><td>{_text(column.name)}</td>{state}<td class="s">{_text(column.test)}</td>'
        f'<td class="n">{column.effect:.3f}{least}</td>'
        f'<td class="n">{column.adjusted_p:.2g}</td>'
        f'<td class="n">{column.missing_reference:.0%} → {column.missing_current:.0%}</td>'
        f"<td>{_text(column.summary)}</td><td>{_text(opinion)}</td></tr>"
    )


def _text(text: str) -> str:
    """Text from outside, as HTML; a page is no place for more of it than a person reads."""
    if len(text) > LONGEST_TEXT:
        text = text[: LONGEST_TEXT - 1] + "…"
    return escape(pages.clean(text))


def _page(body: str, policy: str) -> str:
    head = f"{pages.head('Drift', policy)}<style>{STYLE}</style>"
    return f'<!DOCTYPE html><html lang="en"><head>{head}</head><body>{body}</body></html>'
