"""Labels that come later: how good the answers were, and when that asks for a retraining."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from modelyard.drift.verdict import Verdict
from modelyard.packages.package import Package
from modelyard.predictions.files import FEEDBACK, Writer, hour_of, iso
from modelyard.predictions.labels import read_labels
from modelyard.predictions.log import PredictionLog
from modelyard.stages.labels import bring_labelled
from modelyard.stages.monitor import monitor
from modelyard.stages.run import Run
from modelyard.store.labelled import labelled_of
from tests.toy.build import build

ROWS = 600


def likely(income: np.ndarray, age: np.ndarray) -> np.ndarray:
    """How likely a loan of the test's world is paid back."""
    return 1 / (1 + np.exp(-(income - 50) / 6 - (age - 45) / 20))


def people(rows: int, seed: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(50 + shift, 12, rows).round(2), rng.uniform(20, 70, rows).round(1)


def drawn(income: np.ndarray, age: np.ndarray, seed: int, turned: float = 0.0) -> list[str]:
    """Whether each is paid back; `turned`: this share of the answers is the other one."""
    rng = np.random.default_rng(seed)
    paid = rng.uniform(size=len(income)) < likely(income, age)
    return ["yes" if one else "no" for one in paid ^ (rng.uniform(size=len(income)) < turned)]


def write_data(file: Path) -> None:
    income, age = people(ROWS, seed=1)
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["income", "age", "paid"])
        writer.writerows(zip(income, age, drawn(income, age, seed=2), strict=True))


@pytest.fixture(scope="module")
def loans(tmp_path_factory) -> Package:
    """A package of the family `tabular` that answers whether a loan is paid back."""
    folder = tmp_path_factory.mktemp("loans")
    write_data(folder / "loans.csv")
    config = {
        "data": {"uri": str(folder / "loans.csv")},
        "features": {"target": "paid", "positive": "yes"},
        "model": {"kind": "linear"},
    }
    return Package(build(folder, "r1", config, "tabular").package)


class Traffic:
    """Answers of a package in a log, and their labels as they come."""

    def __init__(self, package: Package, folder: Path) -> None:
        self.package, self.folder = package, folder

    def ask(self, income: np.ndarray, age: np.ndarray, call: str, hours_ago: float = 0.0) -> None:
        bodies = [
            {"income": float(one), "age": float(other)}
            for one, other in zip(income, age, strict=True)
        ]
        requests = [self.package.parse(body) for body in bodies]
        log = PredictionLog(self.folder, self.package, whole=True)
        moment = (datetime.now(UTC) - timedelta(hours=hours_ago)).timestamp()
        answers = self.package.host.predict(self.package.run, requests)
        log.add(call, moment, 1.0, requests, answers)
        log.close()
        assert log.dropped == 0

    def label(self, call: str, labels: list, hours_ago: float = 0.0) -> None:
        stamp = (datetime.now(UTC) - timedelta(hours=hours_ago)).timestamp()
        columns = {
            "_id": [f"{call}-{number}" for number in range(len(labels))],
            "_time": [iso(stamp)] * len(labels),
            "_label": labels,
        }
        writer = Writer(self.folder)
        writer.write(columns, hour_of(stamp), FEEDBACK, FEEDBACK)
        writer.close()

    def look(self, tmp_path: Path, **settings) -> tuple[str, Verdict]:
        config = {"monitor": {"log": str(self.folder), "cooldown_hours": 0, **settings}}
        said = monitor(
            Run.of("tabular", config), package=self.package.path, verdict=tmp_path / "verdict"
        )
        return said, Verdict.model_validate_json((tmp_path / "verdict/verdict.json").read_text())


@pytest.fixture
def traffic(loans, tmp_path) -> Traffic:
    return Traffic(loans, tmp_path / "log")


def test_a_package_holds_the_labels_of_its_reference_rows(loans):
    truths = json.loads((loans.path / "truths.json").read_text())
    assert set(truths) == {"yes", "no"}
    assert len(truths) == loans.evaluation().rows


