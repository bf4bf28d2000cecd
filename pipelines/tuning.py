"""From data to better settings: ingest → features → two rounds of trials → best."""

import json
from typing import Any

from kfp import dsl, kubernetes

from components.best import best
from components.common import provided
from components.features import features
from components.ingest import ingest
from components.suggest import suggest
from components.trial import trial
from pipelines.training import RUN_ID

AT_ONCE = 4
"""Trials at a time. Kubeflow takes it as a constant alone."""


def _round(resources: dict[str, str]) -> Any:
    cpu, memory = resources["cpu"], resources["memory"]

    @dsl.pipeline(name="round", description="Draws settings, tries each, and collects the results.")
    def tuning_round(
        family: str,
        config: dict,
        code_version: str,
        gpus: str,
        gpu_resource: str,
        fixed: list,
        count: int,
        done: list[str],
        dataset: dsl.Input[dsl.Dataset],
        features: dsl.Input[dsl.Dataset],
    ) -> list[str]:
        common = {"family": family, "config": config, "code_version": code_version}
        pair = {"dataset": dataset, "features": features}
        accelerator = {"gpus": gpus, "gpu_resource": gpu_resource}
        proposals = provided(suggest(**common, fixed=fixed, count=count, done=done), cpu, memory)
        with dsl.ParallelFor(proposals.output, parallelism=AT_ONCE) as proposal:
            judged = provided(
                trial(**common, **accelerator, proposal=proposal, **pair), cpu, memory
            )
            judged.set_accelerator_type(gpu_resource).set_accelerator_limit(gpus)
            kubernetes.empty_dir_mount(
                judged,
                "shm",
                "/dev/shm",
                medium="Memory",
                size_limit=resources["shm"],
            )
        return dsl.Collected(judged.output)

    return tuning_round


def tuning_pipeline(
    name: str,
    title: str,
    family: str,
    config: dict[str, Any],
    resources: dict[str, str],
    code_version: str,
) -> Any:
    """The tuning pipeline of a family: the second round is drawn from what the first one found."""
    default_config, default_family, default_code = (
        json.loads(json.dumps(config)),
        family,
        code_version,
    )
    # No parameters, as training has: the compiler hands a loop none that its steps' resources alone
    # ask for.
    cpu, memory, tuning_round = resources["cpu"], resources["memory"], _round(resources)

    @dsl.pipeline(
        name=f"{name}-tuning",
        display_name=f"{title}: tuning",
        description=f"Searches for better settings on the validation split ({title}).",
    )
    def pipeline(
        family: str = default_family,
        config: dict = default_config,
        data_rev: str = "",
        gpus_per_node: int = 0,
        trials: int = 16,
        fixed: list = [],  # noqa: B006 - a default of the page
        code_version: str = default_code,
    ) -> dict:
        """Searches for better settings on the validation split.

        Args:
            family: Which family to tune: its name, or package.module:entry of your own.
            config: Where the search starts; fields that you leave out keep their defaults.
            data_rev: Git revision of the data; empty takes the one in the config.
            gpus_per_node: GPUs of each trial; 0 trains on CPUs.
            trials: Trials in each of two rounds.
            fixed: Settings that stay as they are, such as model.kind.
            code_version: Part of every step's cache key; filled when the pipeline is compiled.
        """
        common = {"family": family, "config": config, "code_version": code_version}
        data = ingest(
            **common, run_id=RUN_ID, data_rev=data_rev, nodes=1, gpus_per_node=gpus_per_node
        )
        provided(data, cpu, memory).set_caching_options(False)
        table = provided(
            features(**common, run_id=RUN_ID, dataset=data.outputs["dataset"]), cpu, memory
        )
        pair = {"dataset": data.outputs["dataset"], "features": table.outputs["features"]}
        accelerator = {name: data.outputs[name] for name in ("gpus", "gpu_resource")}
        given = {**common, **pair, **accelerator, "fixed": fixed, "count": trials}
        first = tuning_round(**given, done=[])
        second = tuning_round(**given, done=first.output)
        found = provided(
            best(**common, fixed=fixed, first=first.output, second=second.output), cpu, memory
        )
        return found.outputs["Output"]

    return pipeline
