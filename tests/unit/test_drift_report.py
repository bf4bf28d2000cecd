from __future__ import annotations

import re
from html import unescape

import numpy as np
import pytest

from modelyard.drift.report import NO_OPINION, write_report
from modelyard.drift.second import DRAWN_COLUMNS
from modelyard.drift.verdict import Verdict, Window, judge
from modelyard.settings.monitor import MonitorSettings

WINDOW = Window(since="2026-01-01T00:00:00+00:00", until="2026-01-02T00:00:00+00:00")


def page(tmp_path, before, after, **settings) -> tuple[Verdict, str]:
    chosen = MonitorSettings(**settings)
    verdict = judge(before, after, chosen, family="f", package="p", digest="d", window=WINDOW)
    write_report(tmp_path / "report.html", before, after, verdict, chosen)
    return verdict, (tmp_path / "report.html").read_text()


def opinions(text: str) -> dict[str, str]:
    """Evidently's verdict by column, from the last cell of each row of the table."""
    rows = re.findall(r"<tr><td>(.*?)</td>.*?<td>([^<]*)</td></tr>", text)
    return {unescape(name): unescape(said) for name, said in rows}


def odd(rng, rows: int, shift: float = 0.0) -> dict[str, list]:
    """Columns that plots stumble over."""
    return {
        "usual": rng.normal(shift, 1, rows).tolist(),
        "constant": [1.0] * rows,
        "empty": [None] * rows,
        "gaps": [None if number % 3 else float(number % 50) for number in range(rows)],
        "infinite": [float("inf"), 1.0] * (rows // 2),
        "text": rng.choice(["a", "b"], rows).tolist(),
        "text with gaps": [None if number % 2 else "a" for number in range(rows)],
        "ids": [f"{shift}-{number}" for number in range(rows)],
        "<b>markup</b>": rng.choice(["<script>", "&"], rows).tolist(),
    }


def test_columns_that_plots_stumble_over_are_drawn_or_left_out(tmp_path):
    rng = np.random.default_rng(0)
    after = odd(rng, 100, 3.0) | {
        "went empty": [None] * 100,
        "new": ["x"] * 100,
        "retyped": ["x"] * 100,
    }
    before = odd(rng, 200) | {
        "went empty": [1.0] * 200,
        "gone": [1.0] * 200,
        "retyped": [1.0] * 200,
    }
    verdict, text = page(tmp_path, before, after)
    assert {column.name for column in verdict.drifted} == {
        "usual",
        "went empty",
        "new",
        "gone",
        "retyped",
    }
    assert "&lt;b&gt;markup&lt;/b&gt;" in text
    assert "<td><b>markup</b>" not in text
    assert "8 of 13 columns" in text
    left_out = {name for name, said in opinions(text).items() if said == "not compared"}
    assert left_out == {"went empty", "new", "gone", "retyped", "empty"}


def test_evidently_judges_by_its_own_tests_next_to_our_verdict(tmp_path):
    rng = np.random.default_rng(1)
    before = {"a": rng.normal(size=400).tolist(), "b": rng.normal(size=400).tolist()}
    after = {"a": (rng.normal(size=400) + 1).tolist(), "b": rng.normal(size=400).tolist()}
    verdict, text = page(tmp_path, before, after)
    assert verdict.status == "drifted"
    said = opinions(text)
    assert said["a"].startswith("drifted: K-S p_value")
    assert said["b"].startswith("stable: K-S p_value")
    assert said["b"].endswith("threshold 0.05")
    assert "The two verdicts agree on every column" in text
    assert "For Evidently 1 of these columns drifted, and the data drifted." in text


def test_where_the_verdicts_differ_both_reasons_are_given(tmp_path):
    rng = np.random.default_rng(2)
    few = {"a": rng.normal(size=900).tolist()}
    more = {"a": (rng.normal(size=900) + 0.2).tolist()}
    verdict, text = page(tmp_path, few, more, min_effect=0.2)
    assert verdict.status == "stable"
    assert opinions(text)["a"].startswith("drifted: K-S p_value")
    told = unescape(re.search(r"<li>(.*?)</li>", text)[1])
    column = verdict.columns[0]
    assert told.startswith(
        f"a: stable here (kolmogorov-smirnov: adjusted p {column.adjusted_p:.2g}, at most 0.01; "
        f"effect {column.effect:.3f}, below 0.2), drifted for Evidently (K-S p_value "
    )


def test_missing_values_are_what_evidently_leaves_out(tmp_path):
    rng = np.random.default_rng(3)
    values = rng.normal(size=(2, 800)).tolist()
    gaps = [None if number % 2 else value for number, value in enumerate(values[1])]
    verdict, text = page(tmp_path, {"a": values[0]}, {"a": gaps})
    assert verdict.columns[0].test == "missing share"
    assert "Evidently leaves missing values out" in text


def test_a_column_that_the_sample_finds_empty_is_not_compared(tmp_path):
    rng = np.random.default_rng(4)
    before = {"a": rng.normal(size=50_000).tolist(), "rare": [None] * 49_999 + [1.0]}
    after = {"a": rng.normal(size=50_000).tolist(), "rare": [None] * 49_999 + [1.0]}
    _, text = page(tmp_path, before, after)
    assert opinions(text)["rare"] == "not compared"
    assert "2,000 of 50,000 current and 2,000 of 50,000 reference rows, 1 of 2 columns" in text


def test_the_page_of_a_wide_table_stays_small(tmp_path):
    rng = np.random.default_rng(3)
    before, after = ({f"c{n}": rng.normal(size=300).tolist() for n in range(60)} for _ in range(2))
    _, text = page(tmp_path, before, after)
    assert f"{DRAWN_COLUMNS} of 60 columns" in text
    assert text.count("<tr><td>c") == 60
    assert len(text) < 10e6


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param([1e308] * 5 + [0.5] * 95, id="huge"),
        pytest.param([-1e308, 1e308] * 50, id="of a range that overflows"),
        pytest.param([1e17] * 100, id="one huge number"),
        pytest.param([float(2**60 + 256 * step) for step in range(100)], id="huge and close"),
        pytest.param([0.0, 5e-324] * 50, id="tiny"),
    ],
)
@pytest.mark.parametrize("reference_is_like_that", [False, True])
def test_numbers_that_no_histogram_holds_leave_the_report_whole(
    tmp_path, sent, reference_is_like_that
):
    rng = np.random.default_rng(0)
    usual = rng.normal(0, 1, 100).tolist()
    before = {"odd": sent if reference_is_like_that else usual, "usual": usual}
    _, text = page(tmp_path, before, {"odd": sent, "usual": usual})
    said = opinions(text)
    assert said["odd"] == NO_OPINION
    assert said["usual"] != NO_OPINION
