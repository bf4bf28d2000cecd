"""features as a Kubeflow Pipelines component."""

from kfp import dsl

from components.common import component


@component
def features(
    settings: dict,
    dataset: dsl.Input[dsl.Dataset],
    features: dsl.Output[dsl.Dataset],
):
    """Splits the data and turns it into model inputs; all that is fitted is fitted on the
    training split.

    Args:
        settings: What prepare hands this step.
        dataset: What ingest wrote.

    Returns:
        features: Training, validation and test split as model inputs.
    """
    from modelyard.pipeline.step import run_step

    run_step(
        "features",
        settings,
        inputs={"dataset": dataset},
        outputs={"features": features},
    )
