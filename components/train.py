"""train as a Kubeflow Pipelines component."""

from kfp import dsl

from components.common import component


@component
def train(
    settings: dict,
    features: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
):
    """Trains the model; the validation split decides when to stop.

    Args:
        settings: What prepare hands this step.
        features: What features wrote.

    Returns:
        model: The trained model, not yet exported.
    """
    from modelyard.pipeline.step import run_step

    run_step("train", settings, inputs={"features": features}, outputs={"model": model})
