"""Is the champion's traffic still like its test data? When it is not, the training pipeline runs
inside."""

from typing import Any

from kfp import dsl

from components.common import FIRST, IMAGE, credentials, provided, sized
from components.form import without
from components.monitor import monitor
from components.prepare import prepare
from modelyard.drift.notify import WEBHOOK
from pipelines.training import training_pipeline


def monitoring_pipeline(
    name: str, title: str, family: str, shm: str, lacks: tuple[str, ...]
) -> Any:
    """The monitoring pipeline of a family: run it on a schedule."""
    training = training_pipeline(name, title, family, shm, lacks)
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
        """Watches served traffic for drift; trains again when there is some.

        Args:
            family: Which family to watch: its name, or package.module:entry of your own.
            data: Where the data to train again on are: s3://…, gs://…, git+https://…#PATH; empty
                takes the built-in sample.
            target: Column to predict, where the family has one.
            model: Kind of model; empty takes the family's own choice.
            name: Name under which the watched model is registered; empty: after family and data.
            nodes: Machines that train together.
            gpus_per_node: GPUs on each of them; 0 trains on CPUs.
            cpu: CPUs of each step; empty: what the family says of each. The nodes of a job on several
                machines have cluster.cpu of the settings.
            memory: Memory of each step; empty: what the family says of each. The nodes of a job on
                several machines have cluster.memory of the settings.
            image: Image of the steps and of the nodes of a training job; it holds modelyard.
            settings: All other settings; monitor says what counts as drift, monitor.log where the
                service writes its log.
        """
        asked = {
            "family": family,
            "data": data,
            "target": target,
            "model": model,
            "name": name,
            "settings": settings,
            "nodes": nodes,
            "gpus_per_node": gpus_per_node,
            "image": image,
        }
        given = prepare(**asked, cpu=cpu, memory=memory).set_caching_options(False)
        read = provided(given, **FIRST, image=image).outputs
        watch = provided(monitor(settings=read["monitor"]), **sized(read, "monitor"), image=image)
        credentials(watch, WEBHOOK).set_caching_options(False)
        with dsl.If(watch.outputs["Output"] == True, name="drifted"):  # noqa: E712
            again = {name: value for name, value in asked.items() if name not in lacks}
            training(**again, cpu=cpu, memory=memory)

    page = dsl.pipeline(
        name=f"{name}-monitoring",
        display_name=f"{title}: monitoring",
        description=f"Watches served traffic for drift and trains again when there is some ({title}).",
    )
    return page(without(pipeline, lacks))
