"""train: features to a model."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
from pathlib import Path
from typing import Any

import fsspec

from modelyard.errors import UsageError
from modelyard.home import CHECKPOINTS, home, slug
from modelyard.stages.run import Run, stage
from modelyard.store.artifact import In, Out, read_manifest, write_json
from modelyard.store.base import MEMORY, read_base

WHERE_AND_HOW = {
    "accumulate",
    "checkpoint_every",
    "checkpoints",
    "compile",
    "deterministic",
    "keep",
    "parallel",
    "processes",
    "recompute",
}
"""Settings under which a checkpoint of other ones can be resumed: they change how fast and where, not
what is learned."""


@stage(reads=("model", "training", "continual", "compress", "seed"), halves=("build",))
def train(run: Run, features: In, model: Out) -> str:
    """Trains the family's model on the training split; the validation split decides when to stop.

    It starts from the model that the features stage brought, if it brought one.
    """
    checkpoints = checkpoint_folder(run, read_manifest(features).digest)
    job = {
        "family": run.name,
        "config": run.config.model_dump(mode="json"),
        "id": run.id,
        "code_version": run.code_version,
        "checkpoints": checkpoints,
        "gpus_per_node": run.gpus_per_node,
    }
    _train(run, job, features, model)
    summary = json.loads((model / "summary.json").read_text()) | _continual(run, features, model)
    write_json(model / "summary.json", summary)
    # Last: killed before, the training continues from them.
    _remove(checkpoints)
    return str(summary.get("headline", ""))


def checkpoint_folder(run: Run, features_digest: str) -> str:
    """Where the checkpoints of this training lie: another config, other data or other code have
    another folder, and so has another run where a cluster's runs share the place."""
    training = run.config.training.model_dump(mode="json", exclude=WHERE_AND_HOW)
    content = {
        "model": run.config.model.model_dump(mode="json"),
        "training": training,
        "seed": run.config.seed,
        "features": features_digest,
        "continual": run.config.continual.model_dump(mode="json"),
        "compress": run.config.compress.model_dump(mode="json"),
        "code": train.code(run.entry),
    }
    key = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    return f"{_base(run)}/{slug(run.name)}-{key}"


def _base(run: Run) -> str:
    if run.config.training.checkpoints:
        return run.config.training.checkpoints
    if run.nodes > 1 and run.config.cluster.scratch:
        return f"{run.config.cluster.scratch}/checkpoints"
    if place := os.environ.get(CHECKPOINTS):
        # Two runs of the same settings may train at once. A step that is tried again is of its run.
        return f"{place.rstrip('/')}/{run.id}"
    return f"{home().resolve()}/checkpoints"


def _remove(checkpoints: str) -> None:
    """Removes the checkpoints of a finished training, whose model does not depend on it."""
    try:
        files, root = fsspec.core.url_to_fs(checkpoints)
        if files.exists(root):
            files.rm(root, recursive=True)
    except Exception as error:  # every store has its own exceptions
        said = f"{type(error).__name__}: {str(error)[:200]}"
        print(f"checkpoints are left in {checkpoints}: {said}. Delete them", flush=True)


def _train(run: Run, job: dict[str, Any], features: Path, model: Path) -> None:
    """In this process, in several on this machine, or on several machines."""
    processes = _processes(run)
    if run.nodes > 1:
        from modelyard.launch.nodes import train_on_nodes

        train_on_nodes(run, job, features, model)
        return
    if run.gpus_per_node:
        _check_devices(run, processes)
    if processes > 1:
        from modelyard.launch.torchrun import train_here

        train_here(job, features, model, processes)
    else:
        _train_here(run, job["checkpoints"], features, model)


def _train_here(run: Run, checkpoints: str, features: Path, model: Path) -> None:
    from modelyard.training.loop import Trainer

    shutil.copytree(features / "assets", model / "assets")
    trainer = Trainer(
        run.config.seed,
        run.config.training,
        run.progress("train"),
        checkpoints=checkpoints,
        continual=run.config.continual,
        compress=run.config.compress,
    )
    summary = run.family.fit(features, model, trainer)
    trainer.check_used()
    trainer.add_device(summary, run.gpus_per_node)
    write_json(model / "summary.json", summary)


def _processes(run: Run) -> int:
    """How many train on each node: one a GPU, unless the settings say otherwise.

    Raises:
        UsageError: they say otherwise, and GPUs were asked for.
    """
    wanted, gpus = run.config.training.processes, run.gpus_per_node
    if wanted and gpus and wanted != gpus:
        raise UsageError(
            f"training.processes = {wanted}, and --gpus is {gpus}: each GPU has one process. "
            "Leave out training.processes"
        )
    return wanted or max(1, gpus)


def _continual(run: Run, features: Path, model: Path) -> dict[str, Any]:
    """For the card: the model it started from and the exemplars that it keeps.

    Raises:
        UsageError: exemplars are wanted of a model that the shared loop did not train.
    """
    found: dict[str, Any] = {}
    if (base := read_base(features)) is not None:
        found["starts_from"] = f"{base.version} (run {base.run})"
    if run.config.continual.memory:
        file = model / MEMORY
        if not file.is_file():
            raise UsageError(
                "continual.memory: this model is not trained by the shared loop, which keeps exemplars"
            )
        found["memory"] = (
            f"{run.config.continual.choose}, {file.stat().st_size:,} bytes of training examples"
        )
    return found


def _check_devices(run: Run, processes: int) -> None:
    """Raises UsageError where GPUs that were asked for are not there, or do not work."""
    if importlib.util.find_spec("torch") is None:
        raise UsageError(
            f"--gpus is {run.gpus_per_node}, and PyTorch is not installed: nothing here "
            "computes on a GPU. Leave out --gpus"
        )
    from modelyard.training import devices

    if processes == 1:
        devices.check(run.gpus_per_node)
    else:  # each process will look at its own; this one must take no memory there
        devices.count(run.gpus_per_node)
