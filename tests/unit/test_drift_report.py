from __future__ import annotations

import numpy as np
import pytest

from modelyard.drift.report import DRAWN_COLUMNS, write_report
from modelyard.drift.verdict import Verdict, Window, judge
from modelyard.settings.family import MonitorSettings

WINDOW = Window(since="2026-01-01T00:00:00+00:00", until="2026-01-02T00:00:00+00:00")


def page(tmp_path, before, after, **settings) -> tuple[Verdict, str]:
    chosen = MonitorSettings(**settings)
    verdict = judge(before, after, chosen, family="f", package="p", digest="d", window=WINDOW)
    write_report(tmp_path / "report.html", before, after, verdict, chosen)
    return verdict, (tmp_path / "report.html").read_text()


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


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_evidently_tells_our_decision_not_its_own(tmp_path, share):
    rng = np.random.default_rng(1)
    before = {"a": rng.normal(size=400).tolist(), "b": rng.normal(size=400).tolist()}
    after = {"a": (rng.normal(size=400) + 1).tolist(), "b": rng.normal(size=400).tolist()}
    verdict, text = page(tmp_path, before, after, share=share)
    assert verdict.status == ("stable" if share else "drifted")
    assert ("Dataset Drift is detected" in text) == (verdict.status == "drifted")
    assert "modelyard: adjusted p-value" in text


def test_a_trifle_over_many_rows_is_no_drift_on_evidentlys_half_either(tmp_path):
    rng = np.random.default_rng(2)
    before, after = ({"a": rng.normal(mean, 1, 50_000).tolist()} for mean in (0, 0.05))
    verdict, text = page(tmp_path, before, after)
    assert verdict.columns[0].adjusted_p < 1e-6
    assert "Dataset Drift is NOT detected" in text
    assert "2,000 of 50,000 current" in text


def test_the_page_of_a_wide_table_stays_small(tmp_path):
    rng = np.random.default_rng(3)
    before, after = ({f"c{n}": rng.normal(size=300).tolist() for n in range(60)} for _ in range(2))
    _, text = page(tmp_path, before, after)
    assert f"{DRAWN_COLUMNS} of 60 columns" in text
    assert text.count("<tr><td>c") == 60
    assert len(text) < 10e6
