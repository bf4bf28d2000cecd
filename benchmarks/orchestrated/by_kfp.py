"""Runs empty.yaml as kfp.local does: each step a process of its own."""

from kfp import local
from kfp.components import load_component_from_file

local.init(local.SubprocessRunner(use_venv=False), pipeline_root="kfp-root")
load_component_from_file("empty.yaml")()
