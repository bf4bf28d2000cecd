"""From data to a registered package: prepare → ingest → features → train → evaluate → export → package
→ deploy."""

from typing import Any

from kfp import dsl

from components.common import FIRST, IMAGE, computing, provided, sized
from components.deploy import deploy
from components.evaluate import evaluate
from components.export import export
from components.features import features
from components.form import without
from components.ingest import ingest
from components.package import package
from components.prepare import prepare
from components.train import train


def training_pipeline(name: str, title: str, family: str, shm: str, lacks: tuple[str, ...]) -> Any:
    """The training pipeline of a family, with its name as the default that a person can edit, and
    the size of /dev/shm for the step that trains."""
    default_family = family

    def pipeline(
        family: str = default_family,
        data: str = "",
        target: str = "",
        model: str = "",
        name: str = "",
        nodes: int = 1,
        gpus_per_node: int = 0,
        cpu: str = "",
        memory: str = "",
        image: str = IMAGE,
        settings: dict = {},  # noqa: B006 - a default of the page
    ):
        """Trains, judges, exports and registers a model.

        Args:
            family: Which family to train: its name, or package.module:entry of your own.
            data: Where the data are: s3://…, gs://…, git+https://…#PATH; empty takes the built-in
                sample.
            target: Column to predict, where the family has one.
            model: Kind of model; empty takes the family's own choice.
            name: Under which name the model is registered; empty: after family and data.
            nodes: Machines that train together.
            gpus_per_node: GPUs on each of them; 0 trains on CPUs.
            cpu: CPUs of each step; empty: what the family says of each. The nodes of a job on several
                machines have cluster.cpu of the settings.
            memory: Memory of each step; empty: what the family says of each. The nodes of a job on
                several machines have cluster.memory of the settings.
            image: Image of the steps and of the nodes of a training job; it holds modelyard.
            settings: All other settings, as modelyard families FAMILY lists them; what is left out
                keeps its default.
        """
        given = prepare(
            family=family,
            data=data,
            target=target,
            model=model,
            name=name,
            settings=settings,
            nodes=nodes,
            gpus_per_node=gpus_per_node,
            image=image,
            cpu=cpu,
            memory=memory,
        ).set_caching_options(False)
        provided(given, **FIRST, image=image)
        _steps(given.outputs, shm, image)

    page = dsl.pipeline(
        name=f"{name}-training",
        display_name=f"{title}: training",
        description=f"Trains, judges, exports and registers a model ({title}).",
    )
    return page(without(pipeline, lacks))


def _steps(read: Any, shm: str, image: Any) -> None:
    """All steps behind prepare; `read` is what that one gives."""
    raw = ingest(settings=read["ingest"])
    table = features(settings=read["features"], dataset=raw.outputs["dataset"])
    fitted = train(settings=read["train"], features=table.outputs["features"])
    computing(fitted, read["gpus"], read["gpu_resource"], shm)
    pair = {"features": table.outputs["features"], "model": fitted.outputs["model"]}
    judged = evaluate(settings=read["evaluate"], **pair)
    compiled = export(settings=read["export"], **pair)
    built = package(
        settings=read["package"],
        **pair,
        evaluation=judged.outputs["evaluation"],
        graphs=compiled.outputs["graphs"],
    )
    placed = deploy(
        settings=read["deploy"],
        package=built.outputs["package"],
        features=table.outputs["features"],
    ).set_caching_options(False)
    for task in (raw, table, fitted, judged, compiled, built, placed):
        provided(task, **sized(read, task.name), image=image)
