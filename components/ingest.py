"""ingest as a Kubeflow Pipelines component."""

from kfp import dsl

from components.common import component


@component
def ingest(settings: dict, dataset: dsl.Output[dsl.Dataset]):
    """Fetches the data at a stated revision, verifies its sums, records where it came from.

    Args:
        settings: What prepare hands this step.

    Returns:
        dataset: The data as they are, with their sums.
    """
    from modelyard.pipeline.step import run_step

    run_step("ingest", settings, outputs={"dataset": dataset})
