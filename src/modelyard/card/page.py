"""Puts the card together: computed views and figures into the template."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modelyard.card import canvas, figures, provenance, views, watch
from modelyard.card import variants as compiled
from modelyard.card.cost import bill
from modelyard.card.figures import Drawn
from modelyard.card.templates import render
from modelyard.card.text import clean, number, signed, words
from modelyard.judging.evaluation import Evaluation
from modelyard.packages.package import PackageInfo
from modelyard.store.artifact import Origin

_DATA = (
    "headline",
    "rows",
    "dropped",
    "unit",
    "left_out",
    "tables",
    "classes",
    "notes",
    "warnings",
    "target",
    "positive",
)
_TRAINING = ("headline", "curves", "importance", "notes", "warnings", "tables", "best_epoch")


def page(
    info: PackageInfo,
    evaluation: Evaluation,
    data: Mapping[str, Any],
    training: Mapping[str, Any],
    lineage: Mapping[str, Origin],
    reference: Mapping[str, Sequence[Any]],
    others: Sequence[Origin] = (),
) -> str:
    """The whole page; see `modelyard.card.render`."""
    with canvas.style():
        drawn = list(_plots(evaluation))
        learning = list(_curves(training))
        watched = watch.columns(reference)
        pareto = compiled.pareto(info, evaluation)
    hero = _hero(info, evaluation)
    title = f"{info.subject}: {hero['metric']} {hero['value']}, {info.version}"
    return render(
        "card.html.j2",
        title,
        info=info,
        evaluation=evaluation,
        plots=drawn,
        tables=[views.table(table.model_dump()) for table in evaluation.tables],
        learning=learning,
        watched=watched,
        watched_of=len(reference),
        hero=hero,
        created=provenance.moment(info),
        metrics=views.metrics(evaluation, info.gate.metric),
        confusion=views.confusion(evaluation.confusion) if evaluation.confusion else None,
        data=_data(data),
        training=_training(training),
        variants=compiled.rows(info, evaluation),
        left_out=compiled.left_out(info),
        pareto=pareto,
        changed=provenance.changed(info),
        settings=provenance.settings(info),
        chain=provenance.chain(info, lineage),
        total=provenance.total(lineage),
        cost=bill(info, [*lineage.values(), *others]),
        commands=_commands(info),
    )


def _plots(evaluation: Evaluation) -> Iterator[Drawn]:
    for place, plot in enumerate(figures.plots_of(evaluation)):
        if (figure := figures.draw(plot, f"p{place}-")) is not None:
            yield figure


def _curves(training: Mapping[str, Any]) -> Iterator[Drawn]:
    best = training.get("best_epoch")
    unit = figures.step_of(training)
    kept = best if isinstance(best, int) and best > 0 else None
    curves = training.get("curves") or {}
    for place, (name, splits) in enumerate(curves.items()):
        by_split = splits if isinstance(splits, Mapping) else {name: splits}
        figure = figures.curves(str(name), by_split, kept, unit, f"c{place}-")
        if figure is not None:
            yield figure


def _hero(info: PackageInfo, evaluation: Evaluation) -> dict[str, Any]:
    """The main metric and its baseline, and by how much and which way they differ."""
    main = evaluation.main
    value, baseline = evaluation.metrics[main], evaluation.baseline.get(main)
    difference = None if baseline is None else value - baseline
    direction = evaluation.directions[main]
    return {
        "metric": words(main),
        "value": number(value),
        "baseline": number(baseline),
        "known": baseline is not None,
        "rivals": {name: number(figure) for name, figure in evaluation.rivals.items()},
        "difference": signed(difference),
        "better": baseline is not None and evaluation.better(main, value, baseline),
        "direction": "higher is better" if direction == "max" else "lower is better",
        "gate": words(info.gate.metric),
        "gate_is_main": info.gate.metric == main,
    }


def _data(data: Mapping[str, Any]) -> dict[str, Any]:
    rows = data.get("rows") or {}
    # Columns are no rows, and have a table of their own.
    dropped = {}
    for reason, count in (data.get("dropped") or {}).items():
        is_of_columns = reason.startswith("columns: ") and data.get("left_out")
        if not is_of_columns:
            dropped[reason] = count
    total = sum(rows.values())
    headline = data.get("headline") or (f"{total:,} rows" if total else "")
    tables = []
    if rows:
        tables.append(views.counted("Rows by split", rows, "split"))
    if dropped:
        tables.append(views.counted("Rows dropped", dropped, "reason"))
    if (classes := views.classes(data.get("classes"))) is not None:
        tables.append(classes)
    return {
        "headline": clean(str(headline)),
        "facts": _classes(data) + views.facts(data, _DATA),
        "notes": _notes(data),
        "small": tables,
        "tables": [views.table(raw) for raw in data.get("tables") or ()],
    }


def _classes(data: Mapping[str, Any]) -> list[tuple[str, views.Cell]]:
    """The names of the classes, where their counts are not known."""
    names = data.get("classes")
    if names and isinstance(names, list | tuple):
        return [("classes", views.cell(", ".join(map(str, names))))]
    return []


def _training(training: Mapping[str, Any]) -> dict[str, Any]:
    importance = training.get("importance")
    return {
        "headline": clean(str(training.get("headline") or "")),
        "facts": views.facts(training, _TRAINING),
        "notes": _notes(training),
        "importance": views.table(importance, bars=True) if importance else None,
        "tables": [views.table(raw) for raw in training.get("tables") or ()],
    }


def _notes(summary: Mapping[str, Any]) -> list[str]:
    notes = summary.get("notes") or ()
    if isinstance(notes, str):
        notes = [notes]
    return [clean(str(note)) for note in notes]


def _commands(info: PackageInfo) -> list[tuple[str, str]]:
    # A name from outside may hold what a shell would run.
    name, quoted = shlex.quote(info.registered), shlex.quote(info.family)
    if not info.gate.passed:
        tune = f"modelyard tune {quoted} --trials 30"
        return [
            (tune, "look for better settings, with the same --data"),
            (f"modelyard families {quoted}", "the settings that there are"),
        ]
    # One from outside is not imported unless somebody names it.
    family = f" --family {quoted}" if ":" in info.family else ""
    return [
        (f"modelyard serve {name}{family}", "answer requests over HTTP"),
        (
            f"modelyard predict {name}{family}",
            "answer one example here; --explain adds the reasons, where the model gives them",
        ),
        (f"modelyard explain {name}", "what made it: data, settings, code and every step"),
    ]
