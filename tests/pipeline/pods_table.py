"""The table of all pods in docs/pods.md: what each step of each compiled pipeline asks for.

python -m tests.pipeline.pods_table    # writes it, after a change of a family's resources
"""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from modelyard.family import load, names
from modelyard.launch.manifest import TrainJobRequest, train_job
from modelyard.pipeline.form import handed
from modelyard.pipeline.pipelines import GENERIC, KINDS, compile_pipelines
from modelyard.settings.cluster import ClusterSettings
from modelyard.settings.family import FamilyConfig
from modelyard.stages.run import Run
from tests.pipeline.driver import pods

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "pods.md"
GPU = ClusterSettings().gpu_resource
FORMS = {"no GPU": (1, 0), "`--gpus 1`": (1, 1), "`--nodes 2 --gpus 4`": (2, 4)}
"""Nodes and GPUs on each of them."""
HEAD = """# What every pod asks for

Written by `python -m tests.pipeline.pods_table`; a test compares it with the pipelines as they
compile today. Resources are resolved as Kubeflow's driver does it: it reads the string of a
parameter or an output, and leaves out any other type.

CPUs are requested; memory is requested and is the limit; the nodes of a TrainJob have limits for
both. `cluster.gpu_resource` says what a GPU is called, `cluster.cpu`, `cluster.memory` and
`cluster.shm` how large a node is. The tuning pipeline trains on one machine, in two rounds. In a
monitoring pipeline the steps other than `monitor` run when there is drift.

| pipeline | form | pods | CPUs | memory | GPUs | /dev/shm |
|---|---|---|---|---|---|---|
"""


def resources(path: Path, nodes: int, gpus: int, config: dict | None = None) -> dict:
    """The pods of a pipeline that was started with these nodes, GPUs and settings."""
    documents = list(yaml.safe_load_all(path.read_text()))
    prepared = handed(Run.of("tests.toy.family:Line", config, nodes=nodes, gpus_per_node=gpus))
    outputs = {("prepare", name): prepared[name] for name in ("gpus", "gpu_resource")}
    asked = {"nodes": nodes, "gpus_per_node": gpus}
    known = documents[0]["root"]["inputDefinitions"]["parameters"]
    given = {name: value for name, value in asked.items() if name in known}
    return pods(documents, given, outputs)


def page(compiled: Mapping[tuple[str | None, str], Path]) -> str:
    """The whole page, from compiled pipelines by family and kind."""
    lines = []
    for (name, kind), path in compiled.items():
        for form, (nodes, gpus) in FORMS.items():
            if kind == "tuning" and nodes > 1:
                continue
            rows = dict[tuple[str, ...], list[str]]()
            for step, amounts in _amounts(path, name, kind, nodes, gpus):
                rows.setdefault(amounts, []).append(step)
            for amounts, steps in rows.items():
                shown = ", ".join(dict.fromkeys(steps))
                cells = [f"{name or GENERIC}-{kind}", form, shown, *amounts]
                lines.append("| " + " | ".join(cells) + " |\n")
    return HEAD + "".join(lines)


def _amounts(
    path: Path, name: str | None, kind: str, nodes: int, gpus: int
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each step, and the nodes of the job that one starts, with what the pod asks for."""
    for step, asked in resources(path, nodes, gpus).items():
        shm = asked["memory_volumes"].get("/dev/shm", "")
        yield step.rsplit("/", 1)[-1], _cells(asked["requests"], asked["limits"], shm)
    if nodes > 1:
        config = load(name).Config if name else FamilyConfig
        request = TrainJobRequest("r", "f", "s3://b/j", nodes, gpus, dict(config.resources))
        job = train_job(request, ClusterSettings(image="any:1"))["spec"]
        asked = job["trainer"]["resourcesPerNode"]
        yield f"{nodes} nodes of the job", _cells(asked["requests"], asked["limits"], _shm(job))


def _cells(requests: dict, limits: dict, shm: str) -> tuple[str, ...]:
    gpus = limits.get(GPU, "0")
    return requests["cpu"], limits["memory"], "" if gpus == "0" else gpus, shm


def _shm(job: dict) -> str:
    (patch,) = job["runtimePatches"]
    (replicated,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    volumes = replicated["template"]["spec"]["template"]["spec"]["volumes"]
    (size,) = (one["emptyDir"]["sizeLimit"] for one in volumes if one["name"] == "shm")
    return str(size)


def main() -> None:
    """Compiles every pipeline and writes the page."""
    with tempfile.TemporaryDirectory() as folder:
        files = {
            (name, kind): Path(folder) / f"{name or GENERIC}-{kind}.yaml"
            for name in (None, *names())
            for kind in KINDS
        }
        compile_pipelines([(*pipeline, file) for pipeline, file in files.items()])
        PAGE.write_text(page(files))


if __name__ == "__main__":
    main()
