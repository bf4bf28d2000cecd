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
    gpus: dsl.OutputPath(int),
):
    """Fetches the data at a stated revision, verifies its sums, records where it came from.

    `gpus` are those of the training step's own pod: none where the pods of a TrainJob have them.
    """
    from pathlib import Path

    from modelyard.launch.step import run_step

    run_step("ingest", family, config, run_id, data_rev=data_rev, outputs={"dataset": dataset})
    Path(gpus).write_text(str(gpus_per_node if nodes == 1 else 0))
