"""Which of the measured variants serves, and why each of the others does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from modelyard.judging.evaluation import Evaluation
from modelyard.packages.variant import BASE, Choice, Variant
from modelyard.settings.export import Aim, ExportSettings

LEAST_GAIN = 1.05
"""So many times better than onnx-fp32 another variant must be: less is noise, and a smaller loss of
quality than is allowed is still a loss."""
SHARE_OF_GAIN, SHARE_OF_INTERVAL = 0.01, 0.1
SHARE_OF_METRIC = 0.005

Figure = Callable[[Variant], float]
"""What an aim looks at: smaller is better."""


def choice_of(settings: ExportSettings, metric: str, trained: Evaluation) -> Choice:
    """The aim, and how much of the gate's metric may be lost for it."""
    if settings.max_loss is not None:
        return Choice(aim=settings.aim, max_loss=settings.max_loss, max_loss_of="export.max_loss")
    value = trained.metrics[metric]
    allowed, origin = SHARE_OF_METRIC * abs(value), f"{SHARE_OF_METRIC:.1%} of {metric}"
    baseline = trained.baseline.get(metric)
    if baseline is not None:
        allowed = SHARE_OF_GAIN * abs(value - baseline)
        origin = f"{SHARE_OF_GAIN:.0%} of the gain over the baseline"
    interval = trained.intervals.get(metric)
    if interval is not None:
        noise = SHARE_OF_INTERVAL * (interval[1] - interval[0])
        if noise > allowed:
            allowed, origin = noise, f"a tenth of the 95 % interval of {metric}"
    return Choice(aim=settings.aim, max_loss=allowed, max_loss_of=origin)


def change_interval(
    metric: str, seen: Evaluation, trained: Evaluation
) -> tuple[float, float] | None:
    """95 % interval of how much more of `metric` a variant has than the trained model, from
    bootstrap samples of the same rows; None where the family gives none of this metric."""
    paired = metric == seen.main == trained.main
    count = len(trained.samples)
    if not paired or count == 0 or len(seen.samples) != count:
        return None
    changes = np.array(seen.samples) - np.array(trained.samples)
    # Percentiles are centred on the change of all rows, as those of the metric are.
    change = seen.metrics[metric] - trained.metrics[metric]
    low, high = change + np.quantile(changes - np.median(changes), [0.025, 0.975])
    return float(low), float(high)


def decide(
    variants: Sequence[Variant], choice: Choice, metric: str, larger_is_better: bool
) -> list[Variant]:
    """The variants with one of them chosen, and a reason for each that has files.

    Those that lose more than is allowed are rejected; of the others the one that serves the aim
    best is chosen, where it is clearly better than onnx-fp32. The trained model, first of
    `variants`, has no files and is not among them.
    """
    sign = 1 if larger_is_better else -1
    judged = [_judged(variant, choice, metric, sign) for variant in variants]
    able = [variant for variant in judged if variant.graphs and not variant.rejected]
    assert able, "onnx-fp32 answers as the trained model does, or export fails"
    base = {variant.name: variant for variant in able}.get(BASE, able[0])
    figure = _figure(choice.aim, sign)
    best = min(able, key=figure)
    # A ratio of metrics means nothing: for quality every gain counts.
    needs_margin = choice.aim != "quality" and best is not base
    if needs_margin and not _clearly(best, base, figure):
        best = base
    others = len(able) > 1
    return [_with_reason(variant, best, base, choice, others) for variant in judged]


def _judged(variant: Variant, choice: Choice, metric: str, sign: int) -> Variant:
    """The variant, rejected where it loses too much."""
    if not variant.graphs or variant.rejected or variant.change is None:
        return variant
    loss = -sign * variant.change
    if variant.name == BASE or loss <= choice.max_loss:
        return variant
    interval = ""
    if variant.change_interval is not None:
        # Of the loss: turned round where more is better.
        low, high = sorted([-sign * bound for bound in variant.change_interval])
        interval = f" (95 % interval {low:.3g} to {high:.3g})"
    allowed = f"allowed {choice.max_loss:.4g}, {choice.max_loss_of}"
    reason = f"loses {loss:.4g} of {metric}{interval}; {allowed}"
    return variant.model_copy(update={"rejected": True, "reason": reason})


def _figure(aim: Aim, sign: int) -> Figure:
    if aim == "size":
        return lambda variant: float(variant.bytes)
    if aim == "throughput":
        return lambda variant: -(variant.per_second or 0.0)
    if aim == "quality":
        # Sums in another order differ in the last digits: then the faster one is better.
        return lambda variant: round(-sign * variant.metric, 9) + 1e-12 * variant.p50_ms
    return lambda variant: variant.p50_ms


def _clearly(best: Variant, base: Variant, figure: Figure) -> bool:
    one, other = abs(figure(best)), abs(figure(base))
    return max(one, other) >= LEAST_GAIN * min(one, other)


def _with_reason(
    variant: Variant, best: Variant, base: Variant, choice: Choice, others: bool
) -> Variant:
    """The variant with how it serves the aim, next to onnx-fp32; `others`: more than that one may
    serve."""
    if not variant.graphs or variant.rejected:
        return variant
    if variant is not base:
        said = _compared(variant, base, choice)
    elif variant is not best:
        said = f"{best.name} is better"
    elif others:
        said = "no other variant that passes is clearly better"
    else:
        said = "no other variant passes"
    update = {"chosen": variant is best, "reason": f"{choice.aim}: {said}"}
    return variant.model_copy(update=update)


def _compared(variant: Variant, base: Variant, choice: Choice) -> str:
    """How a variant serves the aim, next to onnx-fp32."""
    if choice.aim == "size":
        return f"{variant.bytes / max(base.bytes, 1):.2f} of the size of {base.name}"
    if choice.aim == "throughput":
        ratio = (variant.per_second or 0.0) / max(base.per_second or 0.0, 1e-9)
        return f"{ratio:.2f} times the throughput of {base.name}"
    if choice.aim == "quality":
        return f"{variant.metric:.6g}, {base.name} {base.metric:.6g}"
    return f"{base.p50_ms / max(variant.p50_ms, 1e-9):.2f} times as fast as {base.name}"
