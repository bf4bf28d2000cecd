"""dvc.yaml and params.yaml agree with the code, and do what they promise in a fresh copy of the
repository."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelyard.family import load, make
from modelyard.settings.family import resolve
from modelyard.stages import TRAINING

ROOT = Path(__file__).parents[2]
STAGES = {stage.name: stage for stage in TRAINING if stage.cached or not stage.inputs}
"""All but those that act on the world, such as deploy: DVC makes files."""
PIPELINE: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PARAMS: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())


def test_dvc_runs_every_stage_that_only_makes_files_in_their_order() -> None:
    assert list(PIPELINE) == list(STAGES)
    assert all(stage["foreach"] == "${families}" for stage in PIPELINE.values())


@pytest.mark.parametrize("name", STAGES)
def test_a_dvc_stage_is_the_command_that_the_signature_makes(name: str) -> None:
    stage = STAGES[name]
    options = {
        f"--{artifact}": f"build/${{item}}/{artifact}"
        for artifact in (*stage.inputs, *stage.outputs)
    }
    command, given_name, family, *given = shlex.split(PIPELINE[name]["do"]["cmd"])
    assert (command, given_name, family) == ("modelyard", name, "${item}")
    assert dict(zip(given[::2], given[1::2], strict=True)) == options


@pytest.mark.parametrize("name", STAGES)
def test_a_dvc_stage_depends_on_its_inputs_the_code_and_the_sections_it_reads(name: str) -> None:
    stage, body = STAGES[name], PIPELINE[name]["do"]
    inputs = {f"build/${{item}}/{artifact}" for artifact in stage.inputs} or {"data/${item}"}
    assert set(body["deps"]) == inputs | {"src/modelyard"}
    assert set(body["params"]) == {f"${{item}}.{section}" for section in stage.reads}


@pytest.mark.parametrize("name", STAGES)
def test_a_dvc_stage_keeps_its_output_out_of_the_cache(name: str) -> None:
    outs = [(path, options) for entry in outputs_of(name) for path, options in entry.items()]
    assert all(options == {"cache": False} for _, options in outs)
    folders = {"/".join(path.split("/")[:3]) for path, _ in outs}
    assert folders == {f"build/${{item}}/{artifact}" for artifact in STAGES[name].outputs}


def outputs_of(name: str) -> list[dict[str, Any]]:
    body = PIPELINE[name]["do"]
    return [*body["outs"], *body.get("metrics", [])]


@pytest.mark.parametrize("family", PARAMS["families"])
def test_params_are_a_config_of_the_family_with_every_section(family: str) -> None:
    config = load(family).Config
    assert set(PARAMS[family]) == set(config.model_fields)
    assert resolve(config, ("params.yaml", PARAMS[family])).data.uri == f"data/{family}"
    assert (ROOT / "data" / f"{family}.dvc").is_file()


def test_params_hold_nothing_but_the_families() -> None:
    assert set(PARAMS) == {"families", *PARAMS["families"]}


SLOPE = {"data": {"uri": "data/slope"}} | {
    name: {} for name in ("features", "model", "training", "gate", "evaluation", "export")
}
SLOPE |= {
    name: {}
    for name in ("registry", "monitor", "continual", "compress", "cost", "cluster", "serve")
} | {"seed": 0}


def copy_of_the_repository(target: Path) -> Path:
    """What a clone would hold, with the changes of this work tree."""
    wanted = ["src", "data", ".dvc", ".dvcignore", "dvc.yaml", "params.yaml", ".gitignore"]
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *wanted]
    for name in subprocess.check_output(listing, cwd=ROOT, text=True).split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    subprocess.run(["git", "init", "-q", str(target)], check=True)
    return target


def dvc(folder: Path, *arguments: str) -> str:
    binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **os.environ,
        "DVC_NO_ANALYTICS": "1",
        "PYTHONPATH": str(folder / "src"),
        "PATH": binaries,
    }
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def changed(folder: Path) -> set[str]:
    """Stages whose own dependencies differ; a rerun runs these and what stands behind them."""
    return {name for name in json.loads(dvc(folder, "status", "--json")) if "@" in name}


def set_params(folder: Path, values: dict[str, Any]) -> None:
    (folder / "params.yaml").write_text(yaml.safe_dump(values))


@pytest.fixture(scope="module")
def two_families(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh copy with two families that its dvc.yaml has never heard of, each run to its
    package."""
    folder = copy_of_the_repository(tmp_path_factory.mktemp("yard"))
    for family in ("slope", "line"):
        shutil.copytree(ROOT / "tests/toy", folder / "src/modelyard/families" / family)
        entry = (ROOT / "tests/toy/family.py").read_text() + "\n\nFAMILY = Line\n"
        (folder / f"src/modelyard/families/{family}/__init__.py").write_text(entry)
        (folder / "data" / family).mkdir()
        make("tests.toy.family:Line").sample(folder / "data" / family)
    line = SLOPE | {"data": {"uri": "data/line"}}
    set_params(folder, {"families": ["slope", "line"], "slope": SLOPE, "line": line})
    dvc(folder, "repro")
    return folder


