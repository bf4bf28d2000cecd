"""A stage as a step of a pipeline: what every component calls."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from modelyard.errors import ModelyardError, Unavailable
from modelyard.home import IMAGE, NO_RUN, RUN_ID
from modelyard.judging.evaluation import Evaluation
from modelyard.parent import die_with_parent

DISPLAY_NAME = "display_name"
"""Key of an artifact's metadata: what Kubeflow's list of artifacts calls it."""
WAITS = (5.0, 15.0, 45.0, 90.0)
"""Seconds before each further try of a step whose store or server was away."""
PATIENCE = 300.0
"""Seconds after which a step is not tried again: what takes so long has been patient itself."""


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
    if _on_cluster() and settings.get("image"):
        os.environ[IMAGE] = settings["image"]  # which the nodes of a training job run too
    try:
        from modelyard.registry.versions import model_name
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
        paths = {name: artifact.path for name, artifact in artifacts.items()}
        headline = _patiently(stage, lambda: STAGES[stage](run, **paths))
    except ModelyardError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(error.exit_code)
    for name, artifact in outputs.items():
        artifact.metadata |= {
            DISPLAY_NAME: f"{model_name(run)} {name}: {headline}",
            "headline": headline,
            "family": family,
            "code_version": run.code_version,
        }


def _patiently(stage: str, work: Callable[[], str]) -> str:
    """Does the work of a stage on a cluster again where a store or a server was away for a moment.

    Kubeflow repeats no step that exits with an error, whatever `set_retry` says. On a laptop a person
    would rather know at once. A stage leaves nothing half-done behind, so that it may be repeated.

    Raises:
        Unavailable: it stayed away; and at once whatever else the work raises.
    """
    began = time.monotonic()
    waits = list(WAITS) if _on_cluster() else []
    while True:
        try:
            return work()
        except Unavailable as error:
            late = time.monotonic() - began > PATIENCE
            if late or not waits:
                raise
            seconds = waits.pop(0)
            logging.info("%s: %s. Trying again in %.0f s", stage, error, seconds)
            time.sleep(seconds)


def _on_cluster() -> bool:
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST"))


def read_evaluation(folder: str) -> Evaluation:
    """The evaluation that the stage of that name wrote."""
    return Evaluation.model_validate_json((Path(folder) / "evaluation.json").read_text())


def read_json(folder: str, name: str) -> dict[str, Any]:
    """A JSON file of an artifact."""
    content: dict[str, Any] = json.loads((Path(folder) / name).read_text())
    return content


def show_file(source: PipelineArtifact, name: str, page: PipelineArtifact) -> None:
    """Copies a page out of an artifact to where Kubeflow shows it, under the artifact's name."""
    Path(page.path).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(source.path) / name, page.path)
    if DISPLAY_NAME in source.metadata:
        page.metadata[DISPLAY_NAME] = f"{name}, {source.metadata[DISPLAY_NAME]}"
