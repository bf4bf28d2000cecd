"""The record of a search: in its file after every step, and the same again after a kill."""

import pytest

from modelyard.settings.search import choice, real
from modelyard.tuning.study import Study
from modelyard.tuning.trial import Result

SPACE = {
    "model.kind": choice("line", "flat"),
    "model.rate": real(0.001, 1.0, log=True, when={"model.kind": ("line",)}),
}
CONFIG = {"model": {"kind": "line", "rate": 0.03}}


def result(value: float) -> Result:
    return Result(metric="mae", value=value, direction="min", baseline=1.0, headline="")


def loss(settings: dict) -> float:
    return abs(settings.get("model.rate", 0.0) - 0.2) + (settings["model.kind"] == "flat")


def opened(folder, direction: str = "min", seed: int = 0) -> Study:
    study = Study(folder / "study.db", SPACE, CONFIG, direction, seed)
    study.begin(result(0.5), {1: 0.9, 2: 0.7}, 1.5)
    return study


def search(study: Study, trials: int) -> list[dict]:
    asked = []
    for _ in range(trials):
        proposal = study.ask()
        asked.append(proposal.settings)
        study.tell(proposal.number, proposal.settings, result(loss(proposal.settings)), {}, 0.1)
    return asked


def test_the_starting_settings_are_trial_0_once(tmp_path):
    opened(tmp_path)
    (start,) = opened(tmp_path).tried()
    assert (start.number, start.value, start.settings, start.curve) == (
        0,
        0.5,
        {},
        {1: 0.9, 2: 0.7},
    )


def test_a_setting_is_drawn_only_where_its_condition_holds():
    asked = search(Study(None, SPACE, CONFIG, "min", seed=0), 12)
    assert {settings["model.kind"] for settings in asked} == {"line", "flat"}
    assert all(
        ("model.rate" in settings) == (settings["model.kind"] == "line") for settings in asked
    )


def test_a_search_beats_its_start_and_learns_the_better_kind():
    study = Study(None, SPACE, CONFIG, "min", seed=0)
    study.begin(result(0.5), {}, 1.0)
    asked = search(study, 30)
    assert study.best().value < 0.05
    late = [settings["model.kind"] for settings in asked[15:]]
    assert late.count("line") > late.count("flat")
    shares = study.importances()
    assert set(shares) == {"model.kind", "model.rate"}
    assert sum(shares.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("direction", ["min", "max"])
def test_the_best_follows_the_direction(tmp_path, direction):
    study = opened(tmp_path, direction)
    search(study, 5)
    pick = min if direction == "min" else max
    assert study.best().value == pick(one.value for one in study.tried())


def test_a_search_in_two_parts_draws_what_one_alone_would_have_drawn(tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = search(opened(tmp_path / "whole"), 7)
    parts = search(opened(tmp_path / "parts"), 3) + search(opened(tmp_path / "parts"), 4)
    assert parts == whole
    rates = [settings["model.rate"] for settings in whole if "model.rate" in settings]
    assert len(set(rates)) == len(rates) > 1


def test_another_seed_draws_other_settings(tmp_path):
    (tmp_path / "other").mkdir()
    assert search(opened(tmp_path, seed=1), 3) != search(opened(tmp_path / "other", seed=2), 3)


def test_a_trial_that_was_running_when_its_process_was_killed_is_done_again(tmp_path):
    lost = opened(tmp_path).ask()
    after = opened(tmp_path)
    assert after.take_up() == 1
    assert [one.number for one in after.tried()] == [0]
    again = after.ask()
    assert again.settings == lost.settings
    after.tell(again.number, again.settings, result(0.1), {}, 0.1)
    assert len(after.tried()) == 2


def test_a_trial_that_is_killed_twice_is_not_done_a_third_time(tmp_path):
    lost = opened(tmp_path).ask()
    first = opened(tmp_path)
    first.take_up()
    first.ask()
    second = opened(tmp_path)
    assert second.take_up() == 0
    assert second.ask().settings != lost.settings


def test_an_interruption_in_between_does_not_give_it_a_third_time(tmp_path):
    opened(tmp_path).ask()
    first = opened(tmp_path)
    first.take_up()
    first.give_up(first.ask().number)
    second = opened(tmp_path)
    assert second.take_up() == 0
    second.ask()
    assert opened(tmp_path).take_up() == 0


def test_a_kill_in_the_middle_of_a_record_leaves_the_trial_to_be_done_again(tmp_path, monkeypatch):
    study = opened(tmp_path)
    lost = study.ask()

    def killed(*values, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(study._study, "tell", killed)
    with pytest.raises(KeyboardInterrupt):
        study.tell(lost.number, lost.settings, result(0.1), {}, 0.1)
    after = opened(tmp_path)
    assert after.take_up() == 1
    assert [one.number for one in after.tried()] == [0]
    assert after.ask().settings == lost.settings


def test_an_interrupted_trial_is_asked_for_again_and_not_counted(tmp_path):
    study = opened(tmp_path)
    lost = study.ask()
    study.give_up(lost.number)
    assert len(study.tried()) == 1
    assert opened(tmp_path).ask().settings == lost.settings


def test_pruned_and_failed_trials_count_and_have_no_value(tmp_path):
    study = opened(tmp_path, "max")
    for number in range(2):
        proposal = study.ask()
        if number:
            study.tell_failed(proposal.number, proposal.settings, 0.1, "not finite")
        else:
            study.tell_pruned(proposal.number, proposal.settings, {1: 3.0}, 0.1, "worse")
    _, pruned, failed = opened(tmp_path, "max").tried()
    assert (pruned.state, pruned.value, pruned.curve, pruned.headline) == (
        "pruned",
        None,
        {1: 3.0},
        "worse",
    )
    assert (failed.state, failed.value, failed.headline) == ("failed", None, "not finite")
    assert study.best().number == 0


def test_a_start_outside_of_the_space_is_still_trial_0(tmp_path):
    odd = Study(tmp_path / "odd.db", SPACE, {"model": {"kind": "other", "rate": 7.0}}, "min", 0)
    odd.begin(result(0.5), {}, 1.0)
    assert odd.tried()[0].value == 0.5
    assert search(odd, 3)
