"""Tables for people: results, runs, lineage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from modelyard.cli.compiled import show_variants
from modelyard.cli.costing import run_line
from modelyard.cli.places import shown
from modelyard.judging.evaluation import figure
from modelyard.pipeline.local import RunFolder, RunRecord, all_runs

console = Console(highlight=False)


def result_table(folder: RunFolder, seconds: float) -> None:
    """What a finished run reached, and what to type next."""
    from modelyard.judging.evaluation import Evaluation
    from modelyard.packages.package import read_info

    package = folder.path / "package"
    if not package.is_dir():
        console.print(f"done in {seconds:.0f} s")
        return
    info = read_info(package)
    evaluation = Evaluation.model_validate_json((package / "evaluation.json").read_text())
    console.print(_metrics_table(info, evaluation))
    show_variants(console, info, evaluation.unit)
    for warning in info.warnings:
        console.print(f"[yellow]warning[/]  {escape(warning)}", soft_wrap=True)
    _print_next(folder, seconds)


def _metrics_table(info: Any, evaluation: Any) -> Table:
    title = f"{evaluation.rows:,} test {evaluation.unit} · baseline: {evaluation.baseline_name}"
    table = Table(title=title, title_justify="left", title_style="dim")
    table.add_column("metric")
    table.add_column("model", justify="right")
    table.add_column("baseline", justify="right")
    table.add_column("gate")
    # The gate's metric first; `sorted` leaves the others in their order.
    order = sorted(evaluation.metrics, key=lambda name: name != info.gate.metric)
    for name in order:
        gate = style = ""
        if name == info.gate.metric:
            gate, style = _gate_words(info.gate), "bold"
        arrow = "↑" if evaluation.directions[name] == "max" else "↓"
        baseline = evaluation.baseline.get(name)
        known = "" if baseline is None else figure(baseline)
        table.add_row(f"{name} {arrow}", figure(evaluation.metrics[name]), known, gate, style=style)
    return table


def _gate_words(gate: Any) -> str:
    parts = []
    if gate.threshold is not None:
        parts.append(f"threshold {gate.threshold:g}")
    if gate.baseline is not None:
        by = f" by {gate.over_baseline:g}" if gate.over_baseline else ""
        parts.append(f"beats baseline{by}")
    if gate.gain is not None and gate.gain.low <= 0:
        parts.append("[yellow]not beyond chance[/]")
    return "[green]passed[/]: " + ", ".join(parts or ["no condition"])


def _print_next(folder: RunFolder, seconds: float) -> None:
    deployment = json.loads((folder.path / "deployment" / "deployment.json").read_text())
    model = deployment["name"]
    if not deployment["champion"]:
        model += f"@{deployment['version']}"
    # One from outside is not imported unless somebody names it.
    family = folder.record.family
    named = f" --family {family}" if ":" in family else ""
    console.print(f"package  {shown(folder.path / 'package')}", soft_wrap=True)
    console.print(f"card     {shown(folder.path / 'card.html')}", soft_wrap=True)
    console.print(f"cost     {run_line(folder)}", soft_wrap=True)
    console.print(
        f"done in {seconds:.0f} s. Next: [bold]modelyard serve {model}{named}[/]", soft_wrap=True
    )


def runs_table(family: str | None) -> None:
    """The runs on this machine, the newest last."""
    folders = all_runs(family)
    table = Table()
    for name in ("run", "family", "status", "time", "result"):
        table.add_column(name)
    colours = {"finished": "green", "failed": "red", "interrupted": "yellow", "running": "cyan"}
    for folder in folders:
        record = folder.record
        status = f"[{colours[record.status]}]{record.status}[/]"
        result = escape(_result(folder, record))
        table.add_row(record.id, record.family, status, f"{record.seconds:.0f} s", result)
    console.print(table if folders else "no runs yet. Type: modelyard run tabular")


def runs_page(family: str | None, page: Path) -> None:
    """The same as one page, with the runs' cards in it."""
    from modelyard.card.runs import page as runs_html
    from modelyard.store.artifact import write_text

    rows = [_run_row(folder) for folder in all_runs(family)]
    write_text(page, runs_html(rows))
    console.print(f"page     {shown(page)}: {len(rows):,} runs", soft_wrap=True)


def _run_row(folder: RunFolder) -> Any:
    from modelyard.card.runs import RunRow
    from modelyard.judging.evaluation import Evaluation

    record = folder.record
    row = RunRow(
        id=record.id,
        family=record.family,
        data=str(record.config.get("data", {}).get("uri") or "built-in sample"),
        created=record.created,
        status=record.status,
        seconds=record.seconds,
        result=_result(folder, record),
    )
    evaluation = folder.path / "evaluation" / "evaluation.json"
    if evaluation.is_file():
        judged = Evaluation.model_validate_json(evaluation.read_text())
        row = replace(
            row,
            metric=judged.main,
            value=judged.metrics[judged.main],
            baseline=judged.baseline.get(judged.main),
        )
    card = folder.path / "card.html"
    if card.is_file():
        return replace(row, card=card.read_text(encoding="utf-8"))
    return row


def _result(folder: RunFolder, record: RunRecord) -> str:
    """What deploy said; of a run that did not come so far, why it failed or what evaluate said."""
    if record.status == "failed" and folder.failure:
        return folder.failure
    return record.headlines.get("deploy") or record.headlines.get("evaluate", "")


def lineage_tree(reference: str) -> None:
    """What made a package, step by step, back to the data."""
    from modelyard.packages.package import verify
    from modelyard.registry.versions import resolve

    path = resolve(reference)
    verified = verify(path)
    manifest, info = verified.manifest, verified.info
    tree = Tree(f"[bold]{info.family}[/] package {info.version} of run {info.run}")
    passed = "passed" if info.gate.passed else "failed"
    gate = tree.add(f"gate: {escape(info.gate.reason)} → {passed}")
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in info.metrics.items())
    gate.add(f"all metrics: {escape(metrics)}")
    steps = tree.add("made by, newest first")
    earlier = sorted(manifest.lineage.items(), key=lambda item: item[1].created)
    for digest, origin in [(manifest.digest, manifest), *reversed(earlier)]:
        when = origin.created.removesuffix("+00:00").replace("T", " ")
        steps.add(
            f"[bold]{origin.kind:<10}[/] {digest[:12]}  code {origin.code_version}  {when}  {origin.seconds:.1f} s"
        )
    tree.add(f"folder: {shown(path)}")
    uri, revision = info.config["data"]["uri"], manifest.data_revision
    tree.add(f"data: {escape(uri or 'built-in sample')} · revision {revision or 'none'}")
    changed = tree.add("settings that differ from the defaults")
    for line in _changed_settings(info) or ["none"]:
        changed.add(escape(line))
    console.print(tree)


def _changed_settings(info: Any) -> list[str]:
    from modelyard.cli.options import entry

    defaults = entry(info.family).Config().model_dump(mode="json")
    return _differences(info.config, defaults)


def _differences(
    values: Mapping[str, Any], defaults: Mapping[str, Any], prefix: str = ""
) -> list[str]:
    lines: list[str] = []
    for name, value in values.items():
        old = defaults.get(name)
        # An empty default, such as `cluster.env`, is shown whole rather than key by key.
        if isinstance(value, dict) and isinstance(old, dict) and old:
            lines += _differences(value, old, f"{prefix}{name}.")
        elif value != old:
            lines.append(f"{prefix}{name} = {value!r} (default {old!r})")
    return lines
