"""Writes pipelines and components as YAML: reads what to write as JSON lines from stdin. `modelyard compile` runs
it.

A process of its own, with the folder above on its path: the wheel never imports what is made from
it.
"""

import itertools
import json
import sys
import tempfile
import warnings
from pathlib import Path

from kfp import compiler

from components.deploy import deploy
from components.evaluate import evaluate
from components.export import export
from components.features import features
from components.ingest import ingest
from components.monitor import monitor
from components.package import package
from components.prepare import prepare
from components.train import train
from modelyard.store.artifact import write_text
from pipelines.monitoring import monitoring_pipeline
from pipelines.training import training_pipeline
from pipelines.tuning import tuning_pipeline

BUILDERS = {
    "training": training_pipeline,
    "monitoring": monitoring_pipeline,
    "tuning": tuning_pipeline,
}
COMPONENTS = {
    "prepare": prepare,
    "ingest": ingest,
    "features": features,
    "train": train,
    "evaluate": evaluate,
    "export": export,
    "package": package,
    "deploy": deploy,
    "monitor": monitor,
}
"""The steps that pipelines of other people may hold. Those of a search belong to its rounds."""


def write(kind: str, target: str, **arguments) -> None:
    """Writes the YAML of a pipeline or component to `target`, whole. The same code gives the same bytes."""
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    # Of its own: another process may be writing the same.
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = COMPONENTS[kind] if kind in COMPONENTS else BUILDERS[kind](**arguments)
        draft = Path(folder) / "draft.yaml"
        compiler.Compiler().compile(made, str(draft))
        lines = draft.read_text().splitlines(keepends=True)
    # kfp's opening comment prints default values in an order that differs from process to process.
    body = itertools.dropwhile(lambda line: line.startswith("#"), lines)
    write_text(Path(target), "# Written by `modelyard compile`.\n" + "".join(body))


for line in sys.stdin:
    write(**json.loads(line))
