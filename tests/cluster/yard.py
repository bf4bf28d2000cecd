"""A cluster with its controllers and the pods' real servers, and packages to be brought to it."""

from __future__ import annotations

import importlib.util
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn

from modelyard.doctor.inspect import Reader
from modelyard.kubernetes.client import Pace
from modelyard.packages.package import Package
from modelyard.release import lease, release, smoke
from modelyard.serving.app import create_app
from modelyard.stages.deploy import deploy
from modelyard.stages.run import Run
from tests.charts.helm import ROOT, binary
from tests.cluster.conftest import NAMESPACE
from tests.standin.kinds import SERVICE, Cluster
from tests.standin.rollout import Rollouts
from tests.standin.server import Api
from tests.toy.build import LINE, build

NAME, RELEASE = "tests-toy-family-line", "line"
REFUSED = {
    "phase": "Pending",
    "conditions": [
        {"type": "PodScheduled", "status": "True"},
        {"type": "Ready", "status": "False"},
    ],
    "initContainerStatuses": [
        {
            "name": "package",
            "image": "modelyard/server:9",
            "ready": False,
            "state": {
                "waiting": {
                    "reason": "ErrImagePull",
                    "message": (
                        "rpc error: code = Unknown desc = failed to pull and unpack image "
                        '"images.example/modelyard/server:9": '
                        "failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized"
                    ),
                }
            },
        }
    ],
}


def _fetch():
    """The chart's own script, which its init container runs."""
    spec = importlib.util.spec_from_file_location(
        "chart_fetch", ROOT / "charts/model/files/fetch.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.fetch


class Yard:
    """A cluster, what runs on it, and runs whose packages are to be deployed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.api = folder, Api()
        self.http = self.api.start()
        file = self.api.kubeconfig(folder / "kubeconfig", NAMESPACE)
        file.chmod(0o600)
        self.api.denied.add("list jobs")  # which nobody who deploys needs: the chart makes none
        self.cluster = Cluster(self.api, NAMESPACE)
        self.rollouts = Rollouts(self.cluster)
        self.rollouts.on_ready = self.serve
        self.fetch = _fetch()
        self.servers: dict[str, uvicorn.Server] = {}
        self.answers_as: dict[str, str] = {}
        """A package whose pods answer as another one does, by their digests."""
        settings = {
            "release": RELEASE,
            "packages": f"file://{folder}/store",
            "failing_minutes": 0.005,
            "timeout_minutes": 0.5,
            "values": {"replicaCount": 2},
        }
        self.config = {"serve": settings}
        few, many = {"features": {"points": 30}}, {"features": {"points": 3000}, "seed": 1}
        self.runs = {
            name: build(folder / name, name, config | self.config)
            for name, config in (
                ("few", few),
                ("many", many),
                ("worse", {"features": {"points": 31}, "seed": 5}),
            )
        }

    def serve(self, template) -> None:
        """What the pods of a version do: fetch and verify the package, then answer behind every
        Service that selects them."""
        source, _, digest = template["spec"]["initContainers"][0]["args"]
        labels = template["metadata"]["labels"].items()
        services = self.api.store.find(SERVICE, NAMESPACE)
        port = self.port(source, digest)
        for one in services:
            if one["spec"]["selector"].items() <= labels:
                self.api.behind[one["metadata"]["name"]] = f"http://127.0.0.1:{port}"

    def port(self, source: str, digest: str) -> int:
        """Where the server of a package listens; it starts with the first pods."""
        if digest not in self.servers:
            path = self.folder / "pods" / digest
            self.fetch(source, path, digest)
            server = uvicorn.Server(
                uvicorn.Config(
                    create_app(Package(path, threads=1), None), port=0, log_level="error"
                )
            )
            threading.Thread(target=server.run, daemon=True).start()
            while not server.started:
                time.sleep(0.01)
            self.servers[digest] = server
        server = self.servers[self.answers_as.get(digest, digest)]
        return server.servers[0].sockets[0].getsockname()[1]

    def deploy(self, name: str, **serve) -> dict:
        """The stage's record; `serve` changes settings of the section."""
        built = self.runs[name]
        config = built.run.config.model_dump(mode="json")
        config["serve"] |= serve
        run = Run.of(LINE, config, id=name)
        deploy(run, package=built.package, features=built.features, deployment=self.folder / "out")
        return json.loads((self.folder / "out" / "deployment.json").read_text())

    def history(self) -> list[str]:
        settings = self.runs["few"].run.config.serve
        return [
            f"{one.revision} {one.status}"
            for one in release.Releaser(settings, print).helm.history()
        ]

    def answers(self) -> str:
        """The version that callers get."""
        return smoke._post(
            Reader(),
            f"/api/v1/namespaces/{NAMESPACE}/services/{RELEASE}:80/proxy/predict",
            {"x": 1},
        )[0]

    def version_of(self, name: str) -> str:
        return Package(self.runs[name].package).info.version

    def stop(self) -> None:
        self.rollouts.stop()
        for server in self.servers.values():
            server.should_exit = True
        self.http.shutdown()
        self.http.server_close()


@contextmanager
def working(folder: Path) -> Iterator[Yard]:
    """A yard that commands and stages find by their environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELYARD_HOME", str(folder / "home"))
        patch.setenv("KUBECONFIG", str(folder / "kubeconfig"))
        patch.setenv("HELM", str(binary()))
        for name in ("MLFLOW_TRACKING_URI", "KUBERNETES_SERVICE_HOST"):
            patch.delenv(name, raising=False)
        patch.setattr(release, "Pace", lambda: Pace(tick=0.1, backoff=0.05, patience=5.0))
        patch.setattr(smoke, "PAUSE", 0.01)
        patch.setattr(lease, "BEAT", 0.2)
        patch.setattr(lease, "LAPSE", 1.0)
        yard = Yard(folder)
        yield yard
        yard.stop()
