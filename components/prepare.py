"""prepare as a Kubeflow Pipelines component."""

from typing import NamedTuple

from components.common import component


# The outputs stand in the signature: only it and the body reach the step.
@component
def prepare(
    family: str,
    data: str,
    target: str,
    model: str,
    name: str,
    settings: dict,
    nodes: int,
    gpus_per_node: int,
    image: str,
) -> NamedTuple(
    "Prepared",
    [
        ("ingest", dict),
        ("features", dict),
        ("train", dict),
        ("evaluate", dict),
        ("export", dict),
        ("package", dict),
        ("deploy", dict),
        ("monitor", dict),
        ("search", dict),
        ("gpus", str),
        ("gpu_resource", str),
    ],
):
    """Reads the form once and hands each step what it reads; the GPUs are those of the training
    step's own pod."""
    from collections import namedtuple

    from modelyard.pipeline.form import prepare

    fields = {"data": data, "target": target, "model": model, "name": name}
    made = prepare(family, fields, settings, nodes, gpus_per_node, image)
    return namedtuple("Prepared", made)(**made)
