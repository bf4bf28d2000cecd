"""The compiled pipelines are the product: the same bytes each time, never stale, and the graph
they should be."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.common import FIRST
from modelyard.family import load, names
from modelyard.pipeline.pipelines import (
    COMPONENTS,
    GENERIC,
    KINDS,
    ORDER,
    compile_pipeline,
    generic,
    of_family,
)
from modelyard.stages import STAGES, TRAINING
from tests.pipeline.driver import documents

FOLDER = Path("pipelines/compiled")
FILES = [(name, kind) for name in (None, *names()) for kind in KINDS]


def spec(path: Path) -> tuple[dict, dict]:
    """The pipeline and its platform settings."""
    first, *rest = documents(path)
    return first, rest[0] if rest else {}


@pytest.mark.parametrize("kind", KINDS)
def test_the_committed_pipeline_is_not_stale(compiled, kind):
    assert generic(kind).read_bytes() == compiled[None, kind].read_bytes(), "type: make compile"


def test_processes_that_compile_the_same_at_once_do_not_meet(tmp_path):
    file = tmp_path / "tabular-training.yaml"
    with ThreadPoolExecutor(3) as pool:
        done = [pool.submit(compile_pipeline, "tabular", "training", file) for _ in range(3)]
        for one in done:
            one.result()
    alone = compile_pipeline("tabular", "training", tmp_path / "alone.yaml")
    assert file.read_bytes() == alone.read_bytes()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [alone.name, file.name]


def test_only_the_generic_pipelines_and_the_components_are_committed():
    listed = subprocess.run(
        ["git", "ls-files", str(FOLDER)], capture_output=True, text=True, check=True
    ).stdout.split()
    generic = [f"{FOLDER}/{GENERIC}-{kind}.yaml" for kind in KINDS]
    components = [f"{FOLDER}/components/{name}.yaml" for name in COMPONENTS]
    assert sorted(listed) == sorted([*generic, *components])


def test_compiling_in_another_process_with_other_hashes_gives_the_same_bytes(compiled, tmp_path):
    command = [sys.executable, "-m", "modelyard", "compile", names()[0], "--into", str(tmp_path)]
    subprocess.run(
        command, check=True, env={**os.environ, "PYTHONHASHSEED": "1234"}, capture_output=True
    )
    for kind in KINDS:
        path = compiled[names()[0], kind]
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(("name", "kind"), FILES)
def test_every_pipeline_loads_again_with_the_parameters_of_the_page(compiled, name, kind):
    from kfp import components

    loaded = components.load_component_from_file(str(compiled[name, kind]))
    inputs = loaded.component_spec.inputs
    own = {"trials", "fixed", "register"} if kind == "tuning" else {"nodes"}
    asked = {"family", "data", "target", "model", "name", "cpu", "memory", "image", "settings"}
    if name and "target" not in load(name).Config.shortcuts:
        asked.remove("target")
    assert set(inputs) == asked | {"gpus_per_node"} | own
    assert inputs["settings"].default == {}
    described = spec(compiled[name, kind])[0]["root"]["inputDefinitions"]["parameters"]
    assert all(parameter["description"] for parameter in described.values())
    if name:
        assert inputs["family"].default == name


@pytest.mark.parametrize("name", [None, *names()])
def test_the_training_graph_has_every_stage_behind_the_stages_it_reads(compiled, name):
    pipeline, platform = spec(compiled[name, "training"])
    tasks = pipeline["root"]["dag"]["tasks"]
    makers = {output: stage.name for stage in TRAINING for output in stage.outputs}
    assert set(tasks) == {"prepare"} | {stage.name for stage in TRAINING}
    for stage in TRAINING:
        given = tasks[stage.name]["inputs"]["parameters"]["settings"]["taskOutputParameter"]
        assert given == {"outputParameterKey": stage.name, "producerTask": "prepare"}
        artifacts = tasks[stage.name].get("inputs", {}).get("artifacts", {})
        sources = {key: value["taskOutputArtifact"] for key, value in artifacts.items()}
        assert {key: source["producerTask"] for key, source in sources.items()} == {
            key: makers[key] for key in stage.inputs
        }
        assert all(source["outputArtifactKey"] == key for key, source in sources.items())
    cached = {task: bool(body["cachingOptions"].get("enableCache")) for task, body in tasks.items()}
    assert cached == {name: name not in ("prepare", "deploy") for name in tasks}
    train = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-train"]
    assert train["emptyDirMounts"][0]["mountPath"] == "/dev/shm"
    accelerator = pipeline["deploymentSpec"]["executors"]["exec-train"]["container"]["resources"][
        "accelerator"
    ]
    assert accelerator == {
        "resourceCount": "{{$.inputs.parameters['pipelinechannel--prepare-gpus']}}",
        "resourceType": "{{$.inputs.parameters['pipelinechannel--prepare-gpu_resource']}}",
    }


@pytest.mark.parametrize("name", [None, *names()])
def test_the_monitoring_graph_trains_again_only_when_the_verdict_says_so(compiled, name):
    pipeline, _ = spec(compiled[name, "monitoring"])
    tasks = pipeline["root"]["dag"]["tasks"]
    (condition,) = set(tasks) - {"prepare", "monitor"}
    assert "monitor" in tasks[condition]["dependentTasks"]
    assert "== true" in tasks[condition]["triggerPolicy"]["condition"]
    inner = pipeline["components"][tasks[condition]["componentRef"]["name"]]["dag"]["tasks"]
    (training,) = inner.values()
    steps = pipeline["components"][training["componentRef"]["name"]]["dag"]["tasks"]
    assert set(steps) == {"prepare"} | {stage.name for stage in TRAINING}


@pytest.mark.parametrize(("name", "kind"), FILES)
def test_no_step_installs_a_package_and_every_step_has_bounds(compiled, name, kind):
    pipeline, _ = spec(compiled[name, kind])
    for executor in pipeline["deploymentSpec"]["executors"].values():
        container = executor["container"]
        assert "pip install" not in " ".join(container["command"])
        memory = container["resources"]["resourceMemoryLimit"]
        assert memory == FIRST["memory"] or memory.endswith("memory']}}"), memory
        assert (
            container["resources"]["resourceMemoryRequest"]
            == container["resources"]["resourceMemoryLimit"]
        )
    defaults = pipeline["root"]["inputDefinitions"]["parameters"]
    assert [defaults[key]["defaultValue"] for key in ("cpu", "memory")] == ["", ""]


@pytest.mark.parametrize(
    ("nodes", "settings", "expected"),
    [
        (1, [], ("", "")),
        (1, ["cluster.cpu=16", "cluster.memory=64Gi"], ("16", "64Gi")),
        (
            2,
            ["cluster.cpu=16", "cluster.memory=64Gi", "cluster.scratch=s3://b/s"],
            ("", ""),
        ),
    ],
)
def test_what_is_submitted_are_parameters_of_the_pipeline_with_the_machine_that_is_asked_for(
    monkeypatch, nodes, settings, expected
):
    from kfp import components

    from modelyard.cli import cluster, options
    from modelyard.pipeline import pipelines

    sent = {}
    monkeypatch.setenv("MODELYARD_IMAGE", "registry.example/toy:1")
    monkeypatch.setattr(pipelines, "connect", lambda host: None)
    monkeypatch.setattr(
        pipelines, "submit", lambda client, file, arguments, **_: sent.update(arguments, file=file)
    )
    family = "tests.toy.family:Line"
    cluster.submit_pipeline(
        family,
        options.settings(family, assignments=settings),
        host=None,
        nodes=nodes,
        gpus=0,
        experiment="x",
        kind="training",
        follow=False,
        cache=True,
    )
    file = sent.pop("file")
    assert (sent["cpu"], sent["memory"]) == expected
    fields = set(components.load_component_from_file(str(file)).component_spec.inputs)
    assert set(sent) == fields - {"image"}  # the pipeline's own


def test_steps_and_stages_have_the_same_inputs_and_outputs():
    pipeline, _ = spec(FOLDER / "generic-monitoring.yaml")
    shown_beside = {"metrics", "curves", "card", "report"}
    for stage in STAGES.values():
        component = pipeline["components"][f"comp-{stage.name}"]
        assert (
            set(component.get("inputDefinitions", {}).get("artifacts", {}))
            == set(stage.inputs) - stage.optional
        )
        assert set(component["outputDefinitions"]["artifacts"]) - shown_beside == set(stage.outputs)


def test_a_familys_own_pipeline_is_compiled_once_for_each_version_of_the_code(
    compiled, tmp_path, monkeypatch
):
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path))
    found = of_family(names()[0], "training")
    assert found.read_bytes() == compiled[names()[0], "training"].read_bytes()
    found.write_text("kept")
    assert of_family(names()[0], "training").read_text() == "kept"
    monkeypatch.setenv("MODELYARD_IMAGE", "registry.example/team/trainer:7")
    found = spec(of_family(names()[0], "training"))[0]
    proposed = found["root"]["inputDefinitions"]["parameters"]["image"]["defaultValue"]
    assert proposed == "registry.example/team/trainer:7"
    assert of_family("tests.toy.family:Line", "training").is_file()


def test_the_first_step_says_what_gpus_the_training_steps_own_pod_asks_for(tmp_path):
    step = (
        "from components import prepare as module\n"
        "prepare = module.prepare = module.prepare.python_func  # the plain function, as in a pod\n"
        "for nodes in (1, 2):\n"
        "    made = prepare(family='tests.toy.family:Line', data='', target='', model='', name='',\n"
        "        settings={'cluster': {'gpu_resource': 'amd.com/gpu'}}, nodes=nodes, gpus_per_node=4, image='i:1')\n"
        "    print(repr(made.gpus), repr(made.gpu_resource), made.train['image'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", step], check=True, capture_output=True, text=True, cwd=Path.cwd()
    )
    assert done.stdout.splitlines() == ["'4' 'amd.com/gpu' i:1", "'0' 'amd.com/gpu' i:1"]


def test_the_named_order_is_that_of_the_stages():
    assert [stage.name for stage in TRAINING] == list(ORDER)
