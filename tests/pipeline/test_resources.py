"""What a cluster gives the pod of each step, as its driver reads the compiled pipelines."""

from pathlib import Path
from typing import ClassVar

import pytest

from components.common import FIRST
from modelyard.family import Entry, names
from modelyard.pipeline.pipelines import KINDS
from tests.pipeline.pods_table import PAGE, page, resources
from tests.toy.family import LineConfig


class SizedConfig(LineConfig):
    resources: ClassVar = {"cpu": "24", "memory": "96Gi", "shm": "1Gi"}
    sizes: ClassVar = {"evaluate": {"cpu": "12", "memory": "24Gi"}}


LINE = "tests.toy.family:LineFamily"
SIZED = Entry("large to train", SizedConfig, build=LINE, host="tests.toy.family:LineHost")
NAMES = [(name, kind) for name in (None, *names()) for kind in KINDS]


def gpus_by_step(
    path: Path, nodes: int, gpus: int, config: dict | None = None
) -> dict[str, dict[str, str]]:
    """Resources other than CPUs and memory, by step; steps that ask for none are left out."""
    found = {}
    for step, asked in resources(path, nodes, gpus, config).items():
        extended = {
            name: count for name, count in asked["limits"].items() if name not in ("cpu", "memory")
        }
        if any(count != "0" for count in extended.values()):
            found[step.rsplit("/", 1)[-1]] = extended
    return found


@pytest.mark.parametrize("key", NAMES)
def test_a_gpu_that_was_asked_for_reaches_the_pod_that_trains(compiled, key):
    path = compiled[key]
    trains = ["trial", "train"] if "tuning" in path.stem else ["train"]
    assert gpus_by_step(path, nodes=1, gpus=0) == {}
    assert gpus_by_step(path, nodes=1, gpus=1) == {step: {"nvidia.com/gpu": "1"} for step in trains}
    slice_of_a_gpu = {"cluster": {"gpu_resource": "nvidia.com/mig-1g.10gb"}}
    found = gpus_by_step(path, 1, 2, slice_of_a_gpu)
    assert found == {step: {"nvidia.com/mig-1g.10gb": "2"} for step in trains}


@pytest.mark.parametrize("key", [key for key in NAMES if key[1] != "tuning"])
def test_the_pod_that_starts_a_job_on_several_nodes_holds_no_gpu(compiled, key):
    assert gpus_by_step(compiled[key], nodes=2, gpus=4) == {}


def test_the_table_of_all_pods_is_what_the_pipelines_of_today_ask_for(compiled):
    assert PAGE.read_text() == page(compiled), "type: python -m tests.pipeline.pods_table"


@pytest.mark.parametrize("key", NAMES)
def test_every_pod_asks_for_cpus_and_for_as_much_memory_as_it_may_take(compiled, key):
    for step, asked in resources(compiled[key], nodes=1, gpus=1).items():
        assert set(asked["requests"]) == {"cpu", "memory"}, step
        assert asked["limits"]["memory"] == asked["requests"]["memory"], step


@pytest.mark.parametrize("kind", KINDS)
def test_every_pod_of_a_small_family_fits_a_node_of_two_cores(compiled, kind):
    for family in ("tabular", None):  # its own pipeline, and the generic one started for it
        for step, asked in resources(compiled[family, kind], 1, 0, family="tabular").items():
            assert asked["requests"]["cpu"] in ("250m", "500m"), step
            assert asked["requests"]["memory"] in ("1Gi", "2Gi"), step


def test_a_family_says_its_sizes_by_stage_and_the_form_goes_over_them(compiled):
    path = compiled[None, "training"]
    found = _memory(resources(path, 1, 0, family="tests.pipeline.test_resources:SIZED"))
    assert (found["train"], found["evaluate"]) == ("96Gi", "24Gi")
    assert found["features"] == "96Gi", "it says nothing of features"
    asked = resources(path, 1, 0, family="tests.pipeline.test_resources:SIZED", memory="7Gi")
    assert set(_memory(asked).values()) == {"7Gi", FIRST["memory"]}
    assert asked["evaluate"]["requests"]["cpu"] == "12", "the form says nothing of CPUs"


def test_the_step_that_follows_a_job_asks_for_little_itself(compiled):
    path = compiled["image", "training"]
    alone, follows = (resources(path, nodes, 1, family="image")["train"] for nodes in (1, 2))
    assert (alone["limits"]["memory"], follows["limits"]["memory"]) == ("8Gi", "2Gi")


def _memory(pods: dict) -> dict[str, str]:
    return {step: asked["limits"]["memory"] for step, asked in pods.items()}
