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
    native = next((variant for variant in info.variants if variant.name == NATIVE), None)
    return [_row(variant, native, info.gate.metric, evaluation) for variant in info.variants]


def left_out(info: PackageInfo) -> list[LeftOutRow]:
    """Those that were not measured, by reason."""
    return [
        LeftOutRow(clean(", ".join(names)), verdict, clean(reason))
        for (verdict, reason), names in by_reason(info.left_out).items()
    ]


def pareto(info: PackageInfo, evaluation: Evaluation) -> Drawn | None:
    """Latency against the gate's metric, a point a variant; None for too few of them. Call inside
    `canvas.style()`."""
    metric = info.gate.metric
    if len(info.variants) < LEAST_POINTS or metric not in evaluation.directions:
        return None
    front = _front(info.variants, 1 if evaluation.directions[metric] == "max" else -1)
    series = []
    for variant in info.variants:
        if variant.rejected:
            name = f"{variant.name}, rejected"
        else:
            name = variant.name
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
    front = []
    for one in variants:
        beaten = any(
            other.p50_ms <= one.p50_ms
            and sign * other.metric >= sign * one.metric
            and (other.p50_ms < one.p50_ms or other.metric != one.metric)
            for other in variants
        )
        if not beaten:
            front.append(one.name)
    return front


def _row(one: Variant, native: Variant | None, gate: str, evaluation: Evaluation) -> VariantRow:
    if native is not None and native is not one:
        base = native
    else:
        base = None
    # The same answers summed in another order differ in the last digits: no change.
    delta = round(one.metric - base.metric, 9) if base else None
    known = gate in evaluation.directions and delta
    interval = ""
    if one.change_interval is not None:
        interval = " to ".join(signed(round(bound, 9)) for bound in one.change_interval)
    return VariantRow(
        name=clean(one.name),
        size=text.size(one.bytes),
        load=_milliseconds(one.load_ms),
        single=_both(one.p50_ms, one.p99_ms),
        speedup=text.times(base.p50_ms / one.p50_ms) if base and one.p50_ms else "",
        batch=f"{one.batch}: {_both(one.batch_p50_ms, one.batch_p99_ms)}"
        if one.batch
        else text.NOTHING,
        per_second=f"{one.per_second:,.0f} a second" if one.per_second else text.NOTHING,
        metric=number(one.metric),
        delta=signed(delta),
        interval=interval,
        better=evaluation.better(gate, one.metric, base.metric) if known and base else None,
        difference=f"{one.max_difference:.1e}" if base else text.NOTHING,
        verdict=one.verdict,
        reason=clean(one.reason),
        chosen=one.chosen,
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