def test_labels_of_usual_traffic_say_how_good_it_was_and_change_no_verdict(traffic, tmp_path):
    income, age = people(400, seed=3)
    traffic.ask(income, age, "usual")
    traffic.label("usual", drawn(income, age, seed=4))
    said, verdict = traffic.look(tmp_path)
    quality = verdict.quality
    assert verdict.status == "stable"
    assert (quality.measure, quality.rows, quality.unmatched) == ("error rate", 400, 0)
    assert quality.low < quality.value < quality.high
    answers = traffic.package.host.predict(
        traffic.package.run,
        [
            traffic.package.parse({"income": float(one), "age": float(other)})
            for one, other in zip(income, age, strict=True)
        ],
    )
    wrong = [
        answer.label != truth
        for answer, truth in zip(answers, drawn(income, age, seed=4), strict=True)
    ]
    assert quality.value == pytest.approx(np.mean(wrong))
    assert quality.predicted == pytest.approx(np.mean([answer.score for answer in answers]), 1e-6)
    assert quality.calibration_error < 0.12
    assert "over 400 labelled answers" in said


def test_another_relation_between_inputs_and_labels_is_a_drift_that_the_inputs_do_not_show(
    traffic, tmp_path
):
    income, age = people(400, seed=5)
    traffic.ask(income, age, "turned")
    assert traffic.look(tmp_path)[1].status == "stable"
    traffic.label("turned", drawn(income, age, seed=6, turned=0.4))
    said, verdict = traffic.look(tmp_path)
    assert verdict.status == "drifted"
    assert {column.name for column in verdict.drifted} <= {"(error)", "(label)"}
    assert verdict.drifted[0].name == "(error)"
    assert verdict.retrain, said
    assert verdict.quality.low > verdict.quality.reference


def test_answers_that_are_better_than_on_the_test_data_are_no_drift(traffic, tmp_path):
    income, age = people(400, seed=7)
    easy = np.abs(income - 50) > 8
    traffic.ask(income, age, "easy")
    labels = ["yes" if one > 50 else "no" for one in income]
    traffic.label("easy", [label if fits else "" for label, fits in zip(labels, easy, strict=True)])
    _, verdict = traffic.look(tmp_path)
    assert verdict.quality.value < verdict.quality.reference
    assert verdict.quality.unclear == (~easy).sum()
    assert "(error)" not in {column.name for column in verdict.columns}


def test_labels_that_come_late_and_out_of_order_count_when_they_come(traffic, tmp_path):
    income, age = people(300, seed=8)
    traffic.ask(income, age, "old", hours_ago=80)
    wrong = drawn(income, age, seed=9, turned=1.0)
    right = drawn(income, age, seed=9)
    traffic.label("old", right)
    traffic.label("old", wrong, hours_ago=3)  # the earlier label, written later
    traffic.label("unknown", ["yes"] * 7)
    _, verdict = traffic.look(tmp_path)
    assert (verdict.status, verdict.rows_current) == ("no rows", 0)
    assert (verdict.quality.rows, verdict.quality.unmatched) == (300, 7)
    assert verdict.quality.value < 0.4
    traffic.label("old", wrong)
    assert traffic.look(tmp_path)[1].quality.value > 0.6


def test_a_broken_file_of_labels_is_skipped_and_counted(traffic, tmp_path):
    income, age = people(100, seed=10)
    traffic.ask(income, age, "some")
    traffic.label("some", drawn(income, age, seed=11))
    (whole,) = (traffic.folder / FEEDBACK).rglob("*.parquet")
    (whole.parent / "feedback-1234.parquet").write_bytes(whole.read_bytes()[:50])
    said, verdict = traffic.look(tmp_path)
    assert (verdict.quality.rows, verdict.quality.skipped) == (100, 1)
    assert "files that cannot be read: 1" in said


def test_the_newest_labels_are_read_where_there_are_more_than_fit(traffic):
    income, age = people(50, seed=12)
    traffic.ask(income, age, "a")
    traffic.label("a", ["no"] * 50, hours_ago=5)
    traffic.label("a", ["yes"] * 10)
    read = read_labels(
        traffic.folder, datetime.now(UTC) - timedelta(hours=9), most=10, columns=("income",)
    )
    assert [row["_label"] for row in read.rows] == ["yes"] * 10
    assert set(read.rows[0]) == {"_id", "_time", "_label", "income"}


def test_a_labelled_request_comes_with_what_was_described_of_its_answer(traffic, tmp_path):
    income, age = people(5, seed=13)
    traffic.ask(income, age, "a")
    traffic.label("a", ["yes"] * 5)
    run = Run.of("tabular", {"data": {"labels": str(traffic.folder)}})
    said, _ = bring_labelled(run, tmp_path)
    assert said == "5 labelled requests"
    first = labelled_of(tmp_path / "raw")[0]
    request = traffic.package.parse(first.request)
    (answer,) = traffic.package.predict([first.request])
    assert first.row == pytest.approx(traffic.package.host.describe(request, answer))
