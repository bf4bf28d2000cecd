import pytest

from modelyard.errors import UsageError
from modelyard.judging.evaluation import Evaluation, judge
from modelyard.settings.family import GateSettings


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
