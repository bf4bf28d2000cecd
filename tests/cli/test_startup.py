"""The command line answers at once because it imports late."""

import subprocess
import sys

import pytest

HEAVY = {
    "numpy",
    "pandas",
    "torch",
    "sklearn",
    "kfp",
    "mlflow",
    "bentoml",
    "evidently",
    "onnxruntime",
    "duckdb",
}
SCRIPT = """
import sys
from modelyard.cli import main
sys.argv = ["modelyard", *{arguments}]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
print("loaded:", *(set(sys.modules) & {heavy}))
"""
HELP = """
import sys
from modelyard.cli import main
for name in sys.argv[1:]:
    print("command:" + name)
    sys.argv = ["modelyard", name, "--help"]
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, stop.code
"""


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["--help"], set()),
        (["run", "--help"], set()),
        (["train", "--help"], set()),
        (["families"], set()),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_help_and_the_list_of_families_import_nothing_heavy(arguments, allowed):
    script = SCRIPT.format(arguments=arguments, heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    loaded = done.stdout.strip().splitlines()[-1].removeprefix("loaded:").split()
    assert set(loaded) == allowed


def test_help_lists_every_stage_with_its_inputs_and_outputs():
    from modelyard.cli.steps import STAGES as COMMANDS
    from modelyard.stages import STAGES

    assert {*COMMANDS, "monitor"} == set(STAGES)
    done = subprocess.run(
        [sys.executable, "-c", HELP, *COMMANDS], capture_output=True, text=True, check=True
    )
    _, *pages = done.stdout.split("command:")
    assert len(pages) == len(COMMANDS)
    for name, page in zip(COMMANDS, pages, strict=True):
        for artifact in (*STAGES[name].inputs, *STAGES[name].outputs):
            assert f"--{artifact}" in page, name
