"""Runs a search for the command line: a line a trial, then the best settings and what to type
next."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from modelyard.cli import options
from modelyard.cli.places import shown
from modelyard.judging.evaluation import figure
from modelyard.tuning import report
from modelyard.tuning.search import Plan, Search
from modelyard.tuning.study import Tried, called, import_optuna

console = Console(highlight=False)
MARKS = {"finished": "[green]✓[/]", "pruned": "[yellow]✂[/]", "failed": "[red]✗[/]"}
SHOWN = 5
"""Best trials in the table at the end."""
MATTER = 4
"""Settings that are named as those that matter most."""


@dataclass(frozen=True)
class Limits:
    """How much may be tried."""

    trials: int
    minutes: float | None
    trial_minutes: float | None
    jobs: int


def follow(
    family: str,
    limits: Limits,
    *,
    data: str | None,
    target: str | None,
    rev: str | None,
    assignments: list[str] | None,
    params: Path,
) -> None:
    """Searches, shows each trial, and leaves best.yaml, trials.json and tune.html in the study's
    folder."""
    import_optuna()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    plan = _plan(family, limits, data, target, rev, assignments, params)
    search = Search(plan, lambda *progress: _show(search, *progress))
    console.print(f"[bold]{family}[/] · {len(search.space)} settings · {shown(search.folder)}")
    _say_what_is_known(search)
    try:
        search.execute()
    except KeyboardInterrupt:
        console.print("\nstopped; what was finished is kept", style="yellow")
        _conclude(search)
        raise
    done, planned = len(search.study.tried()), limits.trials
    if done < planned:
        console.print(
            f"the time is over (--timeout {limits.minutes:g}): {done} of {planned} trials are done. To continue, type "
            "the same again",
            style="yellow",
            soft_wrap=True,
        )
    _conclude(search)


def _plan(
    family: str,
    limits: Limits,
    data: str | None,
    target: str | None,
    rev: str | None,
    assignments: list[str] | None,
    params: Path,
) -> Plan:
    from modelyard.cli.execute import absolute_data
    from modelyard.settings.family import parse_assignments, resolve
    from modelyard.settings.search import names
    from modelyard.stages.run import Run, check_requirements

    entry = options.entry(family)
    config = options.settings(
        family, assignments=assignments, params=params, data=data, target=target, rev=rev
    )
    config = resolve(entry.Config, ("config", absolute_data(config.model_dump(mode="json"))))
    check_requirements(Run(entry, config))
    return Plan(
        entry=entry,
        config=config,
        fixed=frozenset(names(parse_assignments(assignments or []))),
        trials=limits.trials,
        minutes=limits.minutes,
        trial_minutes=limits.trial_minutes,
        jobs=limits.jobs,
    )


def _say_what_is_known(search: Search) -> None:
    if (search.folder / "study.db").is_file():
        done = len(search.study.tried())
        console.print(f"continuing: {done} of {search.plan.trials} trials are done", style="dim")


def _show(search: Search, tried: Tried, best: Tried, count: int) -> None:
    """`✓ 12/30  roc_auc 0.9951  best 0.9963   4.1 s  kind=xgboost …`."""
    of = search.plan.trials
    value = ""
    if tried.value is not None:
        value = f"{search.start.metric} {figure(tried.value)}"
    star = f" [dim]best {figure(best.value)}[/]"
    if best.number == tried.number:
        star = " [bold green]best[/]"
    said = escape(_settings(tried))
    if tried.same_as is not None:
        said += f"  [dim]the same as trial {called(tried.same_as)}[/]"
    # Trials that run side by side end in another order than they began.
    if tried.trial != count:
        said += f"  [dim]trial {tried.trial}[/]"
    if tried.state != "finished":
        said += f"  [dim]{escape(tried.headline)}[/]"
    console.print(
        f"{MARKS[tried.state]} {count:>3}/{of}  {value:<16}{star}  {tried.seconds:5.1f} s  {said}",
        soft_wrap=True,
    )


def _settings(tried: Tried) -> str:
    if tried.number == 0:
        return "the starting settings"
    pairs = []
    for name, value in tried.settings.items():
        pairs.append(f"{name.partition('.')[2]}={_short(value)}")
    return "  ".join(pairs)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return json.dumps(value).strip('"')


def _conclude(search: Search) -> None:
    """The table, the files, the command to type next."""
    study, metric = search.study, search.start.metric
    tried, best = study.tried(), study.best()
    console.print(_table(study.larger_is_better, tried, metric))
    gain = report.write_all(
        search.folder, search.plan.entry.name, study, search.space, metric, search.config_of(best)
    )
    shares = [f"{name} {share:.0%}" for name, share in study.importances().items()]
    if shares:
        console.print(f"matter most: {', '.join(shares[:MATTER])}")
    # Repeated settings reach the same by definition.
    equal = sum(trial.value == best.value and trial.same_as is None for trial in tried)
    if best.number == 0:
        gain = f"nothing beat the starting settings: {metric} {figure(best.value)} on the validation split"
    if equal > 1:
        gain += f"; {equal} trials reach it, the first is taken"
    console.print(f"best     {gain}")
    console.print(
        f"The best of {len(tried)} by one split flatters itself: expect less on data that nothing was chosen by. The "
        "run below judges it on the test split.",
        style="dim",
    )
    console.print(f"page     {shown(search.folder / report.PAGE)}", soft_wrap=True)
    console.print(
        f"cost     {search.cost().cpu_seconds / 60:.3g} core-minutes for {len(tried)} trials"
    )
    console.print(
        f"Next: [bold]modelyard run {search.plan.entry.name} --params {shown(search.folder / report.BEST)}[/]",
        soft_wrap=True,
    )


def _table(larger_is_better: bool, tried: list[Tried], metric: str) -> Table:
    done = [trial for trial in tried if trial.value is not None and trial.same_as is None]
    done.sort(key=lambda trial: trial.value or 0.0, reverse=larger_is_better)
    # Where the search started is shown too, however far it is behind.
    listed = [trial for place, trial in enumerate(done) if place < SHOWN or trial.number == 0]
    table = Table(
        title=f"{len(tried)} trials, the best by {metric} on the validation split",
        title_justify="left",
    )
    for name in ("trial", metric, "time"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("settings")
    for trial in listed:
        table.add_row(
            str(trial.trial),
            figure(trial.value),
            f"{trial.seconds:.1f} s",
            escape(_settings(trial)),
            style="bold" if trial is done[0] else "",
        )
    return table
