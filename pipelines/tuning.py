"""From data to a model with better settings: prepare → ingest → features → two rounds of trials → best,
and a training with what it found."""

from typing import Any

from kfp import dsl

from components.best import best
from components.common import FIRST, IMAGE, computing, provided, sized
from components.features import features
from components.form import without
from components.ingest import ingest
from components.prepare import prepare
from components.suggest import suggest
from components.trial import trial
from pipelines.training import training_pipeline

AT_ONCE = 4
"""Trials at a time. Kubeflow takes it as a constant alone."""


def _round(shm: str) -> Any:
    @dsl.pipeline(name="round", description="Draws settings, tries each, and collects the results.")
    def tuning_round(
        search: dict,
        gpus: str,
        gpu_resource: str,
        cpu: str,
        memory: str,
        search_cpu: str,
        search_memory: str,
        image: str,
        fixed: list,
        count: int,
        done: list[str],
        dataset: dsl.Input[dsl.Dataset],
        features: dsl.Input[dsl.Dataset],
    ) -> list[str]:
        pair = {"dataset": dataset, "features": features}
        size = {
            "gpus": gpus,
            "gpu_resource": gpu_resource,
            "cpu": cpu,
            "memory": memory,
            "image": image,
        }
        drawn = suggest(settings=search, fixed=fixed, count=count, done=done)
        proposals = provided(drawn, search_cpu, search_memory, image)
        with dsl.ParallelFor(proposals.output, parallelism=AT_ONCE) as proposal:
            judged = trial(settings=search, **size, proposal=proposal, **pair)
            provided(judged, cpu, memory, image)
            computing(judged, gpus, gpu_resource, shm)
        return dsl.Collected(judged.outputs["Output"])

    return tuning_round


def tuning_pipeline(name: str, title: str, family: str, shm: str, lacks: tuple[str, ...]) -> Any:
    """The tuning pipeline of a family: the second round is drawn from what the first one found."""
    training = training_pipeline(name, title, family, shm, lacks)
    default_family, tuning_round = family, _round(shm)

    def pipeline(
        family: str = default_family,
        data: str = "",
        target: str = "",
        model: str = "",
        name: str = "",
        gpus_per_node: int = 0,
        cpu: str = "",
        memory: str = "",
        image: str = IMAGE,
        trials: int = 16,
        register: bool = True,
        fixed: list = [],  # noqa: B006 - a default of the page
        settings: dict = {},  # noqa: B006 - a default of the page
    ) -> dict:
        """Searches for better settings on the validation split, and trains with the best.

        Args:
            family: Which family to tune: its name, or package.module:entry of your own.
            data: Where the data are: s3://…, gs://…, git+https://…#PATH; empty takes the built-in
                sample.
            target: Column to predict, where the family has one.
            model: Kind of model with which the search starts.
            name: Under which name models are registered; empty: after family and data.
            gpus_per_node: GPUs of each trial; 0 trains on CPUs.
            cpu: CPUs of each step and trial; empty: what the family says of each.
            memory: Memory of each step and trial; empty: what the family says of each.
            trials: Trials in each of two rounds: twice as many in all.
            register: Whether the best settings are trained, judged on the test split and registered
                at the end, as the training pipeline does.
            fixed: Settings that stay as they are, such as model.kind.
            image: Image of the steps and of the nodes of a training job; it holds modelyard.
            settings: All other settings, where the search starts; what is left out keeps its
                default.
        """
        given = prepare(
            family=family,
            data=data,
            target=target,
            model=model,
            name=name,
            settings=settings,
            nodes=1,
            gpus_per_node=gpus_per_node,
            image=image,
            cpu=cpu,
            memory=memory,
        )
        read = provided(given, **FIRST, image=image).set_caching_options(False).outputs
        found = _search(read, tuning_round, fixed, trials, image)
        with dsl.If(register == True, name="register"):  # noqa: E712
            training(
                family=family,
                settings=found.outputs["Output"],
                nodes=1,
                gpus_per_node=gpus_per_node,
                cpu=cpu,
                memory=memory,
                image=image,
            )
        return found.outputs["Output"]

    page = dsl.pipeline(
        name=f"{name}-tuning",
        display_name=f"{title}: tuning",
        description=f"Searches for better settings on the validation split and trains with the best ({title}).",
    )
    return page(without(pipeline, lacks))


def _search(read: Any, tuning_round: Any, fixed: Any, trials: Any, image: Any) -> dsl.PipelineTask:
    """Data, two rounds of trials, and the best of both; `read` is what prepare gives."""
    raw = provided(ingest(settings=read["ingest"]), **sized(read, "ingest"), image=image)
    table = features(settings=read["features"], dataset=raw.outputs["dataset"])
    provided(table, **sized(read, "features"), image=image)
    asked = {
        "search": read["search"],
        "gpus": read["gpus"],
        "gpu_resource": read["gpu_resource"],
        **sized(read, "train"),
        "search_cpu": read["search_cpu"],
        "search_memory": read["search_memory"],
        "image": image,
        "fixed": fixed,
        "count": trials,
        "dataset": raw.outputs["dataset"],
        "features": table.outputs["features"],
    }
    first = tuning_round(**asked, done=[])
    second = tuning_round(**asked, done=first.output)
    found = best(settings=read["search"], fixed=fixed, first=first.output, second=second.output)
    provided(found, **sized(read, "search"), image=image)
    return found
