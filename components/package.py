"""package as a Kubeflow Pipelines component."""

from kfp import dsl

from components.common import component


@component
def package(
    settings: dict,
    features: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    graphs: dsl.Input[dsl.Model],
    package: dsl.Output[dsl.Model],
    card: dsl.Output[dsl.HTML],
):
    """Holds the model against its gate and puts together all that serving needs.

    Args:
        settings: What prepare hands this step.
        features: What features wrote.
        model: What train wrote.
        evaluation: What evaluate wrote.
        graphs: What export wrote.

    Returns:
        package: All that a service needs, in one folder.
        card: The page that shows the model.
    """
    from modelyard.pipeline.step import run_step, show_file

    inputs = {"features": features, "model": model, "evaluation": evaluation, "graphs": graphs}
    run_step("package", settings, inputs=inputs, outputs={"package": package})
    show_file(package, "card.html", card)
