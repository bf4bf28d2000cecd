"""Compiling pipelines, finding the compiled ones, running them here or sending them to a
cluster."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.errors import MissingExtra, Unavailable, UsageError
from modelyard.home import IMAGE, home, is_installed, slug, source_root
from modelyard.pipeline.warm import import_kfp_local

if TYPE_CHECKING:
    from kfp import Client
    from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

GENERIC = "generic"
FOLDER = source_root() / "pipelines" / "compiled"
"""The compiled pipelines of this checkout or installation."""
ORDER = ("ingest", "features", "train", "evaluate", "export", "package", "deploy")
"""The stages of a training. Named here: importing them would take longer than to start all steps."""
KINDS = ("training", "monitoring", "tuning")
COMPONENTS = ("prepare", *ORDER, "monitor")
"""The steps that pipelines of other people may hold, as YAML in the folder `components`."""
ADVICE = "Type: modelyard submit --host http://HOST:PORT, or set KFP_HOST (and KFP_TOKEN)"
"""What to do where Kubeflow Pipelines does not answer a command."""


def generic(kind: str) -> Path:
    """The compiled pipeline that takes any family by its name."""
    return FOLDER / f"{GENERIC}-{kind}.yaml"


def of_family(family: str, kind: str) -> Path:
    """The pipeline of a family; compiled where this code has not done it yet."""
    (file,) = of_families([(family, kind)])
    return file


def of_families(wanted: Sequence[tuple[str, str]]) -> list[Path]:
    """The pipelines of families, each by family and kind. What is missing is compiled in one
    process, which takes longer to start than to compile one.

    An installation cannot change under its own pipelines; in a checkout they are looked for by the
    code's version.
    """
    files = []
    missing = []
    for family, kind in wanted:
        file = _place(family, kind)
        files.append(file)
        if not file.is_file():
            missing.append((family, kind, file))
    if missing:
        compile_pipelines(missing)
    return files


def _place(family: str, kind: str) -> Path:
    packaged = FOLDER / f"{slug(family)}-{kind}.yaml"
    if is_installed() and packaged.is_file():
        return packaged
    from modelyard.family import load
    from modelyard.stages.run import code_version

    version = f"{code_version(load(family))}-{_recipe()}"
    return home() / "pipelines" / version / f"{slug(family)}-{kind}.yaml"


def _recipe() -> str:
    """Changes with what pipelines are compiled by: their own code, and the image of their steps."""
    found = hashlib.sha256(os.environ.get(IMAGE, "").encode())
    for folder in ("components", "pipelines"):
        for file in sorted((source_root() / folder).glob("*.py")):
            found.update(file.read_bytes())
    return found.hexdigest()[:12]


def compile_pipeline(family: str | None, kind: str, target: Path) -> Path:
    """Writes a pipeline's YAML: of a family, or the generic one for None. The same code gives
    the same bytes."""
    compile_pipelines([(family, kind, target)])
    return target


def compile_pipelines(
    wanted: Sequence[tuple[str | None, str, Path]], image: str | None = None
) -> None:
    """Writes several: family (None: the generic one), kind and file of each; their forms propose
    `image`, else MODELYARD_IMAGE, else modelyard's own.

    A process of its own builds them, from the folder of pipelines that stands beside this package
    or in the wheel.

    Raises:
        MissingExtra: kfp is not installed.
        UsageError: no such family.
    """
    described = []
    for family, kind, file in wanted:
        described.append(_described(family) | {"kind": kind, "target": str(file)})
    _compile(described, image)


def compile_components(folder: Path, image: str | None = None) -> list[Path]:
    """Writes the YAML of each component into a folder, for pipelines of other people.

    Raises:
        MissingExtra: kfp is not installed.
    """
    files = {name: folder / f"{name}.yaml" for name in COMPONENTS}
    _compile([{"kind": name, "target": str(file)} for name, file in files.items()], image)
    return list(files.values())


def _compile(wanted: Sequence[dict[str, Any]], image: str | None) -> None:
    _import_kfp()
    paths = [str(source_root())]
    if os.environ.get("PYTHONPATH"):
        paths.append(os.environ["PYTHONPATH"])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    if image:
        environment[IMAGE] = image
    done = subprocess.run(
        [sys.executable, "-m", "pipelines"],
        cwd=source_root(),
        env=environment,
        input="\n".join(map(json.dumps, wanted)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the pipelines do not compile:\n{done.stderr}")


def _described(family: str | None) -> dict[str, Any]:
    """What a pipeline holds of a family, as JSON: its name, the size of /dev/shm, and which fields of
    the form it has no use for."""
    from modelyard.family import load
    from modelyard.pipeline.form import FIELDS, path_of
    from modelyard.settings.family import FamilyConfig

    if family is None:
        any_family = {"name": "modelyard", "title": "Any family", "family": ""}
        return any_family | {"shm": FamilyConfig.resources["shm"], "lacks": []}
    entry = load(family)
    return {
        "name": f"modelyard-{slug(family)}",
        "title": f"{slug(family)} ({entry.title})",
        "family": family,
        "shm": entry.Config.resources["shm"],
        "lacks": [field for field in FIELDS if path_of(entry, field) is None],
    }


def run_here(pipeline: Path, root: Path, arguments: dict[str, Any]) -> None:
    """Runs a compiled pipeline on this machine, its steps as processes, their artifacts below
    `root`.

    Raises:
        RuntimeError: a step failed; its own words are in the run's events and log.
    """
    try:
        kfp = import_kfp_local()
    except ImportError:
        raise MissingExtra("running a pipeline", "pipeline") from None
    kfp.local.init(kfp.local.SubprocessRunner(use_venv=False), pipeline_root=str(root))
    kfp.local.subprocess_task_handler.replace_python_executable = _with_this_python
    logging.getLogger().setLevel(logging.INFO)
    loaded = kfp.components.load_component_from_file(str(pipeline))
    _without_settings_of_pods(loaded.component_spec.implementation.graph)
    _in_order(loaded.component_spec.implementation.graph)
    loaded(**arguments)


SCRIPT = 2
"""Place of the shell's script in a step's command; behind it stand code and arguments."""


def _with_this_python(command: Sequence[str], python: str) -> list[str]:
    """A step's command with this interpreter. kfp.local's own function, which this is in place of,
    has no public one: it replaces `python3` in arguments too, and with it in the name of a
    folder."""
    # Up to the script: code and arguments are a person's.
    script = [part.replace("python3", python) for part in command[: SCRIPT + 1]]
    return [*script, *command[SCRIPT + 1 :]]


def _without_settings_of_pods(graph: PipelineSpec) -> None:
    """Removes what is for the pods of a cluster: the image that they run, which no process here
    does, and the retries of every task. They are for pods that are lost; kfp.local would repeat a
    step that failed here, after the same long pauses."""
    for component in (graph.root, *graph.components.values()):
        for task in component.dag.tasks.values():
            task.ClearField("retry_policy")
    executors = graph.deployment_spec.fields["executors"].struct_value
    for executor in executors.fields.values():
        executor.struct_value.fields["container"].struct_value.fields.pop("env", None)


def _in_order(graph: PipelineSpec) -> None:
    """Makes each training stage follow the one before it: here one step runs at a time, and kfp.local
    would choose among those that may run side by side by chance."""
    for component in (graph.root, *graph.components.values()):
        tasks = component.dag.tasks
        names = [name for name in ORDER if name in tasks]
        for earlier, later in itertools.pairwise(names):
            if earlier not in tasks[later].dependent_tasks:
                tasks[later].dependent_tasks.append(earlier)


def with_image(pipeline: Path, image: str) -> list[Any]:
    """The documents of a compiled pipeline whose form proposes an image."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    spec, *rest = yaml.load_all(pipeline.read_text(), loader)
    spec["root"]["inputDefinitions"]["parameters"]["image"]["defaultValue"] = image
    return [spec, *rest]


