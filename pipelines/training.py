"""From data to a registered package: ingest → features → train → evaluate → export → package →
deploy."""

import json
from typing import Any

from kfp import dsl, kubernetes

from components.common import provided
from components.deploy import deploy
from components.evaluate import evaluate
from components.export import export
from components.features import features
from components.ingest import ingest
from components.package import package
from components.train import train

RUN_ID = dsl.PIPELINE_JOB_ID_PLACEHOLDER


def training_pipeline(
    name: str,
    title: str,
    family: str,
    config: dict[str, Any],
    resources: dict[str, str],
    code_version: str,
) -> Any:
    """The training pipeline of a family, with its name and config as the defaults a person can
    edit."""
    default_config, default_family, default_code = (
        json.loads(json.dumps(config)),
        family,
        code_version,
    )

    @dsl.pipeline(
        name=f"{name}-training",
        display_name=f"{title}: training",
        description=f"Trains, judges, exports and registers a model ({title}).",
    )
    def pipeline(
        family: str = default_family,
        config: dict = default_config,
        data_rev: str = "",
        nodes: int = 1,
        gpus_per_node: int = 0,
        cpu: str = resources["cpu"],
        memory: str = resources["memory"],
        code_version: str = default_code,
    ):
        """Trains, judges, exports and registers a model.

        Args:
            family: Which family to train: its name, or package.module:entry of your own.
            config: The family's settings; fields that you leave out keep their defaults.
            data_rev: Git revision of the data; empty takes the one in the config.
            nodes: Machines that train together.
            gpus_per_node: GPUs on each of them; 0 trains on CPUs.
            cpu: CPUs of each step; the nodes of a job on several machines have cluster.cpu of the
                config.
            memory: Memory of each step; the nodes of a job on several machines have cluster.memory
                of the config.
            code_version: Part of every step's cache key; filled when the pipeline is compiled.
        """
        common = {
            "family": family,
            "config": config,
            "code_version": code_version,
            "run_id": RUN_ID,
        }
        data = ingest(
            **common, data_rev=data_rev, nodes=nodes, gpus_per_node=gpus_per_node
        ).set_caching_options(False)
        table = features(**common, dataset=data.outputs["dataset"])
        fitted = train(
            **common, nodes=nodes, gpus_per_node=gpus_per_node, features=table.outputs["features"]
        )
        fitted.set_accelerator_type(data.outputs["gpu_resource"]).set_accelerator_limit(
            data.outputs["gpus"]
        )
        kubernetes.empty_dir_mount(
            fitted,
            "shm",
            "/dev/shm",
            medium="Memory",
            size_limit=resources["shm"],
        )
        pair = {"features": table.outputs["features"], "model": fitted.outputs["model"]}
        judged = evaluate(**common, **pair)
        compiled = export(**common, **pair).after(judged)
        built = package(
            **common,
            **pair,
            evaluation=judged.outputs["evaluation"],
            graphs=compiled.outputs["graphs"],
        )
        placed = deploy(
            **common, package=built.outputs["package"], features=table.outputs["features"]
        )
        placed.set_caching_options(False)
        for task in (data, table, fitted, judged, compiled, built, placed):
            provided(task, cpu, memory)

    return pipeline
