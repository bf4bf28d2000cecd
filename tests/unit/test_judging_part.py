"""How often a run judges its models, and on how much of a split."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from modelyard.judging.evaluation import Evaluation, Part
from modelyard.packages.package import read_info
from modelyard.stages.deploy import deploy
from tests.toy.build import build
from tests.toy.counted import JUDGED, SECONDS_A_ROW

COUNTED, SLOW = "tests.toy.counted:Counted", "tests.toy.counted:Slow"


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """One registry for all: making it takes longer than the runs."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch, home):
    JUDGED.clear()
    monkeypatch.setenv("MODELYARD_HOME", str(home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def finished(folder: Path, name: str, config: dict, family: str) -> dict:
    """A whole run of the training stages; its deployment under a name of the test's own."""
    own = {"registry": {"name": folder.name}}
    built = build(folder / name, name, config | own, family)
    place = folder / name / "deployment"
    deploy(built.run, package=built.package, features=built.features, deployment=place)
    return json.loads((place / "deployment.json").read_text())


def judged(folder: Path) -> Evaluation:
    """The evaluation in an artifact."""
    return Evaluation.model_validate_json((folder / "evaluation.json").read_text())


def test_a_run_judges_no_model_twice_on_a_split(tmp_path):
    finished(tmp_path, "first", {}, COUNTED)
    assert len(JUDGED) == 4
    assert Counter((runtime, split) for runtime, split, _ in JUDGED) == {
        ("function", "test"): 1,
        ("function", "validation"): 1,
        ("OnnxRuntime", "validation"): 1,
        ("OnnxRuntime", "test"): 1,
    }


def test_a_champion_that_was_judged_on_the_same_split_is_not_judged_again(tmp_path):
    first = finished(tmp_path, "first", {}, COUNTED)
    JUDGED.clear()
    gate = {"gate": {"threshold": 5.0}}
    second = finished(tmp_path, "second", gate, COUNTED)
    assert len(JUDGED) == 4
    assert second["champion_metric"] == first["challenger_metric"]


def test_a_champion_of_other_data_is_judged_on_the_new_split(tmp_path):
    first = finished(tmp_path, "first", {}, COUNTED)
    JUDGED.clear()
    second = finished(tmp_path, "second", {"seed": 1}, COUNTED)
    assert JUDGED[4:] == [("OnnxRuntime", "test", 60)]
    assert second["champion_metric"] != first["challenger_metric"]


def test_every_model_of_a_run_is_judged_on_the_rows_that_its_time_allows(tmp_path):
    config = {"evaluation": {"seconds": 10 * SECONDS_A_ROW}}
    finished(tmp_path, "first", config, SLOW)
    finished(tmp_path, "second", config | {"seed": 1}, SLOW)
    rows: dict[str, set[int]] = {"test": set(), "validation": set()}
    for _, split, count in JUDGED[:4]:
        rows[split].add(count)
    assert all(len(counts) == 1 for counts in rows.values()), "not all on the same rows"
    assert all(1 <= counts.pop() <= 12 for counts in rows.values())
    # The champion is judged on what the challenger was judged on.
    *_, packaged, champion = JUDGED
    assert packaged == champion


def test_how_many_rows_were_judged_is_written_next_to_the_metric(tmp_path):
    built = build(tmp_path, "r", {"evaluation": {"seconds": 5 * SECONDS_A_ROW}}, SLOW)
    result = judged(built.package)
    assert result.rows == result.part < 60
    assert f"first {result.rows} rows of the test split, not on all" in result.notes[-1]
    info = read_info(built.package)
    assert f"({result.rows} rows)" in info.gate.reason
    measured = {runtime: count for runtime, split, count in JUDGED if split == "validation"}
    assert {one.name: one.rows for one in info.variants} == {
        "native": measured["function"],
        "onnx-fp32": measured["OnnxRuntime"],
    }
    assert (
        f"{info.variants[0].rows} rows of the validation split"
        in (built.package / "card.html").read_text()
    )


def test_a_family_that_judges_whole_splits_says_so_where_it_took_longer(tmp_path, monkeypatch):
    config = {"evaluation": {"seconds": 1e-9}}
    built = build(tmp_path, "r", config, COUNTED)
    found = judged(tmp_path / "evaluation")
    assert found.part is None
    assert "this family judges whole splits" in found.notes[-1]
    assert {rows for _, _, rows in JUDGED} == {60}
    assert judged(built.package).rows == 60


def test_a_part_is_never_empty_and_holds_what_it_says():
    assert list(Part().take("abc")) == ["a", "b", "c"]
    assert list(Part(rows=2).take("abc")) == ["a", "b"]
    assert list(Part(seconds=0).take("abc")) == ["a"]
