"""The compiled forms of a model on the card: a row each, those left out, latency against quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modelyard.card import figures, text
from modelyard.card.figures import Drawn
from modelyard.card.text import clean, number, signed
from modelyard.judging.evaluation import Evaluation, Plot, Series
from modelyard.packages.package import PackageInfo
from modelyard.packages.variant import NATIVE, Variant, by_reason

LEAST_POINTS = 3
"""Of the plot: the trained model and onnx-fp32 differ in speed only."""


@dataclass(frozen=True)
class VariantRow:
    """A compiled form of the model, next to the trained one."""

    name: str
    size: str
    load: str
    single: str
    """p50 and p99 of single requests."""
    speedup: str
    batch: str
    """Batch size, p50 and p99 of a batch."""
    per_second: str
    metric: str
    delta: str
    interval: str
    better: bool | None
    difference: str
    verdict: str
    reason: str
    chosen: bool


@dataclass(frozen=True)
class LeftOutRow:
    """Variants that were not measured, for one reason."""

    names: str
    verdict: str
    reason: str


def rows(info: PackageInfo, evaluation: Evaluation) -> list[VariantRow]:
    """All measured variants, held against `native` where it is there."""
    by_name = {variant.name: variant for variant in info.variants}
    native = by_name.get(NATIVE)
    return [_row(variant, native, info.gate.metric, evaluation) for variant in info.variants]


def left_out(info: PackageInfo) -> list[LeftOutRow]:
    """Those that were not measured, by reason."""
    found = []
    for (verdict, reason), names in by_reason(info.left_out).items():
        found.append(LeftOutRow(clean(", ".join(names)), verdict, clean(reason)))
    return found


def pareto(info: PackageInfo, evaluation: Evaluation) -> Drawn | None:
    """Latency against the gate's metric, a point a variant; None for too few of them. Call inside
    `canvas.style()`."""
    metric = info.gate.metric
    if len(info.variants) < LEAST_POINTS or metric not in evaluation.directions:
        return None
    front = _front(info.variants, 1 if evaluation.directions[metric] == "max" else -1)
    series = []
    for variant in info.variants:
        name = f"{variant.name}, rejected" if variant.rejected else variant.name
        series.append(Series(name=name, x=[variant.p50_ms], y=[variant.metric]))
    plot = Plot(
        kind="scatter",
        title="Latency against quality",
        x_label="p50 of a single request, ms",
        y_label=f"{text.words(metric)}, validation",
        series=series,
        caption=f"No other variant is both faster and better than: {', '.join(front)}.",
    )
    return figures.draw(plot, "v-")


def _front(variants: Sequence[Variant], sign: int) -> list[str]:
    """The Pareto front: those that no other one beats in one of both without losing in the
    other."""
    # Fastest first, of equals the best: each then needs to be better than all before it.
    ranked = sorted(variants, key=lambda variant: (variant.p50_ms, -sign * variant.metric))
    front: list[Variant] = []
    for variant in ranked:
        if front:
            last = front[-1]
            is_better = sign * variant.metric > sign * last.metric
            is_equal = (variant.p50_ms, variant.metric) == (last.p50_ms, last.metric)
            if not is_better and not is_equal:
                continue
        front.append(variant)
    return [variant.name for variant in variants if variant in front]


def _row(variant: Variant, native: Variant | None, gate: str, evaluation: Evaluation) -> VariantRow:
    delta = better = None
    speedup, difference = "", text.NOTHING
    if native is not None and native is not variant:
        # The same answers summed in another order differ in the last digits: no change.
        delta = round(variant.metric - native.metric, 9)
        if delta and gate in evaluation.directions:
            better = evaluation.better(gate, variant.metric, native.metric)
        if variant.p50_ms:
            speedup = text.times(native.p50_ms / variant.p50_ms)
        difference = f"{variant.max_difference:.1e}"
    interval = ""
    if variant.change_interval is not None:
        low, high = variant.change_interval
        interval = f"{signed(round(low, 9))} to {signed(round(high, 9))}"
    batch = per_second = text.NOTHING
    if variant.batch:
        batch = f"{variant.batch}: {_both(variant.batch_p50_ms, variant.batch_p99_ms)}"
    if variant.per_second:
        per_second = f"{variant.per_second:,.0f} a second"
    return VariantRow(
        name=clean(variant.name),
        size=text.size(variant.bytes),
        load=_milliseconds(variant.load_ms),
        single=_both(variant.p50_ms, variant.p99_ms),
        speedup=speedup,
        batch=batch,
        per_second=per_second,
        metric=number(variant.metric),
        delta=signed(delta),
        interval=interval,
        better=better,
        difference=difference,
        verdict=variant.verdict,
        reason=clean(variant.reason),
        chosen=variant.chosen,
    )


def _milliseconds(value: float | None) -> str:
    if value is None:
        return text.NOTHING
    return text.milliseconds(value)


def _both(p50: float | None, p99: float | None) -> str:
    """`0.0412 ms`, or `0.0412 / 0.0533 ms` where both are known."""
    if p50 is None or p99 is None:
        return _milliseconds(p50)
    return f"{text.milliseconds(p50).removesuffix(' ms')} / {text.milliseconds(p99)}"
