"""ingest as a Kubeflow Pipelines component."""

from kfp import dsl

from components.common import component


@component
def ingest(family: str, config: dict, code_version: str, run_id: str, data_rev: str, dataset: dsl.Output[dsl.Dataset]):
    """Fetches the data at a stated revision, verifies its sums, records where it came from."""
    from modelyard.launch.step import run_step

    run_step("ingest", family, config, run_id, data_rev=data_rev, outputs={"dataset": dataset})
