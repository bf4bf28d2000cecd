"""ingest as a Kubeflow Pipelines component."""

from kfp import dsl

from components.common import component


@component
def ingest(
    family: str,
    config: dict,
    code_version: str,
    run_id: str,
    data_rev: str,
    nodes: int,
    gpus_per_node: int,
    dataset: dsl.Output[dsl.Dataset],
    gpus: dsl.OutputPath(str),
    gpu_resource: dsl.OutputPath(str),
):
    """Fetches the data at a stated revision, verifies its sums, records where it came from.

    `gpus` and `gpu_resource` are those of the training step's own pod: none where the pods of a
    TrainJob have them. Both are strings, since Kubeflow's driver leaves out a resource whose amount
    is any other type.
    """
    from pathlib import Path

    from modelyard.pipeline.step import gpus_of_step, run_step

    run_step("ingest", family, config, run_id, data_rev=data_rev, outputs={"dataset": dataset})
    amount, resource = gpus_of_step(config, nodes, gpus_per_node)
    Path(gpus).write_text(amount)
    Path(gpu_resource).write_text(resource)
