"""What a search found: the best settings as a file, a table of trials, a page of pictures."""

from __future__ import annotations

import html
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from modelyard.card import pages
from modelyard.judging.evaluation import Plot, Series, figure
from modelyard.settings.family import FamilyConfig
from modelyard.settings.search import Range
from modelyard.store import artifact
from modelyard.tuning.study import Study, Tried, called

BEST, TRIALS, PAGE = "best.yaml", "trials.json", "tune.html"
SLICES = 8
"""Settings whose values are drawn against the metric, the most important first."""


def differing(config: FamilyConfig) -> dict[str, Any]:
    """The settings that are not the family's defaults, by section."""
    return _changed(config.model_dump(mode="json"), type(config)().model_dump(mode="json"))


def _changed(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        default = defaults.get(name)
        # An empty section, such as cluster.env, has no fields to compare one by one.
        if isinstance(value, dict) and isinstance(default, dict) and default:
            if inner := _changed(value, default):
                found[name] = inner
        elif value != default:
            found[name] = value
    return found


def write_all(
    folder: Path,
    family: str,
    study: Study,
    space: Mapping[str, Range],
    metric: str,
    best: FamilyConfig,
) -> str:
    """Writes best.yaml (for `modelyard run FAMILY --params best.yaml`), trials.json and tune.html.

    Returns the gain in words.

    Raises:
        MissingExtra: matplotlib or jinja2 is not installed.
    """
    start = study.tried()[0].value
    best_value = figure(study.best().value)
    gain = f"{metric} {best_value} against {figure(start)} of the starting settings, on the validation split"
    text = yaml.safe_dump({family: differing(best)}, sort_keys=False)
    artifact.write_text(folder / BEST, f"# {gain}\n{text}")
    write_trials(folder, study, metric)
    shares = study.importances()
    plots = [history(study.tried(), metric, study.larger_is_better)]
    if shares:
        plots.append(importance(shares))
    plots += slices(study.tried(), space, metric, list(shares))
    write_page(folder, f"Search: {family}", [f"{gain}.", *failures(study.tried())], plots)
    return gain


def failures(tried: Sequence[Tried]) -> list[str]:
    """How many trials failed, and why each did, as lines."""
    failed = [trial for trial in tried if trial.state == "failed"]
    if not failed:
        return []
    lines = [f"{len(failed)} of {len(tried)} trials failed and were left out:"]
    for trial in failed:
        lines.append(f"Trial {trial.trial}: {trial.headline}")
    return lines


def write_trials(folder: Path, study: Study, metric: str) -> Path:
    """Writes all trials as JSON."""
    rows = []
    for trial in study.tried():
        same_as = trial.same_as
        if same_as is not None:
            same_as = called(same_as)
        rows.append(
            {
                "trial": trial.trial,
                "state": trial.state,
                metric: trial.value,
                "seconds": trial.seconds,
                "settings": trial.settings,
                "same_as": same_as,
                "note": trial.headline,
            }
        )
    artifact.write_json(folder / TRIALS, rows)
    return folder / TRIALS


def history(tried: Sequence[Tried], metric: str, larger_is_better: bool) -> Plot:
    """Each trial's value, the best one so far, and the starting settings' value."""
    pick = min
    if larger_is_better:
        pick = max
    x: list[float] = []
    values: list[float] = []
    for trial in tried:
        if trial.value is not None:
            x.append(float(trial.trial))
            values.append(float(trial.value))
    best = list(itertools.accumulate(values, pick))
    return Plot(
        kind="line",
        title="History",
        x_label="trial",
        y_label=metric,
        series=[
            Series(name="best so far", x=x, y=best),
            Series(name="trial", x=x, y=values),
            Series(name="starting settings", x=[x[0], x[-1]], y=[best[0], best[0]]),
        ],
        caption="On the validation split. Pruned and failed trials have no value.",
    )


def importance(shares: Mapping[str, float]) -> Plot:
    """How much each setting explains."""
    return Plot(
        kind="bar",
        title="Importance",
        x_label="setting",
        y_label="share",
        series=[Series(name="importance", x=list(shares), y=list(shares.values()))],
        caption="How well a setting separates good trials from the others (PED-ANOVA); shares of 1.",
    )


def slices(
    tried: Sequence[Tried], space: Mapping[str, Range], metric: str, order: Sequence[str]
) -> list[Plot]:
    """For each setting, its values against the metric."""
    # Settings without an importance come last; in a young study none has one.
    unranked = [name for name in space if name not in order]
    first = [*order, *unranked]
    plots = []
    for name in first[:SLICES]:
        seen: list[Any] = []
        y: list[float] = []
        for trial in tried:
            if trial.value is not None and name in trial.settings:
                seen.append(trial.settings[name])
                y.append(float(trial.value))
        if len(seen) < 2:
            continue
        x, label = _placed(seen, space[name])
        plots.append(
            Plot(
                kind="scatter",
                title=name,
                x_label=label,
                y_label=metric,
                series=[Series(name=metric, x=x, y=y)],
            )
        )
    return plots


def _placed(values: Sequence[Any], of: Range) -> tuple[list[str] | list[float], str]:
    """Where values of a setting stand on its axis, and what the axis says."""
    if of.choices:
        return [json.dumps(value).strip('"') for value in values], "value"
    if of.log:
        return [math.log10(value) for value in values], "log10 of the value"
    return [float(value) for value in values], "value"


def write_page(folder: Path, title: str, lines: Sequence[str], plots: Sequence[Plot]) -> Path:
    """Writes `tune.html`, self-contained: the figures in the card's style.

    Raises:
        MissingExtra: matplotlib or jinja2 is not installed.
    """
    import importlib.util

    from modelyard.errors import MissingExtra

    for needed in ("jinja2", "matplotlib"):
        if importlib.util.find_spec(needed) is None:
            raise MissingExtra("the page of a search", "card")
    from modelyard import card
    from modelyard.card import canvas
    from modelyard.card.figures import draw

    figures = ""
    with canvas.style():
        for number, plot in enumerate(plots):
            drawn = draw(plot, f"t{number}-")
            if drawn is None:
                continue
            figures += (
                f"<figure><figcaption>{_text(drawn.title)}</figcaption>"
                f"{_legend(drawn.legend)}{drawn.svg}"
                f'<p class="under">{_text(drawn.caption)}</p></figure>'
            )
    said = "".join(f"<p>{_text(line)}</p>" for line in lines)
    css = (Path(card.__file__).parent / "card.css").read_text()
    # Comments of the stylesheet are for its editors, not for each page.
    style = re.sub(r"/[*].*?[*]/", "", css, flags=re.DOTALL)
    page = (
        f'<!doctype html>\n<html lang="en"><head>{pages.head(title, pages.policy(img_src="data:"))}'
        f"<style>{style}</style></head><body><main>"
        f"<header><div><h1>{_text(title)}</h1>{said}</div></header>"
        f'<section><header><h2>Trials</h2></header><div class="body pair">{figures}</div></section>'
        "</main></body></html>\n"
    )
    artifact.write_text(folder / PAGE, page)
    return folder / PAGE


def _legend(keys: Sequence[Any]) -> str:
    if not keys:
        return ""
    items = ""
    for key in keys:
        dashes = key.dashes or "none"
        items += (
            '<li><svg viewBox="0 0 24 9" aria-hidden="true">'
            f'<path d="M0 4.5h24" style="stroke:var(--s{key.colour});stroke-width:2;'
            f'stroke-dasharray:{dashes}"/>'
            f"</svg>{_text(key.name)}</li>"
        )
    return f'<ul class="legend">{items}</ul>'


def _text(text: str) -> str:
    """Text from outside, as HTML."""
    return html.escape(pages.clean(text))
