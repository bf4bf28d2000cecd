"""prepare as a Kubeflow Pipelines component."""

from typing import NamedTuple

from components.common import component


# The outputs stand in the signature: only it and the body reach the step.
@component
def prepare(
    family: str,
    data: str = "",
    target: str = "",
    model: str = "",
    name: str = "",
    settings: dict = {},  # noqa: B006 - a default of the page
    nodes: int = 1,
    gpus_per_node: int = 0,
    image: str = "",
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
    step's own pod.

    Args:
        family: Which family: its name, or package.module:entry of your own.
        data: Where the data are: s3://…, gs://…, git+https://…#PATH; empty takes the built-in
            sample.
        target: Column to predict, where the family has one.
        model: Kind of model; empty takes the family's own choice.
        name: Under which name the model is registered; empty: after family and data.
        settings: All other settings, as modelyard families FAMILY lists them.
        nodes: Machines that train together.
        gpus_per_node: GPUs on each of them; 0 trains on CPUs.
        image: Image of the nodes of a training job; empty takes that of the training step.

    Returns:
        ingest: What ingest reads.
        features: What features reads.
        train: What train reads.
        evaluate: What evaluate reads.
        export: What export reads.
        package: What package reads.
        deploy: What deploy reads.
        monitor: What monitor reads.
        search: What the steps of a search read.
        gpus: GPUs of the training step's own pod, as its limit takes them.
        gpu_resource: Name of that resource, such as nvidia.com/gpu.
    """
    from collections import namedtuple

    from modelyard.pipeline.form import prepare

    fields = {"data": data, "target": target, "model": model, "name": name}
    made = prepare(family, fields, settings, nodes, gpus_per_node, image)
    return namedtuple("Prepared", made)(**made)
