"""Is the champion's traffic still like its test data? When it is not, the training pipeline runs
inside."""

import json
from typing import Any

from kfp import dsl

from components.common import provided
from components.monitor import monitor
from pipelines.training import RUN_ID, training_pipeline


def monitoring_pipeline(
    name: str,
    title: str,
    family: str,
    config: dict[str, Any],
    resources: dict[str, str],
    code_version: str,
) -> Any:
    """The monitoring pipeline of a family: run it on a schedule."""
    training = training_pipeline(name, title, family, config, resources, code_version)
    default_config, default_family, default_code = (
        json.loads(json.dumps(config)),
        family,
        code_version,
    )

    @dsl.pipeline(
        name=f"{name}-monitoring",
        display_name=f"{title}: monitoring",
        description=f"Watches served traffic for drift and trains again when there is some ({title}).",
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
        """Watches served traffic for drift; trains again when there is some.

        Args:
            family: Which family to watch: its name, or package.module:entry of your own.
            config: The family's settings; `monitor` says what counts as drift, the rest is for
                training again.
            data_rev: Git revision of the data to train on; empty takes the one in the config.
            nodes: Machines that train together.
            gpus_per_node: GPUs on each of them; 0 trains on CPUs.
            cpu: CPUs of each step that trains again; nodes of a job on several machines have
                cluster.cpu of the config.
            memory: Memory of such a step; nodes of a job on several machines have cluster.memory of
                the config.
            code_version: Part of every step's cache key; filled when the pipeline is compiled.
        """
        watch = monitor(family=family, config=config, code_version=code_version, run_id=RUN_ID)
        provided(watch, "1", "4Gi").set_caching_options(False)
        with dsl.If(watch.outputs["Output"] == True, name="drifted"):  # noqa: E712
            training(
                family=family,
                config=config,
                data_rev=data_rev,
                nodes=nodes,
                gpus_per_node=gpus_per_node,
                cpu=cpu,
                memory=memory,
                code_version=code_version,
            )

    return pipeline
