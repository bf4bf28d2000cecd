"""train as a Kubeflow Pipelines component."""

from kfp import dsl

from components.common import component


@component
def train(
    family: str,
    config: dict,
    code_version: str,
    run_id: str,
    nodes: int,
    gpus_per_node: int,
    features: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
):
    """Trains the model; the validation split decides when to stop."""
    from modelyard.pipeline.step import run_step

    run_step(
        "train",
        family,
        config,
        run_id,
        nodes=nodes,
        gpus_per_node=gpus_per_node,
        inputs={"features": features},
        outputs={"model": model},
    )
