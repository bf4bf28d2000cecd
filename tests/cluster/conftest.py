"""A cluster that answers over HTTP, found through KUBECONFIG as a real one is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING

import kubernetes.client  # noqa: F401 takes seconds, which no test should wait for
import pytest

from tests.standin.kinds import Cluster
from tests.standin.listening import Listening
from tests.standin.server import Api

if TYPE_CHECKING:
    from tests.cluster.yard import Yard

NAMESPACE = "models"


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    api = Api()
    server = api.start()
    file = api.kubeconfig(tmp_path / "kubeconfig", NAMESPACE)
    file.chmod(0o600)
    monkeypatch.setenv("KUBECONFIG", str(file))
    for name in ("KUBERNETES_SERVICE_HOST", "KFP_HOST", "KFP_TOKEN", "HELM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    yield api
    server.shutdown()
    server.server_close()


@pytest.fixture
def cluster(api: Api) -> Cluster:
    return Cluster(api, NAMESPACE)


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    """For a file whose tests are one story."""
    from tests.cluster.yard import working

    with working(tmp_path_factory.mktemp("yard")) as found:
        yield found


@pytest.fixture
def pipelines(monkeypatch):
    """Kubeflow Pipelines, as far as health and runs go."""
    answers: dict[str, object] = {
        "/apis/v2beta1/healthz": {"multi_user": False},
        "/apis/v1beta1/healthz": {"tag_name": "2.14.3", "commit_sha": "c0de"},
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answers.get(self.path, {"error": "not found"})).encode()
            self.send_response(200 if self.path in answers else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = Listening(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("KFP_HOST", f"http://127.0.0.1:{server.server_port}")
    yield answers
    server.shutdown()
    server.server_close()
