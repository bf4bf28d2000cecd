"""The steps as parts of other people's pipelines: what docs/components.md shows compiles and runs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from modelyard.pipeline.pipelines import COMPONENTS, FOLDER, compile_components
from modelyard.registry.versions import resolve
from tests.pipeline.test_local_pipelines import FAMILY, log_traffic, modelyard, workplace  # noqa: F401

ROOT = Path(__file__).parents[2]
CODE = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "components.md").read_text(), re.S)
APPROVED, WATCHED, LOCAL = CODE


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return compile_components(tmp_path_factory.mktemp("steps"))


def test_the_committed_components_are_not_stale(written):
    names = [file.name for file in written]
    assert sorted(names) == sorted(path.name for path in (FOLDER / "components").iterdir())
    for file in written:
        kept = FOLDER / "components" / file.name
        assert kept.read_bytes() == file.read_bytes(), "type: make compile"


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_says_what_each_input_and_output_is(name):
    component = yaml.safe_load((FOLDER / "components" / f"{name}.yaml").read_text())
    definition = component["components"][f"comp-{name}"]
    described = [
        (key, one)
        for side in ("inputDefinitions", "outputDefinitions")
        for kind in definition.get(side, {}).values()
        for key, one in kind.items()
    ]
    assert len(described) >= 2
    assert [key for key, one in described if not one.get("description")] == []
    assert component["root"]["dag"]["tasks"][name]
    if name == "prepare":
        inputs = definition["inputDefinitions"]["parameters"]
        assert [key for key, one in inputs.items() if not one.get("isOptional")] == ["family"]


def test_an_older_pipeline_goes_on_in_an_image_that_hands_out_more(monkeypatch):
    from modelyard.pipeline import form

    component = yaml.safe_load((FOLDER / "components" / "prepare.yaml").read_text())
    *_, source = component["deploymentSpec"]["executors"]["exec-prepare"]["container"]["command"]
    old: dict = {}
    exec(source, old)  # noqa: S102 - as Kubeflow runs it
    today = form.prepare
    monkeypatch.setattr(form, "prepare", lambda *given: today(*given) | {"newer": "x"})
    handed = old["prepare"](family="tabular")
    assert handed.train["family"] == "tabular"
    assert handed.gpus == "0"


def typed(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Runs a script as a person would, beside the folder `steps`."""
    (folder / "own.py").write_text(script)
    environment = {
        **os.environ,
        "MODELYARD_HOME": str(folder / "runs"),
        "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]),
    }
    return subprocess.run(
        [sys.executable, "own.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def beside(workplace):  # noqa: F811
    modelyard(workplace, "compile", "--components", "--into", "steps")
    return workplace


def test_a_foreign_step_between_ours_decides_whether_the_model_is_registered(beside):
    begin = APPROVED + LOCAL.rpartition("\n")[0].rpartition("\n")[0]
    few = typed(beside, f"{begin}\napproved(family={FAMILY!r}, fewest_rows=1_000_000)\n")
    assert few.returncode != 0
    assert "rows judged the model, 1000000 are asked for" in few.stdout + few.stderr
    assert not list(beside.glob("outputs/**/deployment.json"))
    enough = typed(beside, f"{begin}\napproved(family={FAMILY!r}, fewest_rows=10)\n")
    assert enough.returncode == 0, enough.stdout + enough.stderr
    (made,) = beside.glob("outputs/**/deployment.json")
    assert json.loads(made.read_text())["champion"]


def test_the_watch_alone_tells_a_foreign_step_what_drifted(beside, monkeypatch):
    # The refused run may have written its package too: which steps came first is the runner's
    # choice, and the traffic of a package that is not the champion is not judged.
    monkeypatch.setenv("MODELYARD_HOME", str(beside / "runs"))
    log_traffic(beside, shift=2.0, package=resolve("line-line"))
    begin = WATCHED + LOCAL.rpartition("\n")[0].rpartition("\n")[0]
    now = {"monitor": {"cooldown_hours": 0}}  # the champion is minutes old
    done = typed(beside, f"{begin}\nwatched(family={FAMILY!r}, name='line-line', settings={now})\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "drifted: x, y" in done.stdout + done.stderr


def test_both_pages_compile_for_a_cluster(beside):
    for script, name in ((APPROVED, "approved"), (WATCHED, "watched")):
        compiling = (
            f"from kfp.compiler import Compiler\nCompiler().compile({name}, '{name}.yaml')\n"
        )
        done = typed(beside, script + compiling)
        assert done.returncode == 0, done.stderr
        assert yaml.safe_load((beside / f"{name}.yaml").read_text())["root"]["dag"]["tasks"]
