"""Writes pipelines as YAML: reads what to write as JSON lines from stdin. `modelyard compile` runs
it.

A process of its own, with the folder above on its path: the wheel never imports what is made from
it.
"""

import itertools
import json
import sys
import warnings
from pathlib import Path

from kfp import compiler

from modelyard.store.artifact import write_text
from pipelines.monitoring import monitoring_pipeline
from pipelines.training import training_pipeline
from pipelines.tuning import tuning_pipeline

BUILDERS = {
    "training": training_pipeline,
    "monitoring": monitoring_pipeline,
    "tuning": tuning_pipeline,
}


def write(kind: str, target: str, **arguments) -> None:
    """Writes the YAML of one pipeline to `target`, whole. The same code gives the same bytes."""
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    draft = f"{target}.draft.yaml"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiler.Compiler().compile(BUILDERS[kind](**arguments), draft)
    lines = Path(draft).read_text().splitlines(keepends=True)
    Path(draft).unlink()
    # kfp's opening comment prints default values in an order that differs from process to process.
    body = itertools.dropwhile(lambda line: line.startswith("#"), lines)
    write_text(Path(target), "# Written by `modelyard compile`.\n" + "".join(body))


for line in sys.stdin:
    write(**json.loads(line))
