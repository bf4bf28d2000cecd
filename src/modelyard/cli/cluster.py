"""Sends a pipeline to Kubeflow Pipelines and follows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from modelyard.home import slug

if TYPE_CHECKING:
    from modelyard.settings.family import FamilyConfig

console = Console(highlight=False)


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
    start_limit: float = 30.0,
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
    if follow:
        from modelyard.cli.following import follow as follow_run

        follow_run(run, console, host=host, limit=start_limit)
