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
    cpu: str = "",
    memory: str = "",
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
        ("ingest_cpu", str),
        ("ingest_memory", str),
        ("features_cpu", str),
        ("features_memory", str),
        ("train_cpu", str),
        ("train_memory", str),
        ("evaluate_cpu", str),
        ("evaluate_memory", str),
        ("export_cpu", str),
        ("export_memory", str),
        ("package_cpu", str),
        ("package_memory", str),
        ("deploy_cpu", str),
        ("deploy_memory", str),
        ("monitor_cpu", str),
        ("monitor_memory", str),
        ("search_cpu", str),
        ("search_memory", str),
    ],
):
    """Reads the form once and hands each step what it reads, and its pod what it asks for; the GPUs
    are those of the training step's own pod.

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
        cpu: CPUs of each step; empty: what the family says of each.
        memory: Memory of each step; empty: what the family says of each.

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
        ingest_cpu: CPUs of the pod of ingest.
        ingest_memory: Memory of the pod of ingest.
        features_cpu: CPUs of the pod of features.
        features_memory: Memory of the pod of features.
        train_cpu: CPUs of the pod of train.
        train_memory: Memory of the pod of train.
        evaluate_cpu: CPUs of the pod of evaluate.
        evaluate_memory: Memory of the pod of evaluate.
        export_cpu: CPUs of the pod of export.
        export_memory: Memory of the pod of export.
        package_cpu: CPUs of the pod of package.
        package_memory: Memory of the pod of package.
        deploy_cpu: CPUs of the pod of deploy.
        deploy_memory: Memory of the pod of deploy.
        monitor_cpu: CPUs of the pod of monitor.
        monitor_memory: Memory of the pod of monitor.
        search_cpu: CPUs of the pods around trials.
        search_memory: Memory of the pods around trials.
    """
    from modelyard.pipeline import form

    fields = {"data": data, "target": target, "model": model, "name": name}
    made = form.prepare(family, fields, settings, nodes, gpus_per_node, image, cpu, memory)
    # A newer image may hand out more than this pipeline was compiled for.
    outputs = prepare.__annotations__["return"]
    return outputs(**{field: made[field] for field in outputs._fields})