def connect(host: str | None, advice: str = ADVICE) -> Client:
    """A client of a Kubeflow Pipelines host: `host`, KFP_HOST, or the one inside the cluster.

    Raises:
        Unavailable: nothing answers there; the message ends with `advice`.
    """
    kfp = _import_kfp()
    address = host or os.environ.get("KFP_HOST")
    token = os.environ.get("KFP_TOKEN")
    try:
        client = kfp.Client(host=address, existing_token=token)
        client.get_kfp_healthz(sleep_duration=0)
    except Exception as error:
        cause = _lines_of(error)[0][:160]
        where = address or "the cluster of this kubeconfig"
        raise Unavailable(
            f"Kubeflow Pipelines does not answer at {where}: {cause}. {advice}"
        ) from None
    return client


def submit(
    client: Client,
    pipeline: Path,
    arguments: dict[str, Any],
    *,
    name: str,
    experiment: str,
    cache: bool,
) -> str:
    """Starts a compiled pipeline on a cluster; returns the run's id."""
    try:
        run = client.create_run_from_pipeline_package(
            str(pipeline),
            arguments=arguments,
            run_name=name,
            experiment_name=experiment,
            enable_caching=cache,
        )
    except Exception as error:
        # An answer of its server ends with the body, which says what is wrong.
        cause = _lines_of(error)[-1][:300]
        raise UsageError(f"Kubeflow Pipelines refused the run: {cause}") from None
    return str(run.run_id)


def _lines_of(error: Exception) -> list[str]:
    """What an exception says; its name where it says nothing."""
    return str(error).strip().splitlines() or [type(error).__name__]


def _import_kfp() -> Any:
    try:
        import kfp
        import kfp.compiler
        import kfp.kubernetes
    except ImportError:
        raise MissingExtra("running a pipeline", "pipeline") from None
    return kfp
