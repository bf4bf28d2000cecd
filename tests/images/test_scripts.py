"""The images' scripts take from modelyard only what it has, in their code strings too."""

import importlib
import re
from pathlib import Path

import pytest

DOCKER = Path(__file__).parents[2] / "docker"
IMPORT = re.compile(r"from (modelyard[\w.]*) import (\w+)")
TAKEN = [
    (script.name, *found)
    for script in sorted(DOCKER.glob("*.py"))
    for found in IMPORT.findall(script.read_text())
]


@pytest.mark.parametrize(("script", "module", "name"), TAKEN)
def test_what_a_script_imports_is_there(script, module, name):
    assert hasattr(importlib.import_module(module), name), f"docker/{script}"
