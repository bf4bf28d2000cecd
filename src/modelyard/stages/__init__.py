"""The stages, in the order of the pipeline. They run every family and know none by name."""

from __future__ import annotations

from modelyard.stages.deploy import deploy
from modelyard.stages.evaluate import evaluate
from modelyard.stages.export import export
from modelyard.stages.features import features
from modelyard.stages.ingest import ingest
from modelyard.stages.monitor import monitor
from modelyard.stages.package import package
from modelyard.stages.run import Stage
from modelyard.stages.train import train

TRAINING: tuple[Stage, ...] = (ingest, features, train, evaluate, export, package, deploy)
"""The training pipeline."""

STAGES: dict[str, Stage] = {stage.name: stage for stage in (*TRAINING, monitor)}
"""All stages by name."""

__all__ = [
    "STAGES",
    "TRAINING",
    "deploy",
    "evaluate",
    "export",
    "features",
    "ingest",
    "monitor",
    "package",
    "train",
]