def test_pull_brings_the_samples_offline_and_they_are_what_the_families_write(
    tmp_path: Path,
) -> None:
    folder = copy_of_the_repository(tmp_path / "yard")
    dvc(folder, "pull")
    for family in PARAMS["families"]:
        (tmp_path / family).mkdir()
        make(family, resolve(load(family).Config, ("params.yaml", PARAMS[family]))).sample(
            tmp_path / family
        )
        written, pulled = (
            {
                file.relative_to(place).as_posix(): file.read_bytes()
                for file in place.rglob("*")
                if file.is_file()
            }
            for place in (tmp_path / family, folder / "data" / family)
        )
        assert written == pulled


def test_adding_a_folder_and_a_name_is_all_a_family_needs(two_families: Path) -> None:
    for family in ("slope", "line"):
        assert (two_families / "build" / family / "package/card.html").is_file()
        source = json.loads((two_families / "build" / family / "dataset/source.json").read_text())
        assert source["uri"] == f"data/{family}"


def test_an_unchanged_repository_has_nothing_to_run(two_families: Path) -> None:
    said = dvc(two_families, "repro")
    assert "Running stage" not in said
    assert "up to date" in said


def test_every_file_of_the_evaluation_is_declared(two_families: Path) -> None:
    folder = two_families / "build/line/evaluation"
    declared = {path.rpartition("/")[2] for entry in outputs_of("evaluate") for path in entry}
    assert {file.name for file in folder.iterdir()} == declared


def test_compiled_files_count_as_no_change(two_families: Path) -> None:
    cached = two_families / "src/modelyard/__pycache__"
    cached.mkdir(exist_ok=True)
    (cached / "new.cpython-311.pyc").write_bytes(b"1")
    assert changed(two_families) == set()


@pytest.mark.parametrize("section", ["model", "training", "gate"])
def test_a_changed_section_touches_the_stages_of_its_family_that_read_it(
    two_families: Path, section: str
) -> None:
    before = yaml.safe_load((two_families / "params.yaml").read_text())
    value = {"model": {"trees": 7}, "training": {"epochs": 7}, "gate": {"over_baseline": 0.1}}[
        section
    ]
    set_params(two_families, before | {"slope": before["slope"] | {section: value}})
    try:
        expected = {f"{stage.name}@slope" for stage in STAGES.values() if section in stage.reads}
        assert changed(two_families) == expected
    finally:
        set_params(two_families, before)


def test_changed_code_and_changed_data_are_seen(two_families: Path) -> None:
    data = two_families / "data/line/points.csv"
    before = data.read_bytes()
    data.write_bytes(before + b"0,1\n")
    assert changed(two_families) == {"ingest@line"}
    data.write_bytes(before)
    code = two_families / "src/modelyard/new.py"
    code.write_text("")
    assert changed(two_families) == {
        f"{name}@{family}" for name in STAGES for family in ("slope", "line")
    }
    code.unlink()
