"""trial as a Kubeflow Pipelines component."""

from kfp import dsl

from components.common import component


@component
def trial(
    family: str,
    config: dict,
    code_version: str,
    gpus: str,
    gpu_resource: str,
    proposal: str,
    dataset: dsl.Input[dsl.Dataset],
    features: dsl.Input[dsl.Dataset],
) -> str:
    """Trains with the proposed settings and judges on the validation split.

    `gpus` and `gpu_resource` are inputs because the compiler hands a loop only what its steps take.
    """
    from pathlib import Path

    from modelyard.tuning import batch

    with batch.plainly():
        return batch.trial(
            family, config, proposal, Path(dataset.path), Path(features.path), int(gpus)
        )
