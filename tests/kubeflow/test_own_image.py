"""A family from outside modelyard on its way to Kubeflow: what docs/own-image.md tells people to type."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

import modelyard
from modelyard.cli.submitting import check_image
from modelyard.errors import UsageError
from tests.cli.documented import on_page
from tests.cli.test_wheel import ROOT, Outside

PAGE = ROOT / "docs" / "own-image.md"
FAMILY, NAME = "flat_rent:FlatRent", "flat_rent"
TAG = "registry.example.org/team/flat_rent:1"


@dataclass
class Built:
    """An image as a folder: what a Dockerfile's lines make of its base, whose paths are below `root`."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "10001:10001"
    base: str = ""
    said: str = ""

    def here(self, text: str) -> str:
        """A text of the image with its paths as they are on this machine."""
        return text.replace("/opt/", f"{self.root}/opt/")

    def run(self, command: list[str], **more: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in the image."""
        path = os.pathsep.join([f"{self.root}/opt/venv/bin", "/usr/bin", "/bin"])
        clean = {"PATH": path, "HOME": str(self.root), "TMPDIR": str(self.root), **more}
        return subprocess.run(
            command,
            env=clean | {name: self.here(value) for name, value in self.environment.items()},
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
        )


def instructions(file: Path) -> Iterator[tuple[str, str]]:
    """The lines of a Dockerfile: instruction and the rest, without comments."""
    kept = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    for line in "\n".join(kept).replace("\\\n", " ").splitlines():
        if line.strip():
            instruction, _, rest = line.partition(" ")
            yield instruction, rest.strip()


def build(context: Path, image: Built) -> int:
    """Carries a Dockerfile out; the exit status of the line that failed, or 0."""
    arguments: dict[str, str] = {}
    for instruction, rest in instructions(context / "Dockerfile"):
        if instruction == "ARG":
            name, _, default = rest.partition("=")
            arguments[name] = default
        elif instruction == "FROM":
            image.base = re.sub(r"\$\{(\w+)\}", lambda found: arguments[found[1]], rest)
        elif instruction == "USER":
            image.user = rest
        elif instruction == "ENV":
            image.environment |= dict(word.split("=", 1) for word in shlex.split(rest))
        elif instruction == "COPY":
            _copy(context, *rest.split(), image)
        else:
            assert instruction == "RUN", instruction
            pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(image.root / "index")}
            done = image.run(["sh", "-c", image.here(rest)], **pip)
            image.said = done.stdout + done.stderr
            if done.returncode:
                return done.returncode
    return 0


def _copy(context: Path, source: str, target: str, image: Built) -> None:
    place = Path(image.here(target))
    if source != ".":
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(context / source, place)
        return
    patterns = (context / ".dockerignore").read_text().split()
    patterns = [pattern.removeprefix("**/") for pattern in patterns]

    def ignored(folder: str, names: list[str]) -> list[str]:
        return [one for one in names for pattern in patterns if fnmatch.fnmatch(one, pattern)]

    shutil.copytree(context, place, dirs_exist_ok=True, ignore=ignored)


def wheel(folder: Path, name: str, version: str) -> None:
    """A package of one module, as an index has it."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", f"version = {version!r}\n")
        file.writestr(f"{info}/METADATA", metadata)
        file.writestr(f"{info}/WHEEL", tags)
        file.writestr(f"{info}/RECORD", "")


@pytest.fixture(scope="module")
def laptop(tmp_path_factory) -> Outside:
    """A folder without a checkout in which the wheel is the only modelyard."""
    place = Outside(tmp_path_factory.mktemp("laptop"))
    made = place("new", NAME, "--image")
    assert f"wrote {NAME}/Dockerfile" in made
    assert f"modelyard submit {FAMILY} --image" in made
    host = place.work / NAME / "host.py"
    host.write_text(host.read_text().replace("import numpy", "import rentwords\nimport numpy", 1))
    return place


