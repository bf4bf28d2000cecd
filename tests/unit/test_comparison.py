"""Packages side by side, and the page of all runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from modelyard.card import comparison, runs
from modelyard.cli.app import app
from modelyard.errors import BrokenArtifact, UsageError
from tests.browser import Browser
from tests.toy.build import build
from tests.unit.card_samples import binary


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> list[Path]:
    """The same line fitted to 60 and to 90 points."""
    folder = tmp_path_factory.mktemp("compared")
    return [
        build(folder / str(points), f"points-{points}", {"features": {"points": points}}).package
        for points in (60, 90)
    ]


def cells(grid: comparison.Grid) -> dict[str, list[str]]:
    return {row[0]: row[1:] for row in grid.rows}


def grids(found: comparison.Comparison) -> dict[str, comparison.Grid]:
    return {grid.title: grid for grid in found.grids}


def test_only_the_settings_that_differ_are_shown(packages):
    found = comparison.compare([str(path) for path in packages])
    assert [side.label for side in found.sides] == ["points-60", "points-90"]
    assert cells(grids(found)["Settings that differ"]) == {"features.points": ["60", "90"]}


def test_equal_packages_have_no_settings_that_differ(packages):
    found = comparison.compare([str(packages[0])] * 2)
    assert "Settings that differ" not in grids(found)
    assert found.notes == []
    assert all(best is None for best in grids(found)["Metrics"].best)


def test_the_better_metric_is_marked_by_its_direction(packages):
    found = comparison.compare([str(path) for path in packages])
    metrics = grids(found)["Metrics"]
    errors = [
        json.loads((path / "evaluation.json").read_text())["metrics"]["mae"] for path in packages
    ]
    row = [name for name, *_ in metrics.rows].index("mae ↓")
    assert [float(figure) for figure in metrics.rows[row][1:]] == pytest.approx(errors, abs=1e-4)
    assert metrics.best[row] == 1 + errors.index(min(errors))


def test_other_test_rows_are_said(packages):
    found = comparison.compare([str(path) for path in packages])
    assert "judged on other test rows" in found.notes[0]


def sample(label: str, **changes) -> comparison.Side:
    """A logistic regression with all that a card shows."""
    parts = binary()
    evaluation = parts["evaluation"].model_copy(update=changes)
    return comparison.Side(label, parts["info"], evaluation, parts["training"], {})


def test_an_interval_stands_behind_its_metric():
    found = comparison.side_by_side(
        [sample("one", intervals={"roc_auc": (0.9, 0.95)}), sample("two")]
    )
    one, two = cells(grids(found)["Metrics"])["roc_auc ↑"]
    assert one == f"{two} (0.9000 to 0.9500)"


def test_curves_of_both_models_stand_in_one_figure():
    found = comparison.side_by_side([sample("one"), sample("two")])
    titles = [plot.title for plot in found.plots]
    assert any(title.startswith("Learning curve") for title in titles)
    assert "Receiver operating characteristic" in titles
    for plot in found.plots:
        assert {series.name.split(":")[0] for series in plot.series} == {"one", "two"}
    assert comparison.page(found).count("<figure>") == len(found.plots)


@pytest.mark.parametrize("number", [1, 9])
def test_fewer_than_two_packages_and_more_than_eight_are_refused(packages, number):
    with pytest.raises(UsageError, match=f"2 to 8 packages, not {number}"):
        comparison.compare([str(packages[0])] * number)


def test_a_package_that_was_changed_is_not_compared(packages, tmp_path):
    changed = shutil.copytree(packages[0], tmp_path / "changed")
    (changed / "evaluation.json").write_text("{}")
    with pytest.raises(BrokenArtifact):
        comparison.compare([str(packages[0]), str(changed)])


def test_the_command_prints_the_comparison_and_writes_the_page(packages, tmp_path):
    page = tmp_path / "page.html"
    typed = ["compare", *map(str, packages), "--page", str(page)]
    result = CliRunner().invoke(app, typed)
    assert result.exit_code == 0, result.output
    assert "features.points" in result.output
    assert "features.points" in page.read_text()


ROWS = [
    runs.RunRow("a", "tabular", "x.csv", "2026-01-01", "finished", 9.5, "", "mae", 10.0, 12.0, "A"),
    runs.RunRow("b", "tabular", "y.csv", "2026-01-03", "failed", 100.0, ""),
    runs.RunRow("c", "tabular", "z.csv", "2026-01-02", "finished", 70.0, "", "mae", 9.0, 12.0, "C"),
]
ORDER = "[...document.querySelectorAll('tr[data-run]')].map(row => row.dataset.run).join('')"


def click(browser: Browser, selector: str) -> None:
    browser(f"document.querySelector({selector!r}).click()")


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Browser:
    (tmp_path / "runs.html").write_text(runs.page(ROWS))
    browser.open((tmp_path / "runs.html").as_uri())
    return browser


def test_runs_are_sorted_by_a_click_numbers_by_value_and_what_is_missing_last(opened):
    assert opened(ORDER) == "bca"
    by_value = "th:nth-child(8) button"
    click(opened, by_value)
    assert opened(ORDER) == "cab"
    click(opened, by_value)
    assert opened(ORDER) == "acb"
    click(opened, "th:nth-child(6) button")  # seconds
    assert opened(ORDER) == "acb"


def test_a_card_opens_below_its_run_and_closes_again(opened):
    click(opened, "tr[data-run=c] button.card")
    assert opened("document.querySelector('iframe').srcdoc") == "C"
    assert opened("document.querySelector('iframe').getAttribute('sandbox')") == ""
    click(opened, "tr[data-run=c] button.card")
    assert opened("document.querySelectorAll('iframe').length") == 0


def test_two_chosen_runs_give_the_command_that_compares_them(opened):
    click(opened, "tr[data-run=c] input")
    assert opened("document.querySelector('#command').innerText") == ""
    click(opened, "tr[data-run=a] input")
    assert opened("document.querySelector('#command').innerText") == "modelyard compare c a"


def test_a_run_without_a_package_cannot_be_chosen(opened):
    assert opened("document.querySelector('tr[data-run=b] input')") is None


def test_the_page_says_how_many_cards_it_leaves_out(monkeypatch):
    monkeypatch.setattr(runs, "MOST_CARDS", 1)
    page = runs.page(ROWS)
    assert "Not part of this page: the card of 1 older run;" in page
    assert '"C"' in page
    assert '"A"' not in page
