"""trial as a Kubeflow Pipelines component."""

from kfp import dsl

from components.common import component


@component
def trial(
    settings: dict,
    gpus: str,
    gpu_resource: str,
    cpu: str,
    memory: str,
    image: str,
    proposal: str,
    dataset: dsl.Input[dsl.Dataset],
    features: dsl.Input[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Trains with the proposed settings and judges on the validation split.

    The pod's image and sizes are inputs because the compiler hands a loop only what its steps take.
    """
    from pathlib import Path

    from modelyard.tuning import batch

    with batch.plainly():
        result = batch.trial(
            settings["family"],
            settings["config"],
            proposal,
            Path(dataset.path),
            Path(features.path),
            int(gpus),
        )
    for name, value in batch.figures(result).items():
        metrics.log_metric(name, value)
    return result
