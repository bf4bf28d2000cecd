"""The looks at a model that are kept, and how they are shown."""

from __future__ import annotations

import json

import pytest

from modelyard.drift import history, overtime
from modelyard.errors import UsageError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def verdict(hour: int, status: str = "stable", **effects: float) -> dict:
    return {
        "package": "v1",
        "model": "churn@3",
        "rows_current": 500 + hour,
        "status": status,
        "window": {
            "since": "2026-01-01T00:00:00+00:00",
            "until": f"2026-01-02T{hour:02}:00:00+00:00",
        },
        "retrain": status == "drifted",
        "columns": [
            {"name": name, "drifted": effect > 0.1, "effect": effect}
            for name, effect in effects.items()
        ],
    }


def kept(tmp_path, look: str, content: dict | str, report: bool = True):
    file = tmp_path / "verdict.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    page = tmp_path / "report.html"
    page.write_text("<p>")
    return history.keep(file, page if report else None, "churn", look)


def test_looks_are_listed_by_time_with_their_drifted_columns_by_effect(tmp_path):
    kept(tmp_path, "b", verdict(2, "drifted", age=0.2, income=0.4, city=0.05))
    kept(tmp_path, "a", verdict(3))
    found = history.history("churn")
    assert [look.rows for look in found.looks] == [502, 503]
    assert list(found.looks[0].effects) == ["income", "age", "city"]
    assert found.looks[0].drifted == {"income", "age"}
    assert found.columns == ["age", "income"]


def test_the_error_is_shown_where_labels_came(tmp_path):
    kept(tmp_path, "a", verdict(1))
    for hour, error in ((2, 0.1), (3, 0.4)):
        quality = {"measure": "error rate", "rows": 90, "value": error, "low": 0.05, "high": 0.5}
        kept(tmp_path, str(hour), verdict(hour) | {"quality": quality | {"reference": 0.08}})
    kept(tmp_path, "none", verdict(4) | {"quality": {"measure": "error rate", "rows": 0}})
    found = history.history("churn")
    grid = overtime.looks_grid("churn", found.looks)
    assert grid.columns[-1] == "error rate (95 %)"
    assert [row[-1] for row in grid.rows] == ["", "0.1 (0.05 to 0.5)", "0.4 (0.05 to 0.5)", ""]
    (plot,) = [one for one in overtime.plots(found) if one.title == "error rate where labels came"]
    assert [series.name for series in plot.series] == ["95 %", "labelled answers", "test data"]
    assert plot.series[1].y == [0.1, 0.4]
    assert "error rate where labels came" in overtime.page(found, [])


def test_the_same_look_twice_is_one(tmp_path):
    kept(tmp_path, "a", verdict(1))
    kept(tmp_path, "a", verdict(2), report=False)
    (look,) = history.history("churn").looks
    assert look.rows == 502
    assert not (look.folder / "report.html").exists()


def test_old_reports_go_and_their_verdicts_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(history, "REPORTS", 2)
    for hour in range(5):
        kept(tmp_path, f"look-{hour}", verdict(hour))
    found = history.history("churn")
    assert [(look.folder / "report.html").is_file() for look in found.looks] == [
        False, False, False, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "content",
    ["", "[1]", "null", '{"window": {}}', json.dumps(verdict(1) | {"columns": [{"name": "x"}]})],
)
def test_a_verdict_that_cannot_be_read_is_named_and_hides_no_other(tmp_path, content):
    kept(tmp_path, "good", verdict(1))
    broken = kept(tmp_path, "broken", content)
    found = history.history("churn")
    assert len(found.looks) == 1
    assert overtime.notes(found) == [f"{broken / 'verdict.json'} could not be read and is left out"]


def test_a_copy_that_was_interrupted_is_no_look(tmp_path, home):
    kept(tmp_path, "good", verdict(1))
    part = home / "monitoring" / "churn" / ".half.part"
    part.mkdir()
    (part / "verdict.json").write_text(json.dumps(verdict(2)))
    assert len(history.history("churn").looks) == 1


def test_a_name_that_nobody_watches_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(UsageError, match="nobody has looked at chrn"):
        history.history("chrn")
    kept(tmp_path, "a", verdict(1))
    with pytest.raises(UsageError, match="churn"):
        history.history("chrn")


def test_what_came_from_outside_does_not_act_on_the_page(tmp_path):
    evil = "<script>alert(1)</script>"
    kept(tmp_path, "a", verdict(1, "drifted", **{evil: 0.3}))
    kept(tmp_path, "b", verdict(2, "drifted", **{evil: 0.5}))
    page = overtime.page(history.history("churn"), [])
    assert evil not in page
    assert "alert(1)" in page


def test_curves_have_a_point_for_each_look(tmp_path):
    kept(tmp_path, "a", verdict(0))
    kept(tmp_path, "b", verdict(12, "drifted", age=0.3))
    effects, rows = overtime.plots(history.history("churn"))
    assert effects.series[0].x == [-0.5, 0.0]
    assert effects.series[0].y == [0.0, 0.3]
    assert rows.series[0].y == [500.0, 512.0]
    assert "requested 0.0 days before" in effects.caption
