"""deploy as a Kubeflow Pipelines component."""

from kfp import dsl

from components.common import component


@component
def deploy(
    settings: dict,
    package: dsl.Input[dsl.Model],
    features: dsl.Input[dsl.Dataset],
    deployment: dsl.Output[dsl.Artifact],
):
    """Registers the package; it becomes champion when it beats the one that serves.

    Args:
        settings: What prepare hands this step.
        package: What package wrote.
        features: What features wrote.

    Returns:
        deployment: deployment.json: name, version, and whether it is champion.
    """
    from modelyard.pipeline.step import run_step

    inputs = {"package": package, "features": features}
    run_step("deploy", settings, inputs=inputs, outputs={"deployment": deployment})
