"""Runs empty.yaml as `modelyard run` does: steps forked from a process that imported what they
need."""

from pathlib import Path

from modelyard.pipeline.pipelines import run_here
from modelyard.pipeline.warm import EXECUTOR, forked_steps

with forked_steps(Path.cwd(), [EXECUTOR]):
    run_here(Path("empty.yaml"), Path("modelyard-root"), {})
