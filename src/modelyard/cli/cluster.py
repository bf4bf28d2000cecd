"""Sends a pipeline to Kubeflow Pipelines and follows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from modelyard.home import slug

if TYPE_CHECKING:
    from modelyard.settings.family import FamilyConfig

console = Console(highlight=False)


def submit_pipeline(
    family: str,
    config: FamilyConfig,
    *,
    host: str | None,
    nodes: int,
    gpus: int,
    experiment: str,
    kind: str,
    follow: bool,
    cache: bool,
    start_limit: float = 30.0,
    upload: str | None = None,
    image: str | None = None,
) -> None:
    """Starts the family's pipeline on the cluster; exit code 1 when the run fails there.

    Raises:
        UsageError: with these settings it would fail there for certain.
    """
    from modelyard.cli.submitting import arguments_of, check_for_cluster, check_image, uploaded
    from modelyard.pipeline import local, pipelines

    check_image(family, image)
    if upload is not None:
        config = uploaded(config, upload)
        console.print(f"uploaded {escape(str(config.data.uri))}", soft_wrap=True)
    check_for_cluster(config, nodes=nodes, kind=kind)
    client = pipelines.connect(host)
    name = f"{slug(family)}-{local.new_id()}"
    run = pipelines.submit(
        client,
        pipelines.of_family(family, kind),
        arguments_of(family, config, nodes=nodes, gpus=gpus, image=image),
        name=name,
        experiment=experiment,
        cache=cache,
    )
    console.print(f"submitted {name} · run {run}")
    if follow:
        from modelyard.cli.following import follow as follow_run

        follow_run(run, console, host=host, limit=start_limit)
