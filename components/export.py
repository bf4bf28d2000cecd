"""export as a Kubeflow Pipelines component."""

from kfp import dsl

from components.common import component


@component
def export(
    settings: dict,
    features: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    graphs: dsl.Output[dsl.Model],
):
    """Writes the model as ONNX, compares it with the original, measures it.

    Args:
        settings: What prepare hands this step.
        features: What features wrote.
        model: What train wrote.

    Returns:
        graphs: The ONNX variants, and how they compare.
    """
    from modelyard.pipeline.step import run_step

    inputs = {"features": features, "model": model}
    run_step("export", settings, inputs=inputs, outputs={"graphs": graphs})
