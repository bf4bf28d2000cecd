"""What tests on a cluster share; whatever is missing skips them with its exact reason."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml

from modelyard.family import load
from modelyard.settings.family import portable
from tests.integration import cluster as machinery
from tests.integration.cluster import Cluster, Image, Missing

PACKAGES = "MODELYARD_TEST_PACKAGES"
"""Variable that names two ready packages: a machine without what training needs can test a
cluster too."""


@contextmanager
def or_skip() -> Iterator[None]:
    """Skips with the reason of Missing."""
    try:
        yield
    except Missing as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster of KUBECONFIG, or a new one of kind's."""
    with ExitStack() as stack:
        with or_skip():
            found = stack.enter_context(machinery.find())
        yield found


@pytest.fixture(scope="session")
def server_image() -> Image:
    with or_skip():
        return machinery.image("server")


@pytest.fixture(scope="session")
def trainer_image() -> Image:
    with or_skip():
        return machinery.image("trainer")


@pytest.fixture
def namespace(cluster) -> Iterator[str]:
    with cluster.namespace() as name:
        yield name


@pytest.fixture(scope="session")
def packages(tmp_path_factory) -> tuple[Path, Path]:
    """Two packages of the same small table with different seeds: those that PACKAGES names, else
    trained here."""
    if given := os.environ.get(PACKAGES):
        ready = [Path(one).resolve() for one in given.split(os.pathsep)]
        assert len(ready) == 2, (
            f"{PACKAGES} must name two folders with '{os.pathsep}' between them, seen {given!r}"
        )
        return ready[0], ready[1]
    first, second = (train(tmp_path_factory.mktemp(f"seed{seed}"), seed) for seed in (0, 1))
    return first, second


def train(folder: Path, seed: int) -> Path:
    """A package of `modelyard run`, as small as the family's debug config makes it."""
    params = folder / "params.yaml"
    params.write_text(yaml.safe_dump({"tabular": portable(load("tabular").Config.debug())}))
    command = [
        sys.executable,
        "-m",
        "modelyard",
        "run",
        "tabular",
        "--params",
        str(params),
        "--set",
        f"seed={seed}",
    ]
    environment = os.environ | {"MODELYARD_HOME": str(folder / "runs")}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (package,) = (folder / "runs" / "tabular").glob("*/package")
    return package.resolve()
