import pytest

from modelyard.errors import UsageError
from modelyard.judging.evaluation import Evaluation, Gain, figure, judge
from modelyard.settings.family import GateSettings
from modelyard.stages.evaluate import line_of


def evaluation(**fields) -> Evaluation:
    values = {
        "split": "test",
        "rows": 100,
        "metrics": {"accuracy": 0.9, "mae": 2.0},
        "baseline": {"accuracy": 0.8, "mae": 3.0},
        "baseline_name": "most frequent class",
        "main": "accuracy",
        "directions": {"accuracy": "max", "mae": "min"},
    }
    return Evaluation(**(values | fields))


@pytest.mark.parametrize(
    ("gate", "passed"),
    [
        ({}, True),
        ({"threshold": 0.9}, True),
        ({"threshold": 0.91}, False),
        ({"over_baseline": 0.05}, True),
        ({"over_baseline": 0.2}, False),
        ({"metric": "mae"}, True),
        ({"metric": "mae", "threshold": 2.0}, True),
        ({"metric": "mae", "threshold": 1.9}, False),
        ({"metric": "mae", "over_baseline": 1.5}, False),
    ],
)
def test_the_gate_holds_the_metric_against_threshold_and_baseline(gate, passed):
    assert judge(GateSettings(**gate), evaluation()).passed is passed


def test_a_figure_of_a_few_examples_says_of_how_many():
    lines = []
    for rows in (2, 100):
        found = evaluation(rows=rows, unit="pictures")
        lines.append(line_of(found, judge(GateSettings(), found)))
    assert lines == [
        "accuracy 0.9000 (baseline 0.8000), on 2 pictures only",
        "accuracy 0.9000 (baseline 0.8000)",
    ]


def test_a_model_no_better_than_its_baseline_does_not_pass():
    result = judge(GateSettings(), evaluation(baseline={"accuracy": 0.9}))
    assert not result.passed
    assert "accuracy = 0.9 on the test split (100 rows)" in result.reason
    assert "must beat the baseline (most frequent class, 0.9)" in result.reason


def test_a_gate_on_an_unknown_metric_lists_the_metrics():
    with pytest.raises(
        UsageError, match=r"gate.metric.*'acuracy' is unknown. Did you mean 'accuracy'"
    ):
        judge(GateSettings(metric="acuracy"), evaluation())


def test_a_metric_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        evaluation(metrics={"accuracy": float("nan"), "mae": 1.0})


def gained(value: float, low: float, high: float, over: str = "most frequent class") -> Gain:
    return Gain(metric="accuracy", over=over, value=value, low=low, high=high)


def test_a_gain_within_chance_passes_and_is_said_or_is_refused_where_that_is_set():
    unsure = evaluation(gains=[gained(0.1, -0.02, 0.22)])
    result = judge(GateSettings(), unsure)
    assert result.passed
    assert (
        "95 % interval -0.02 to 0.22: not better than the baseline beyond chance" in result.reason
    )
    refused = judge(GateSettings(beyond_chance=True), unsure)
    assert not refused.passed
    assert "must be beyond chance (0.1, 95 % interval -0.02 to 0.22)" in refused.reason


def test_a_gain_beyond_chance_passes_either_way():
    sure = evaluation(gains=[gained(0.1, 0.05, 0.15)])
    for setting in (False, True):
        result = judge(GateSettings(beyond_chance=setting), sure)
        assert result.passed
        assert "not better" not in result.reason
    assert not judge(GateSettings(beyond_chance=True, over_baseline=0.06), sure).passed


def test_a_model_worse_than_another_simple_answer_does_not_pass():
    result = judge(
        GateSettings(), evaluation(gains=[gained(-0.3, -0.4, -0.2, over="one constant")])
    )
    assert not result.passed
    assert "worse than one constant (by 0.3, 95 % interval 0.2 to 0.4)" in result.reason
    assert judge(GateSettings(), evaluation(gains=[gained(-0.1, -0.2, 0.1, over="one")])).passed


def test_a_gate_below_the_baseline_cannot_be_set():
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        GateSettings(over_baseline=-1)


def test_small_and_large_figures_are_shown_with_their_digits():
    shown = [figure(value) for value in (0.5, 2e-9, 0.0, 123456.7, 3.21e12)]
    assert shown == ["0.5000", "2e-09", "0.0000", "123456.7000", "3.21e+12"]


@pytest.mark.parametrize(
    ("gate", "required"),
    [
        ({}, "beat the baseline's 0.5000"),
        (
            {"over_baseline": 0.1, "threshold": 0.8},
            "beat the baseline's 0.5000 by more than 0.1000 and reach 0.8000",
        ),
    ],
)
def test_a_gate_says_what_it_requires(gate, required):
    judged = judge(GateSettings(**gate), evaluation(baseline={"accuracy": 0.5}))
    assert judged.required == required
