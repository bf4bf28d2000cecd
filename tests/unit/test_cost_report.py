"""Costs of runs by stage: reuse, failures, reruns; and the return on them."""

import json
import re
import time

import pytest
from typer.testing import CliRunner

from modelyard import events, home
from modelyard.cli.app import app
from modelyard.cost.report import (
    STARTING,
    Stakes,
    add_prices,
    by_stage,
    line,
    paid,
    return_on,
    sum_of,
)
from modelyard.cost.usage import price
from modelyard.errors import BadData, UsageError
from modelyard.pipeline.local import RunFolder, RunRecord
from modelyard.settings.cost import CostSettings
from modelyard.stages.run import Run, stage
from modelyard.store import artifact
from modelyard.store.artifact import In, Out
from modelyard.store.usage import Usage

PRICES = CostSettings(cpu_core_hour=36.0)
"""A cent for each second of a core."""


def work(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


@stage(reads=("seed",))
def ingest(run: Run, dataset: Out) -> str:
    """Works for 0.3 seconds."""
    work(0.3)
    (dataset / "n.txt").write_text(str(run.config.seed))
    return "done"


@stage(reads=("features",))
def features(run: Run, dataset: In, features: Out) -> str:
    """Works, and fails for seed 13."""
    work(0.1)
    if (dataset / "n.txt").read_text() == "13":
        raise BadData("unlucky", file="n.txt")
    (features / "n.txt").write_text("1")
    return "done"


@pytest.fixture(autouse=True)
def _home(monkeypatch, tmp_path):
    monkeypatch.setenv(home.REUSE, str(tmp_path / "done"))
    monkeypatch.setenv(events.VARIABLE, str(tmp_path / "events.jsonl"))


def line_run(seed: int = 0, run_id: str = "r1", **settings) -> Run:
    return Run.of("tests.toy.family:Line", {"seed": seed, **settings}, id=run_id)


def told(folder) -> list[dict]:
    return [event for _, event in events.read(folder / "events.jsonl")]


def test_a_stage_keeps_what_it_used_with_what_it_made(tmp_path):
    ingest(line_run(), dataset=tmp_path / "d")
    used = artifact.verify(tmp_path / "d").cost
    assert used is not None
    assert used.cpu_seconds == pytest.approx(0.3, abs=0.2)
    assert Usage.model_validate(told(tmp_path)[-1]["cost"]) == used


def test_reuse_costs_next_to_nothing_and_says_what_it_saved(tmp_path):
    ingest(line_run(), dataset=tmp_path / "d")
    ingest(line_run(run_id="r2"), dataset=tmp_path / "again")
    (row,) = by_stage(told(tmp_path)[2:], PRICES)
    assert (row.finished, row.reused) == (0, 1)
    assert row.used.cpu_seconds < 0.1
    assert row.saved.cpu_seconds == pytest.approx(0.3, abs=0.2)
    assert row.saved_price.amount == pytest.approx(0.01 * row.saved.cpu_seconds)


def test_digest_and_key_do_not_know_the_cost(tmp_path, monkeypatch):
    first = line_run()
    ingest(first, dataset=tmp_path / "d")
    monkeypatch.delenv(home.REUSE)
    dear = line_run(run_id="r2", cost={"cpu_core_hour": 99.0})
    ingest(dear, dataset=tmp_path / "again")
    one, other = artifact.read_manifest(tmp_path / "d"), artifact.read_manifest(tmp_path / "again")
    assert (one.digest, one.key) == (other.digest, other.key)
    assert one.cost != other.cost


def test_a_failed_execution_is_paid_for_too(tmp_path):
    ingest(line_run(13), dataset=tmp_path / "d")
    for _ in range(2):
        with pytest.raises(BadData):
            features(line_run(13), dataset=tmp_path / "d", features=tmp_path / "f")
    row = by_stage(told(tmp_path), PRICES)[1]
    assert (row.finished, row.failed) == (0, 2)
    assert 0.15 < row.used.cpu_seconds < 0.6


def test_a_killed_execution_is_told_as_not_measured(tmp_path):
    events.emit("started", "ingest")
    ingest(line_run(), dataset=tmp_path / "d")
    (row,) = by_stage(told(tmp_path), PRICES)
    assert (row.finished, row.unmeasured) == (1, 1)


def test_what_the_run_used_beside_its_stages_has_its_own_row(tmp_path):
    ingest(line_run(), dataset=tmp_path / "d")
    used = Usage.model_validate(told(tmp_path)[-1]["cost"])
    events.emit(
        "executed", "training", cost=(used + Usage(wall_seconds=2, cpu_seconds=1.5)).model_dump()
    )
    rows = by_stage(told(tmp_path), PRICES)
    assert [row.stage for row in rows] == ["ingest", STARTING]
    assert rows[1].used.cpu_seconds == pytest.approx(1.5)
    total = sum_of(rows, PRICES)
    assert total.price.amount == pytest.approx(0.01 * (used.cpu_seconds + 1.5))
    assert line(total).endswith(" EUR")


def test_another_runs_artifacts_are_not_paid_by_this_one(tmp_path):
    ingest(line_run(), dataset=tmp_path / "d")
    features(line_run(run_id="r2"), dataset=tmp_path / "d", features=tmp_path / "f")
    manifest = artifact.read_manifest(tmp_path / "f")
    whole = sum(paid(name, [manifest], PRICES)["cost_cpu_core_hours"] for name in ("r1", "r2"))
    assert paid("r2", [manifest], PRICES)["cost_cpu_core_hours"] * 3600 == pytest.approx(
        0.1, abs=0.05
    )
    assert whole * 3600 == pytest.approx(0.4, abs=0.15)


def test_prices_in_two_currencies_are_not_added():
    used = Usage(cpu_seconds=1)
    with pytest.raises(UsageError, match=r"EUR and USD.*cost\.currency"):
        add_prices([price(used, CostSettings()), price(used, CostSettings(currency="USD"))])


STAKES = Stakes(
    per_unit=0.5, decisions_per_month=10_000, horizon_months=12, serving_per_month=40, one_off=1000
)


def test_the_return_is_the_one_of_the_documented_example():
    found = return_on(STAKES, model=0.95, baseline=0.90, larger_is_better=True, runs=20)
    assert found.benefit_per_month == pytest.approx(250)
    assert found.benefit == pytest.approx(3000)
    assert found.cost == pytest.approx(20 + 1000 + 480)
    assert found.roi == pytest.approx(1.0)
    assert found.break_even_improvement == pytest.approx(0.025)
    assert found.payback_months == pytest.approx(1020 / 210)
    assert found.npv is None


def test_a_return_at_the_break_even_improvement_is_zero():
    even = return_on(STAKES, model=0.925, baseline=0.9, larger_is_better=True, runs=20)
    assert even.roi == pytest.approx(0, abs=1e-9)


def test_a_model_worse_than_its_baseline_loses_all_and_never_pays_back():
    found = return_on(STAKES, model=0.88, baseline=0.9, larger_is_better=True, runs=20)
    assert found.roi < -1
    assert found.payback_months is None


def test_less_of_an_error_is_a_benefit():
    found = return_on(STAKES, model=2.0, baseline=2.5, larger_is_better=False, runs=20)
    assert found.improvement == pytest.approx(0.5)


def test_net_present_value_discounts_each_month():
    stakes = STAKES.model_copy(update={"horizon_months": 2.0, "discount_rate": 0.1})
    month = 1.1 ** (1 / 12)
    found = return_on(stakes, model=0.95, baseline=0.90, larger_is_better=True, runs=20)
    assert found.npv == pytest.approx(210 / month + 210 / month**2 - 1020)
    free = stakes.model_copy(update={"discount_rate": 0.0})
    assert return_on(
        free, model=0.95, baseline=0.9, larger_is_better=True, runs=20
    ).npv == pytest.approx(420 - 1020)


def test_a_return_without_any_cost_is_refused():
    stakes = Stakes(per_unit=1, decisions_per_month=1)
    with pytest.raises(UsageError, match="above 0"):
        return_on(stakes, model=1, baseline=0, larger_is_better=True, runs=0)


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A finished run's folder with one measured stage and its model's figures."""
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "runs"))
    record = RunRecord(
        id="20310405-101010-aaaa",
        family="tests.toy.family:Line",
        config={"data": {"uri": "/home/ada/customers.csv"}},
        created="2031-04-05T10:10:10+00:00",
    )
    folder = RunFolder.new(record)
    monkeypatch.setenv(events.VARIABLE, str(folder.events))
    ingest(line_run(), dataset=tmp_path / "d")
    (folder.path / "package").mkdir()
    figures = {"accuracy": 0.95, "loss": 1.0}
    evaluation = {
        "split": "test",
        "rows": 100,
        "main": "accuracy",
        "metrics": figures,
        "baseline": {"accuracy": 0.9},
        "baseline_name": "most frequent",
        "directions": {"accuracy": "max", "loss": "min"},
    }
    artifact.write_json(folder.path / "package" / "evaluation.json", evaluation)
    return folder


def asked(*arguments: str):
    return CliRunner().invoke(app, ["cost", *arguments])


def test_the_command_prices_a_run_and_tells_its_return(recorded):
    stakes = [
        "--benefit-per-correct",
        "0.5",
        "--decisions-per-month",
        "10000",
        "--serving-per-month",
        "40",
    ]
    prices = ["--set", "cost.cpu_core_hour=36"]
    model = "tests-toy-family-line-customers"  # as the run's last line calls it
    for reference in ("20310405", "tests.toy.family:Line", model):
        found = json.loads(asked(reference, "--json", *prices, *stakes).stdout)
        amount = found["total"]["price"]["amount"]
        assert amount == pytest.approx(0.003, abs=0.001)
        assert found["return"]["roi"] == pytest.approx((3000 - 480 - amount) / (480 + amount))
    shown = asked("20310405", *prices, *stakes).stdout
    assert "return on investment" in shown
    assert "ingest" in shown


def test_what_is_not_priced_is_named_with_its_own_setting(recorded):
    assert "Set a price: --set cost.cpu_core_hour=" in asked("20310405").stdout
    usual = asked("20310405", "--set", "cost.cpu_core_hour=36").stdout
    assert "not priced: memory. Set a price: --set cost.memory_gb_hour=" in usual


def test_a_return_that_no_share_of_the_cost_describes_is_said_in_words(recorded):
    def shown(accuracy: float, worth: str) -> str:
        file = recorded.path / "package" / "evaluation.json"
        evaluation = json.loads(file.read_text())
        evaluation["metrics"]["accuracy"] = accuracy
        artifact.write_json(file, evaluation)
        stakes = ["--benefit-per-correct", worth, "--decisions-per-month", "10000"]
        prices = ["--set", "cost.cpu_core_hour=36"]
        result = asked("20310405", *prices, *stakes)
        assert result.exit_code == 0, result.output
        (line,) = [line for line in result.stdout.splitlines() if "return on investment" in line]
        return line

    # Runs for a third of a cent against thousands a month: a share of -100,000,000 % says nothing.
    assert "none: the model is worse than its baseline" in shown(0.88, "0.5")
    assert "over 100 times the cost" in shown(0.95, "0.5")
    assert re.search(r"[+-]\d+%", shown(0.95, "0.0000001"))


def test_a_return_without_a_price_is_refused(recorded):
    result = asked("20310405", "--benefit-per-correct", "0.5", "--decisions-per-month", "10")
    assert isinstance(result.exception, UsageError)
    assert "cost.cpu_core_hour" in str(result.exception)


def test_a_metric_without_a_baseline_has_no_benefit(recorded):
    result = asked(
        "20310405",
        "--set",
        "cost.cpu_core_hour=1",
        "--metric",
        "loss",
        "--benefit-per-unit",
        "1",
        "--decisions-per-month",
        "1",
    )
    assert isinstance(result.exception, UsageError)
    assert "accuracy" in str(result.exception)
