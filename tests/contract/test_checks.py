"""The checks catch what they are for: families that break one promise each."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from modelyard.cli.app import app
from modelyard.contract import CHECKS, Lab, run
from modelyard.errors import UsageError

BROKEN = [
    ("heavy:Heavy", "importing_loads_no_training_library", "loads .*pandas"),
    (
        "broken:Silent",
        "config_is_valid_documented_and_survives_json",
        "without a docstring under them: colour",
    ),
    ("broken:Loose", "misspelt_setting_is_refused", "accepts {'features'"),
    (
        "broken:Leaky",
        "features_report_three_disjoint_splits",
        "test's requests are in another split too. Draw the splits by what a request holds",
    ),
    ("broken:Unsteady", "features_are_the_same_again", "made.txt"),
    (
        "broken:Greedy",
        "features_read_what_their_step_is_handed",
        "reads training.learning_rate, which its step is not handed",
    ),
    ("broken:Careless", "bad_data_is_named", "an empty raw folder raises FileNotFoundError"),
    ("broken:Shuffled", "same_epoch_gives_the_same_batches", "another order"),
    ("broken:Crowded", "parts_of_a_batch_add_up_to_it", "depends on the others"),
    ("broken:Weightless", "parts_of_a_batch_add_up_to_it", "the batch's loss is"),
    ("broken:Uphill", "loss_falls_on_a_repeated_batch", "took the loss from"),
    ("broken:Forgetful", "weights_survive_the_file", "is not saved"),
    ("broken:Moody", "same_seed_gives_the_same_model", "answers differently: answer.y"),
    ("broken:Alone", "figures_stand_beside_a_baseline", "baseline has no mae"),
    ("broken:Tuples", "requests_validate_and_survive_json", "not JSON compliant"),
    ("broken:Indifferent", "bad_request_is_named_by_field", "accepts an unknown field"),
    ("broken:TwistedTight", "graphs_match_the_trained_model", "differs from the trained model by"),
    ("broken:Twisted", "evaluation_is_the_same_on_onnx", "mae is .* on ONNX"),
    ("broken:Sociable", "answers_depend_on_the_request_alone", "a batch answers differently"),
    ("broken:Unspeakable", "answers_survive_json", "not JSON compliant|valid number"),
    ("broken:Wordy", "describe_gives_flat_rows_of_the_same_columns", "other columns"),
    ("broken:Needy", "package_answers_without_training_libraries", "sklearn is a training library"),
    ("broken:Rounded", "variants_answer_or_say_why_not", "onnx-fp16: 1 answers to 5 requests"),
    ("broken:Pickled", "nothing_is_pickled", "names.npy"),
]


@pytest.mark.parametrize(("family", "check", "says"), BROKEN)
def test_broken_promise_is_caught_and_named(family, check, says, tmp_path):
    with pytest.raises(Exception, match=says):
        CHECKS[check](Lab(f"tests.contract.{family}", tmp_path))


def test_every_check_has_a_family_that_breaks_it():
    assert {check for _, check, _ in BROKEN} == set(CHECKS)


def test_run_tells_kept_from_broken_and_goes_on(tmp_path):
    results = {result.check: result for result in run("tests.contract.broken:Alone", tmp_path)}
    assert set(results) == set(CHECKS)
    broken = results["figures_stand_beside_a_baseline"]
    assert broken.state == "broken"
    assert broken.text == "the baseline has no mae; seen: []"
    assert results["loss_falls_on_a_repeated_batch"].state == "skipped"
    assert results["answers_survive_json"].state == "kept"


def test_the_command_names_what_is_broken_and_a_failed_stage_once(monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    done = CliRunner().invoke(app, ["check", "tests.contract.broken:Clumsy"])
    assert done.exit_code == 1
    first = "✗ features_report_three_disjoint_splits: ZeroDivisionError: division by zero"
    line = next(line for line in done.stdout.splitlines() if line.startswith(first))
    assert "(contract/broken.py, line " in line
    assert "✗ answers_survive_json: as features_report_three_disjoint_splits" in done.stdout
    assert "1 to fix" in done.stdout


def test_the_command_says_that_a_family_keeps_the_contract_and_what_to_type_next():
    done = CliRunner().invoke(app, ["check", "tests.toy.family:Line"])
    assert done.exit_code == 0, done.stdout
    assert "✓ nothing_is_pickled" in done.stdout
    assert "Next: modelyard run tests.toy.family:Line" in done.stdout


def test_lab_runs_a_stage_once_and_a_failed_one_not_again(tmp_path, monkeypatch):
    lab = Lab("tests.contract.broken:Careless", tmp_path)
    first = lab["features"]
    made = (first / "manifest.json").stat().st_mtime_ns
    assert (lab["features"] / "manifest.json").stat().st_mtime_ns == made
    monkeypatch.setattr(type(lab.family), "fit", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError) as seen:
        lab["model"]
    with pytest.raises(ZeroDivisionError) as again:
        lab["package"]
    assert again.value is seen.value


def test_unknown_family_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="is unknown"):
        run("no_such_family", tmp_path)
