"""The tests on a cluster, run against the stand-in for its API as far as it goes:
docs/cluster-only.md says how far.

A node of the stand-in runs pods as processes of this machine, so that fetching, serving, asking,
helm's waiting and its test are the real ones.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.family import load
from modelyard.settings.family import portable
from tests.charts.helm import ROOT, binary
from tests.integration.cluster import IMAGES
from tests.integration.conftest import PACKAGES
from tests.integration.test_model_chart import UNPACK
from tests.standin.kinds import NAMESPACE, Cluster
from tests.standin.kubelet import Kubelet
from tests.standin.rollout import Rollouts
from tests.standin.server import Api
from tests.toy.build import build


class Nodes:
    """A kubelet and a controller a namespace, from its creation to its end."""

    def __init__(self, api: Api, folder: Path) -> None:
        self.api, self.folder = api, folder
        self.running: dict[str, tuple[Kubelet, Rollouts]] = {}
        api.store.admission.append(self._made)
        api.on_delete = self._gone

    def _made(self, kind, thing) -> None:
        if kind == NAMESPACE:
            name = thing["metadata"]["name"]
            kubelet = Kubelet(Cluster(self.api, name), self.folder / name)
            self.running[name] = kubelet, kubelet.start()

    def _gone(self, kind, space, name, how) -> bool:
        if kind != NAMESPACE:
            return False
        kubelet, rollouts = self.running.pop(name)
        rollouts.stop()
        for key in [key for key in self.api.store.objects if key[1] == name]:
            self.api.store.remove(*key)
        threading.Thread(target=kubelet.stop, daemon=True).start()
        return False


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Iterator[Path]:
    api = Api()
    http = api.start()
    api.store.register(NAMESPACE)
    Cluster(api, "default")
    nodes = Nodes(api, tmp_path / "nodes")
    file = api.kubeconfig(tmp_path / "kubeconfig", "default")
    file.chmod(0o600)
    yield file
    for kubelet, rollouts in nodes.running.values():
        rollouts.stop()
        kubelet.stop()
    http.shutdown()
    http.server_close()


def test_a_package_comes_out_of_its_archive_on_the_oldest_python(tmp_path):
    """Python 3.11.2, which Debian has, knows no `filter`."""
    older = (
        "import tarfile\n"
        "newer = tarfile.TarFile.extractall\n"
        "def extractall(self, path='.', members=None, *, numeric_owner=False):\n"
        "    return newer(self, path, members, numeric_owner=numeric_owner)\n"
        "tarfile.TarFile.extractall = extractall\n"
    )
    (tmp_path / "packed").mkdir()
    (tmp_path / "a.txt").write_text("a")
    subprocess.run(["tar", "-czf", "packed/first.tgz", "a.txt"], cwd=tmp_path, check=True)
    done = subprocess.run(
        [sys.executable, "-c", older + UNPACK, tmp_path / "packed", tmp_path / "claim"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "claim" / "first" / "a.txt").read_text() == "a"


@pytest.mark.slow
@pytest.mark.skipif(binary() is None, reason="helm is not installed. Type: make helm")
def test_the_tests_of_a_served_model_pass_against_the_stand_in_with_packages_that_are_ready(
    kubeconfig, tmp_path
):
    debug = portable(load("tabular").Config.debug())
    packages = [
        build(tmp_path / f"{seed}", f"{seed}", debug | {"seed": seed}, "tabular").package
        for seed in (0, 1)
    ]
    environment = os.environ | {
        "KUBECONFIG": str(kubeconfig),
        IMAGES["server"]: "modelyard/server:0.1.0",
        PACKAGES: os.pathsep.join(map(str, packages)),
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n",
        "0",
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "kind",
    ]
    done = subprocess.run(
        [*command, "tests/integration/test_model_chart.py"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-9000:]
    assert "5 passed" in done.stdout
