"""What each role of an image needs is in the extras that the image installs: each is used from
those alone."""

from __future__ import annotations

import functools
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.charts.helm import ROOT, binary
from tests.standin.s3 import store

IMAGES = sorted(file.parent.name for file in (ROOT / "docker").glob("*/Dockerfile"))
ROLES = runpy.run_path(str(ROOT / "docker" / "roles.py"))["ROLES"]
UV = Path(sys.prefix) / "bin" / "uv"


def extras(image: str) -> list[str]:
    """The extras that an image's Dockerfile installs."""
    found: list[str] = re.findall(
        r"--extra (\w+)", (ROOT / "docker" / image / "Dockerfile").read_text()
    )
    return found


def uv(*words: object) -> None:
    done = subprocess.run(
        [str(UV), *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


@functools.cache
def installed(folder: Path, image: str) -> Path:
    """An environment with what the image installs, and modelyard itself as a wheel; its Python."""
    place = folder / image
    python = place / "bin" / "python"
    uv("venv", "--quiet", "--python", sys.executable, place)
    wheels = os.environ.get("PIP_FIND_LINKS", "")
    links = ["--find-links", wheels] if wheels else []
    chosen = [word for extra in extras(image) for word in ("--extra", extra)]
    into = ["pip", "install", "--quiet", "--python", python, "-c", "constraints.txt", *links]
    uv(*into, "-r", "pyproject.toml", *chosen)
    uv(*into, "--no-deps", ".")
    return python


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What the roles leave for each other, and what the charts mount."""
    place = tmp_path_factory.mktemp("roles")
    shutil.copytree(ROOT / "charts" / "platform" / "files", place / "files")
    return place


def test_each_image_has_roles_and_both_trainers_the_same():
    assert sorted(ROLES) == IMAGES
    assert extras("trainer") == extras("trainer-cuda") == ["families", "laptop"]
    assert ROLES["trainer"] == ROLES["trainer-cuda"]
    assert extras("server") == extras("server-cuda") == ["serve", "s3"]
    assert ROLES["server"] == ROLES["server-cuda"]


def test_the_check_of_the_images_uses_every_role_beside_a_store():
    script = (ROOT / "docker" / "check.sh").read_text()
    assert 'python /tmp/out/with_store.py /tmp/out/s3 /tmp/out/roles.py "$image" /tmp/out' in script
    assert subprocess.run(["bash", "-n", ROOT / "docker" / "check.sh"], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(binary() is None, reason="helm is not installed. Type: make helm")
@pytest.mark.parametrize("image", ["trainer", "server"])
def test_every_role_of_an_image_works_from_the_extras_that_it_installs(
    image, folder, tmp_path_factory
):
    """In this order: the server serves what the trainer left."""
    python = installed(tmp_path_factory.getbasetemp(), image)
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    if not (tools / "helm").exists():
        (tools / "helm").symlink_to(str(binary()))
    path = os.pathsep.join((str(python.parent), str(tools), "/usr/local/bin", "/usr/bin", "/bin"))
    with store() as environment:
        clean = {
            "PATH": path,
            "HOME": str(folder),
            "MODELYARD_HOME": str(folder / "home"),
            "LANG": "C.UTF-8",
        }
        command = [str(python), str(ROOT / "docker" / "roles.py"), image, str(folder)]
        done = subprocess.run(
            command,
            env=clean | environment,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"^\S+: (\w+) in", done.stdout, re.MULTILINE) == [
        role.__name__ for role in ROLES[image]
    ]
