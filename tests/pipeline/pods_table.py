"""The table of all pods in docs/pods.md: what each step of each compiled pipeline asks for.

python -m tests.pipeline.pods_table    # writes it, after a change of a family's resources
"""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from modelyard.family import load, names
from modelyard.launch.manifest import TrainJobRequest, train_job
from modelyard.pipeline.form import handed, sized
from modelyard.pipeline.pipelines import GENERIC, KINDS, compile_pipelines
from modelyard.settings.cluster import ClusterSettings
from modelyard.settings.family import FamilyConfig
from modelyard.stages.run import Run
from tests.pipeline.driver import documents, pods

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
both. A family says what each step asks for (`resources` and `sizes` of its config); `cpu` and
`memory` of the form are for every step but `prepare`. `cluster.gpu_resource` says what a GPU is
called, `cluster.cpu`, `cluster.memory` and `cluster.shm` how large a node is. The tuning pipeline
trains on one machine, in two rounds. In a monitoring pipeline the steps other than `prepare` and
`monitor` run when there is drift. A generic pipeline asks for what the family that it is started for
asks for; its rows are those of a family that says nothing.

| pipeline | form | pods | CPUs | memory | GPUs | /dev/shm |
|---|---|---|---|---|---|---|
"""


ANY = "tests.toy.family:Line"
"""Says nothing of its sizes: what a generic pipeline is started for."""


def resources(
    path: Path,
    nodes: int,
    gpus: int,
    config: dict | None = None,
    family: str | None = None,
    **form: str,
) -> dict:
    """The pods of a pipeline that was started with these nodes, GPUs, settings and fields of the
    form."""
    run = Run.of(family or ANY, config, nodes=nodes, gpus_per_node=gpus)
    prepared = handed(run) | sized(run, **form)
    outputs = {("prepare", name): one for name, one in prepared.items() if isinstance(one, str)}
    asked = {"nodes": nodes, "gpus_per_node": gpus, **form}
    compiled = documents(path)
    known = compiled[0]["root"]["inputDefinitions"]["parameters"]
    given = {name: value for name, value in asked.items() if name in known}
    return pods(compiled, given, outputs)


def page(compiled: Mapping[tuple[str | None, str], Path]) -> str:
    """The whole page, from compiled pipelines by family and kind."""
    lines = []
    for (name, kind), path in compiled.items():
        forms = {form: one for form, one in FORMS.items() if kind != "tuning" or one[0] == 1}
        asked = dict[tuple[str, tuple[str, ...]], list[str]]()
        for form, (nodes, gpus) in forms.items():
            for pod in dict.fromkeys(_amounts(path, name, nodes, gpus)):
                asked.setdefault(pod, []).append(form)
        rows = dict[tuple[str, tuple[str, ...]], list[str]]()
        for (step, amounts), where in asked.items():
            form = "any" if len(where) == len(forms) else ", ".join(where)
            rows.setdefault((form, amounts), []).append(step)
        for (form, amounts), steps in rows.items():
            cells = [f"{name or GENERIC}-{kind}", form, ", ".join(steps), *amounts]
            lines.append("| " + " | ".join(cells) + " |\n")
    return HEAD + "".join(lines)


def _amounts(
    path: Path, name: str | None, nodes: int, gpus: int
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each step, and the nodes of the job that one starts, with what the pod asks for."""
    for step, asked in resources(path, nodes, gpus, family=name).items():
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
