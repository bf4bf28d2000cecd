"""A stage as a step of a pipeline: what every component calls."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Protocol

from modelyard.errors import ModelyardError
from modelyard.judging.evaluation import Evaluation
from modelyard.parent import die_with_parent
from modelyard.settings.carried import received

RUN_ID = "MODELYARD_RUN_ID"


class PipelineArtifact(Protocol):
    """What a step needs of a Kubeflow artifact."""

    path: str
    metadata: dict[str, Any]


def run_step(
    stage: str,
    family: str,
    config: dict[str, Any],
    run_id: str,
    *,
    inputs: dict[str, PipelineArtifact] | None = None,
    outputs: dict[str, PipelineArtifact],
    data_rev: str = "",
    nodes: int = 1,
    gpus_per_node: int = 0,
) -> None:
    """Runs a stage on a pipeline's artifacts; on an error that a person can fix, one line and
    exit code 2."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    die_with_parent()
    try:
        config = received(config)
        if data_rev:
            config = {**config, "data": {**config.get("data", {}), "rev": data_rev}}
        from modelyard.stages import STAGES
        from modelyard.stages.run import Run

        identity = os.environ.get(RUN_ID) or run_id
        run = Run.of(family, config, id=identity, nodes=nodes, gpus_per_node=gpus_per_node)
        artifacts = {**(inputs or {}), **outputs}
        headline = STAGES[stage](
            run, **{name: artifact.path for name, artifact in artifacts.items()}
        )
    except ModelyardError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(error.exit_code)
    for artifact in outputs.values():
        artifact.metadata |= {
            "headline": headline,
            "family": family,
            "code_version": run.code_version,
        }


def gpus_of_step(config: dict[str, Any], nodes: int, gpus_per_node: int) -> tuple[str, str]:
    """How many GPUs the training step's own pod asks for, and the resource's name on the cluster.

    With several nodes it asks for none: the pods of the training job have them.
    """
    from modelyard.settings.cluster import ClusterSettings

    settings = ClusterSettings.model_validate(received(config).get("cluster", {}))
    return str(gpus_per_node if nodes == 1 else 0), settings.gpu_resource


def read_evaluation(folder: str) -> Evaluation:
    """The evaluation that the stage of that name wrote."""
    return Evaluation.model_validate_json((Path(folder) / "evaluation.json").read_text())


def read_json(folder: str, name: str) -> dict[str, Any]:
    """A JSON file of an artifact."""
    content: dict[str, Any] = json.loads((Path(folder) / name).read_text())
    return content


def copy_file(folder: str, name: str, target: str) -> None:
    """Copies a file of an artifact to where the pipeline shows it."""
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(folder) / name, target)