def base(laptop: Outside, folder: Path) -> Built:
    """modelyard's own image as far as the lines of a Dockerfile see it: an environment without pip that
    holds modelyard and all that it needs. The folder `index` is what pip finds."""
    venv = folder / "opt" / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (site,) = venv.glob("lib/python*/site-packages")
    for one in Path(laptop.environment["PYTHONPATH"]).iterdir():
        (site / one.name).symlink_to(one)
    (site / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    wheel(folder / "index", "rentwords", "1.0")
    wheel(folder / "index", "numpy", "0.1")
    return Built(folder)


@pytest.fixture(scope="module")
def image(laptop: Outside, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The family's image."""
    image = base(laptop, tmp_path_factory.mktemp("image"))
    (laptop.work / NAME / "requirements.txt").write_text("rentwords==1.0\n")
    assert build(laptop.work / NAME, image) == 0, image.said
    return image


def test_the_dockerfile_brings_family_and_packages_into_modelyards_image(image):
    assert image.base == f"modelyard/trainer:{modelyard.__version__}"
    assert image.user == "10001:10001"
    folder = image.root / "opt" / "families" / NAME
    assert {"host.py", "requirements.txt"} <= {file.name for file in folder.iterdir()}
    assert not list(folder.glob("test_*")) + list(folder.glob("Dockerfile"))
    assert not (image.root / "opt" / "pip").exists()
    done = image.run(["python", "-c", f"import {NAME}.host, rentwords; print(rentwords.__file__)"])
    assert "/opt/venv/" in done.stdout, done.stderr
    assert FAMILY in image.run(["python", "-m", "modelyard", "families", FAMILY]).stdout


@pytest.mark.parametrize(
    ("requirements", "said"),
    [("", "No module named 'rentwords'"), ("rentwords==1.0\nnumpy==0.1\n", "numpy==0.1")],
)
def test_what_the_family_lacks_or_would_change_ends_the_build(laptop, tmp_path, requirements, said):
    image = base(laptop, tmp_path)
    (laptop.work / NAME / "requirements.txt").write_text(requirements)
    assert build(laptop.work / NAME, image) != 0
    assert said in image.said


def test_the_first_step_finds_the_family_in_the_image_that_a_laptop_names(laptop, image, pipelines):
    lines = [one.words for one in on_page(PAGE) if one.words[0] != "new"]
    assert [words[0] for words in lines] == ["submit", "compile", "submit"]
    laptop.environment["KFP_HOST"] = pipelines.url
    for words in lines:
        laptop(*words, *(["--no-follow"] if words[0] == "submit" else []))
    sent = pipelines.submitted
    assert [one["runtime_config"]["parameters"]["image"] for one in sent] == [TAG, TAG]
    folder = laptop.work / "pipelines"
    compiled = next(yaml.safe_load_all((folder / "flat_rent-flatrent-training.yaml").read_text()))
    form = compiled["root"]["inputDefinitions"]["parameters"]
    assert form["image"]["defaultValue"] == TAG
    family = {"family": form["family"]["defaultValue"]}
    for spec in (compiled, sent[0]["pipeline_spec"]["pipeline_spec"]):
        handed = launched(spec, "prepare", family, image)
        assert handed["train"]["family"] == FAMILY
        assert handed["train_memory"] == "8Gi"


def launched(spec: Any, task: str, given: dict[str, Any], image: Built) -> dict[str, Any]:
    """The output parameters of a step, run in the image as Kubeflow's launcher runs it."""
    component = spec["components"][spec["root"]["dag"]["tasks"][task]["componentRef"]["name"]]
    container = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
    place = image.root / "outputs"
    shutil.rmtree(place, ignore_errors=True)
    names = component["outputDefinitions"]["parameters"]
    files = {name: {"outputFile": str(place / name)} for name in names}
    outputs = {"parameters": files, "outputFile": str(place / "output.json")}
    known = component["inputDefinitions"]["parameters"]
    values = {name: one["defaultValue"] for name, one in known.items() if "defaultValue" in one}
    asked = {"inputs": {"parameterValues": values | given}, "outputs": outputs}
    arguments = [one.replace("{{$}}", json.dumps(asked)) for one in container["args"]]
    done = image.run([*container["command"], *arguments])
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads((place / "output.json").read_text())["parameterValues"]
    return found


def test_a_family_that_is_there_gets_only_the_image_and_its_packages_stay(laptop, tmp_path):
    shutil.copytree(laptop.work / NAME, tmp_path / NAME)
    (tmp_path / NAME / "Dockerfile").unlink()
    (tmp_path / NAME / "requirements.txt").write_text("mine==1\n")
    written = laptop("new", NAME, "--image", "--into", str(tmp_path))
    assert re.findall(r"wrote (\S+)", written) == [f"{tmp_path}/{NAME}/Dockerfile"]
    assert (tmp_path / NAME / "requirements.txt").read_text() == "mine==1\n"


def test_an_own_family_without_an_image_is_refused_on_the_laptop(monkeypatch):
    monkeypatch.delenv("MODELYARD_IMAGE", raising=False)
    with pytest.raises(UsageError, match=r"--image REGISTRY/flat_rent:TAG.*new flat_rent --image"):
        check_image(FAMILY, None)
    check_image(FAMILY, TAG)
    check_image("tabular", None)
