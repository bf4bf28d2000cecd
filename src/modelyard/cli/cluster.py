"""Sends a pipeline to Kubeflow Pipelines and follows it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from modelyard.home import slug

if TYPE_CHECKING:
    from modelyard.settings.family import FamilyConfig

console = Console(highlight=False)
MARKS = {
    "SUCCEEDED": "[green]✓[/]",
    "CACHED": "[cyan]↺[/]",
    "SKIPPED": "[dim]-[/]",
    "FAILED": "[red]✗[/]",
}


def submit_pipeline(
    family: str,
    config: FamilyConfig,
    *,
    host: str | None,
    rev: str | None,
    nodes: int,
    gpus: int,
    experiment: str,
    kind: str,
    follow: bool,
    cache: bool,
) -> None:
    """Starts the family's pipeline on the cluster; exit code 1 when the run fails there."""
    from modelyard.cli.options import entry
    from modelyard.pipeline import local, pipelines
    from modelyard.settings.family import portable
    from modelyard.stages.run import code_version

    client = pipelines.connect(host)
    found = entry(family)
    # With several nodes the steps stay as they are: the nodes read the settings themselves.
    machine = (
        config.cluster.machine(found.Config.resources) if nodes == 1 else found.Config.resources
    )
    arguments = {
        "family": family,
        "config": portable(config),
        "data_rev": rev or "",
        "nodes": nodes,
        "gpus_per_node": gpus,
        "cpu": machine["cpu"],
        "memory": machine["memory"],
        "code_version": code_version(found),
    }
    name = f"{slug(family)}-{local.new_id()}"
    run = pipelines.submit(
        client,
        pipelines.of_family(family, kind),
        arguments,
        name=name,
        experiment=experiment,
        cache=cache,
    )
    console.print(f"submitted {name} · run {run}")
    if follow and not _follow(client, run):
        raise typer.Exit(1)


def _follow(client: Any, run_id: str) -> bool:
    """Prints a line a step as it ends; whether the run succeeded."""
    seen: set[str] = set()
    with console.status("waiting for the cluster") as status:
        while True:
            run = client.get_run(run_id)
            for task in _tasks(run):
                if task.state in MARKS and task.task_id not in seen:
                    seen.add(task.task_id)
                    console.print(
                        f"{MARKS[task.state]} {task.display_name:<12} {_seconds(task):>7}  {_error(task)}"
                    )
                elif task.state == "RUNNING":
                    status.update(f"{task.display_name} is running")
            if run.state in ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"):
                console.print(f"{MARKS.get(run.state, '[red]✗[/]')} run {run.state.lower()}")
                return bool(run.state == "SUCCEEDED")
            time.sleep(2)


def _tasks(run: Any) -> list[Any]:
    details = getattr(run, "run_details", None)
    tasks = (details.task_details or []) if details else []
    shown = [
        task
        for task in tasks
        if task.display_name not in (None, "root") and "driver" not in task.display_name
    ]
    return sorted(shown, key=lambda task: str(task.end_time or task.start_time or ""))


def _seconds(task: Any) -> str:
    if task.start_time and task.end_time:
        return f"{(task.end_time - task.start_time).total_seconds():.0f} s"
    return ""


def _error(task: Any) -> str:
    return (
        str(task.error.message).strip().splitlines()[-1]
        if getattr(task, "error", None) and task.error.message
        else ""
    )
