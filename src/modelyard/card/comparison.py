"""Packages side by side: where they come from, settings that differ, metrics, variants, curves.

The terminal and the page show the same grids.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelyard.card import figures, grids, text
from modelyard.card.grids import Grid
from modelyard.errors import UsageError
from modelyard.judging.evaluation import Evaluation, Plot, Series
from modelyard.packages.package import PackageInfo, Variant, verify
from modelyard.registry.versions import resolve
from modelyard.settings.family import flat
from modelyard.store.artifact import Origin

MOST_SIDES = 8
"""More columns do not fit a page or a terminal."""


@dataclass(frozen=True)
class Side:
    """One of the packages, with what it was made from by digest."""

    label: str
    info: PackageInfo
    evaluation: Evaluation
    training: Mapping[str, Any]
    lineage: Mapping[str, Origin]

    def digest(self, kind: str) -> str:
        """Of the artifact of that kind that the package was made from; "" where there is none."""
        for digest, origin in self.lineage.items():
            if origin.kind == kind:
                return digest
        return ""


@dataclass(frozen=True)
class Comparison:
    """What differs between the sides."""

    sides: list[Side]
    grids: list[Grid]
    plots: list[Plot]
    notes: list[str]


def compare(references: Sequence[str]) -> Comparison:
    """The packages of the references side by side, in their order.

    A reference is a run's id, NAME, NAME@VERSION or a folder.

    Raises:
        UsageError: fewer than two, too many, one that is unknown, or different families.
        BrokenArtifact: a package that was changed after it was made.
    """
    if not 2 <= len(references) <= MOST_SIDES:
        raise UsageError(
            f"compare takes 2 to {MOST_SIDES} packages, not {len(references)}. "
            "Type: modelyard compare NAME@1 NAME@2"
        )
    return side_by_side([_read(reference) for reference in references])


def side_by_side(sides: list[Side]) -> Comparison:
    """What differs between packages of one family.

    Raises:
        UsageError: they are of different families.
    """
    families = sorted({side.info.family for side in sides})
    if len(families) > 1:
        raise UsageError(
            f"only packages of one family can be compared, not of {' and '.join(families)}"
        )
    grids = [_origins(sides), _settings(sides), _metrics(sides), _variants(sides)]
    return Comparison(
        sides,
        [grid for grid in grids if grid.rows],
        [*_learning_curves(sides), *_shared_plots(sides)],
        _notes(sides),
    )


def page(comparison: Comparison) -> str:
    """The comparison as one self-contained page without a script."""
    labels = [side.label for side in comparison.sides]
    return grids.page(
        " and ".join(labels),
        eyebrow="Comparison of the family",
        family=comparison.sides[0].info.family,
        notes=comparison.notes,
        grids=comparison.grids,
        plots=comparison.plots,
    )


def _read(reference: str) -> Side:
    path = resolve(reference)
    verified = verify(path)
    evaluation = Evaluation.model_validate_json((path / "evaluation.json").read_text())
    training = path / "training.json"
    return Side(
        label=verified.info.run if "/" in reference else reference,
        info=verified.info,
        evaluation=evaluation,
        training=json.loads(training.read_text()) if training.is_file() else {},
        lineage=verified.manifest.lineage,
    )


def _origins(sides: Sequence[Side]) -> Grid:
    """Run, data and code of each."""
    names = ["run", "package", "created", "data", "data revision", "features", "code", "judged on"]
    rows = [[name] for name in names]
    for side in sides:
        cells = [
            side.info.run,
            side.info.version,
            side.info.created.replace("T", " ")[:16],
            _data(side),
            side.info.data_revision or text.NOTHING,
            side.digest("features")[:12] or text.NOTHING,
            side.info.code_version,
            _judged_on(side.evaluation),
        ]
        for row, cell in zip(rows, cells, strict=True):
            row.append(cell)
    return Grid("Where they come from", _columns(sides, ""), rows)


def _data(side: Side) -> str:
    return str(side.info.config.get("data", {}).get("uri") or "built-in sample")


def _judged_on(evaluation: Evaluation) -> str:
    return f"{evaluation.rows:,} {evaluation.unit} of {evaluation.split}"


def _settings(sides: Sequence[Side]) -> Grid:
    """The settings of which not all sides have the same value."""
    configs = [flat(side.info.config) for side in sides]
    names = _union(configs)
    rows = []
    for name in names:
        if name == "data.uri":  # It stands above.
            continue
        # One that an older version did not have differs from every value.
        values = []
        for config in configs:
            values.append(text.setting(config[name]) if name in config else text.NOTHING)
        if len(set(values)) > 1:
            rows.append([name, *values])
    return Grid("Settings that differ", _columns(sides, "setting"), rows)


def _metrics(sides: Sequence[Side]) -> Grid:
    """Every metric with its interval where the evaluation holds one; the main metric first."""
    first = sides[0].evaluation
    names = _union([side.evaluation.metrics for side in sides])
    names.sort(key=lambda name: name != first.main)
    directions: dict[str, str] = {}
    for side in sides:
        directions = {**side.evaluation.directions, **directions}
    rows, best = [], []
    for name in names:
        larger_is_better = directions[name] == "max"
        arrow = "↑" if larger_is_better else "↓"
        figures_of = [_figure(side.evaluation, name) for side in sides]
        values = [side.evaluation.metrics.get(name) for side in sides]
        rows.append([f"{name} {arrow}", *figures_of])
        best.append(_best(values, larger_is_better))
    baselines = [_baseline(side.evaluation, first.main) for side in sides]
    rows.append(["baseline", *baselines])
    # The better baseline is no merit of the model.
    best.append(None)
    return Grid("Metrics", _columns(sides, "metric"), rows, best)


def _figure(evaluation: Evaluation, name: str) -> str:
    if name not in evaluation.metrics:
        return text.NOTHING
    figure = text.number(evaluation.metrics[name])
    interval = evaluation.intervals.get(name)
    if interval is None:
        return figure
    return f"{figure} ({text.number(interval[0])} to {text.number(interval[1])})"


def _baseline(evaluation: Evaluation, metric: str) -> str:
    return f"{text.number(evaluation.baseline.get(metric))} ({evaluation.baseline_name})"


def _best(values: Sequence[float | None], larger: bool) -> int | None:
    """The column of the best value, from 1 behind the names."""
    known = [value for value in values if value is not None]
    if len(known) < 2 or len(set(known)) == 1:
        return None
    return 1 + values.index(max(known) if larger else min(known))


def _variants(sides: Sequence[Side]) -> Grid:
    """Size, latency and metric of each compiled form."""
    of_sides = []
    for side in sides:
        of_sides.append({variant.name: variant for variant in side.info.variants})
    rows = []
    for name in _union(of_sides):
        found = [variants.get(name) for variants in of_sides]
        first = name
        for label, measure in (("size", "bytes"), ("p50", "p50_ms"), ("validation", "metric")):
            shown = [_shown(variant, measure) for variant in found]
            rows.append([first, label, *shown])
            # The name stands in the first of its rows only.
            first = ""
    labels = [side.label for side in sides]
    return Grid("Variants", ["variant", "", *labels], rows)


def _shown(variant: Variant | None, measure: str) -> str:
    if variant is None:
        return text.NOTHING
    if measure == "bytes":
        return text.size(variant.bytes)
    if measure == "p50_ms":
        return text.milliseconds(variant.p50_ms)
    metric = text.number(variant.metric)
    return f"{metric} ✓ serves" if variant.chosen else metric


def _learning_curves(sides: Sequence[Side]) -> list[Plot]:
    """One plot a curve: the validation split of every side, or what else it has."""
    plots = []
    for name in _union([_curves(side) for side in sides]):
        series = []
        for side in sides:
            values = _last_split(_curves(side).get(name))
            steps = [float(step + 1) for step in range(len(values))]
            if values:
                series.append(Series(name=side.label, x=steps, y=values))
        if len(series) > 1:
            title, unit = f"Learning curve: {name}", figures.step_of(sides[0].training)
            plots.append(Plot(kind="line", title=title, x_label=unit, series=series))
    return plots


def _curves(side: Side) -> Mapping[str, Any]:
    return side.training.get("curves") or {}


def _last_split(curve: Any) -> list[float]:
    """The values of the validation split; of the only split where there is no other."""
    if isinstance(curve, Mapping):
        curve = curve.get("validation") or next(iter(curve.values()), [])
    return [float("nan") if value is None else float(value) for value in curve or []]


def _shared_plots(sides: Sequence[Side]) -> list[Plot]:
    """ROC and the other lines that several sides have under one title, over each other."""
    drawn: dict[str, list[tuple[Side, Plot]]] = {}
    for side in sides:
        for plot in figures.plots_of(side.evaluation):
            if plot.kind == "line":
                drawn.setdefault(plot.title, []).append((side, plot))
    return [_overlaid(found) for found in drawn.values() if len(found) > 1]


def _overlaid(found: Sequence[tuple[Side, Plot]]) -> Plot:
    series = []
    for side, plot in found:
        for own in plot.series:
            name = f"{side.label}: {own.name}" if len(plot.series) > 1 else side.label
            series.append(own.model_copy(update={"name": name}))
    _, first = found[0]
    # Its caption has figures of one side.
    return first.model_copy(update={"series": series, "caption": ""})


def _notes(sides: Sequence[Side]) -> list[str]:
    """What a reader must know before he compares figures."""
    notes = []
    if len({side.digest("features") for side in sides}) > 1:
        notes.append(
            "The features differ: the models may have been judged on other test rows, "
            "and a difference of their metrics may come from the rows."
        )
    if len({side.info.code_version for side in sides}) > 1:
        notes.append("The code that made them differs.")
    mains = dict.fromkeys(side.evaluation.main for side in sides)
    if len(mains) > 1:
        notes.append(f"Their main metrics differ: {', '.join(mains)}.")
    return notes


def _union(mappings: Sequence[Mapping[str, Any]]) -> list[str]:
    """All names, each once, in the order in which they come."""
    names: dict[str, None] = {}
    for mapping in mappings:
        names |= dict.fromkeys(mapping)
    return list(names)


def _columns(sides: Sequence[Side], first: str) -> list[str]:
    labels = [side.label for side in sides]
    return [first, *labels]
