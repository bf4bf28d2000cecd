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
from modelyard.home import NO_RUN
from modelyard.judging.evaluation import Evaluation
from modelyard.parent import die_with_parent

RUN_ID = "MODELYARD_RUN_ID"


class PipelineArtifact(Protocol):
    """What a step needs of a Kubeflow artifact."""

    path: str
    metadata: dict[str, Any]


def run_step(
    stage: str,
    settings: dict[str, Any],
    *,
    inputs: dict[str, PipelineArtifact] | None = None,
    outputs: dict[str, PipelineArtifact],
) -> None:
    """Runs a stage on a pipeline's artifacts; on an error that a person can fix, one line and
    exit code 2.

    `settings` is what the first step handed this one: family, config, and what the cache follows.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    die_with_parent()
    family = str(settings["family"])
    try:
        from modelyard.stages import STAGES
        from modelyard.stages.run import Run

        run = Run.of(
            family,
            settings["config"],
            id=os.environ.get(RUN_ID) or NO_RUN,
            nodes=int(settings.get("nodes", 1)),
            gpus_per_node=int(settings.get("gpus_per_node", 0)),
        )
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
