"""Which variant serves, and what is said of the others."""

from __future__ import annotations

import numpy as np
import pytest

from modelyard.compress.policy import change_interval, choice_of, decide
from modelyard.judging.evaluation import Evaluation
from modelyard.packages.variant import Choice, Variant
from modelyard.settings.export import ExportSettings


def variant(name: str, **fields) -> Variant:
    usual = {
        "graphs": {} if name == "native" else {"a": f"{name}/a.onnx"},
        "bytes": 1000,
        "p50_ms": 1.0,
        "per_second": 100.0,
        "metric": 0.9,
        "change": None if name == "native" else 0.0,
        "max_difference": 0.0,
    }
    return Variant(name=name, **(usual | fields))


def chosen(variants: list[Variant], aim: str = "latency", largest_is_best: bool = True) -> str:
    choice = Choice(aim=aim, max_loss=0.01, max_loss_of="export.max_loss")
    (name,) = [one.name for one in decided(variants, choice, largest_is_best) if one.chosen]
    return name


def decided(variants: list[Variant], choice: Choice, larger: bool = True) -> list[Variant]:
    return decide(variants, choice, "accuracy", larger)


def evaluation(**fields) -> Evaluation:
    usual = {
        "split": "validation",
        "rows": 100,
        "metrics": {"accuracy": 0.9},
        "baseline": {"accuracy": 0.5},
        "baseline_name": "most frequent class",
        "main": "accuracy",
        "directions": {"accuracy": "max"},
    }
    return Evaluation(**(usual | fields))


def test_each_aim_chooses_by_its_own_figure():
    variants = [
        variant("native", p50_ms=0.1, bytes=1, per_second=9e9),
        variant("onnx-fp32", p50_ms=3.0, bytes=4000, per_second=100.0, metric=0.9),
        variant("onnx-int8", p50_ms=2.0, bytes=1000, per_second=200.0, metric=0.895),
        variant("onnx-int4", p50_ms=2.5, bytes=500, per_second=150.0, metric=0.893),
        variant("onnx-fp16", p50_ms=4.0, bytes=2000, per_second=300.0, metric=0.9),
    ]
    assert chosen(variants, "latency") == "onnx-int8"
    assert chosen(variants, "throughput") == "onnx-fp16"
    assert chosen(variants, "size") == "onnx-int4"
    # Of two that are equally good the faster one.
    assert chosen(variants, "quality") == "onnx-fp32"


def test_a_variant_that_is_hardly_faster_does_not_replace_full_precision():
    base = variant("onnx-fp32", p50_ms=1.00)
    assert chosen([variant("native"), base, variant("onnx-int8", p50_ms=0.97)]) == "onnx-fp32"
    assert chosen([variant("native"), base, variant("onnx-int8", p50_ms=0.90)]) == "onnx-int8"


@pytest.mark.parametrize(("larger_is_better", "change"), [(True, -0.02), (False, 0.02)])
def test_a_variant_that_loses_too_much_is_rejected_with_the_measured_figures(
    larger_is_better, change
):
    choice = Choice(aim="latency", max_loss=0.01, max_loss_of="export.max_loss")
    interval = tuple(sorted((change / 2, change * 1.5)))
    bad = variant("onnx-int8", p50_ms=0.1, change=change, change_interval=interval)
    found = decided([variant("native"), variant("onnx-fp32"), bad], choice, larger_is_better)
    assert [one.verdict for one in found] == ["reference", "chosen", "rejected"]
    assert found[2].reason == (
        "loses 0.02 of accuracy (95 % interval 0.01 to 0.03); allowed 0.01, export.max_loss"
    )


def test_a_gain_is_no_loss_whatever_its_size():
    better = variant("onnx-int8", p50_ms=0.1, change=0.2)
    assert chosen([variant("native"), variant("onnx-fp32"), better]) == "onnx-int8"
    lower = variant("onnx-int8", p50_ms=0.1, change=-0.2)
    assert chosen([variant("native"), variant("onnx-fp32"), lower], largest_is_best=False) == (
        "onnx-int8"
    )


def test_every_variant_with_files_has_a_reason_that_compares_it():
    choice = Choice(aim="size", max_loss=0.01, max_loss_of="export.max_loss")
    variants = [variant("native"), variant("onnx-fp32"), variant("onnx-int8", bytes=250)]
    variants.append(variant("onnx-fp16", bytes=500))
    reasons = [one.reason for one in decided(variants, choice)]
    assert reasons == [
        "",
        "size: onnx-int8 is better",
        "size: 0.25 of the size of onnx-fp32",
        "size: 0.50 of the size of onnx-fp32",
    ]


def test_what_may_be_lost_follows_from_the_gain_or_from_the_interval():
    auto = ExportSettings()
    plain = choice_of(auto, "accuracy", evaluation())
    assert plain.max_loss == pytest.approx(0.004)
    assert plain.max_loss_of == "1% of the gain over the baseline"
    noisy = choice_of(auto, "accuracy", evaluation(intervals={"accuracy": (0.8, 0.95)}))
    assert noisy.max_loss == pytest.approx(0.015)
    assert noisy.max_loss_of == "a tenth of the 95 % interval of accuracy"
    alone = choice_of(auto, "accuracy", evaluation(baseline={}))
    assert alone.max_loss == pytest.approx(0.0045)
    said = choice_of(ExportSettings(max_loss=0.2, aim="size"), "accuracy", evaluation())
    assert (said.max_loss, said.aim, said.max_loss_of) == (0.2, "size", "export.max_loss")


def test_the_interval_of_a_change_is_that_of_paired_samples():
    rng = np.random.default_rng(1)
    # Both models are judged on the same samples: what is hard for one is hard for the other.
    hard = rng.normal(0, 0.05, 200)
    trained = evaluation(samples=(0.9 + hard).tolist())
    seen = evaluation(
        metrics={"accuracy": 0.89}, samples=(0.89 + hard + rng.normal(0, 0.001, 200)).tolist()
    )
    low, high = change_interval("accuracy", seen, trained)
    assert -0.0125 < low < -0.0115 < -0.0085 < high < -0.0075
    assert change_interval("recall", seen, trained) is None
    assert change_interval("accuracy", evaluation(), trained) is None


def test_bootstrap_samples_are_not_written_to_files():
    assert "samples" not in evaluation(samples=[0.1, 0.2]).model_dump_json()
