"""Runs as a real Kubeflow left them, behind the two APIs that a person reaches them by."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.standin.kinds import EVENT, NODE, POD, Cluster
from tests.standin.listening import Listening
from tests.standin.server import Api, Line
from tests.standin.store import Kind

RECORDED = Path(__file__).parent / "recorded"
NAMESPACE = "kubeflow"
WORKFLOW = Kind("argoproj.io", "v1alpha1", "workflows", "Workflow")
STAMP = "2026-11-28T18:00:00.0Z"
Recording = dict[str, Any]


def recording(name: str) -> Recording:
    """A situation: `record`, `workflow`, `pods`, `events`, `logs`."""
    found: Recording = json.loads((RECORDED / f"{name}.json").read_text())
    return found


def names() -> list[str]:
    return sorted(path.stem for path in RECORDED.glob("*.json"))


class Pipelines:
    """Kubeflow Pipelines' API: the runs that it knows, and the logs that it kept."""

    def __init__(self) -> None:
        self.runs: dict[str, Any] = {}
        self.logs: dict[str, str] = {}
        self.terminated: list[str] = []
        self.submitted: list[Any] = []
        """Bodies of the requests that started runs."""
        self.seen: list[str] = []
        self.away = 0
        """So many requests break off without an answer."""
        self.snapshots: dict[str, list[Any]] = {}
        """How a run looks at the next requests, one each."""
        self.url = ""

    def answer(self, method: str, path: str, body: bytes = b"") -> str | None:
        parts = path.partition("?")[0].strip("/").split("/")
        if parts[1:] == ["v2beta1", "experiments"]:
            return '{"experiment_id": "e1"}' if method == "POST" else "{}"
        if parts[1:] == ["v2beta1", "runs"] and method == "POST":
            self.submitted.append(json.loads(body))
            return '{"run_id": "r1"}'
        if parts[1:] == ["v2beta1", "healthz"]:
            return json.dumps({"multi_user": False})
        if parts[1:] == ["v2beta1", "runs"]:
            return json.dumps({"runs": list(self.runs.values())})
        if parts[1:3] == ["v2beta1", "runs"]:
            return self._run(method, *parts[3].partition(":")[::2])
        if parts[1:3] == ["v1alpha1", "runs"]:
            return self.logs.get(parts[5])
        return None

    def _run(self, method: str, run: str, act: str) -> str | None:
        if run not in self.runs:
            return None
        if act == "terminate" and method == "POST":
            self.terminated.append(run)
            self.runs[run]["state"] = "CANCELED"
            return "{}"
        if self.snapshots.get(run):
            self.runs[run] = self.snapshots[run].pop(0)
        return json.dumps(self.runs[run])


@pytest.fixture
def pipelines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipelines]:
    """Behind KFP_HOST."""
    pipelines = Pipelines()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            pipelines.seen.append(f"{self.command} {self.path}")
            if pipelines.away:
                pipelines.away -= 1
                self.close_connection = True
                return
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found = pipelines.answer(self.command, self.path, sent)
            body = (found or '{"error": "not found"}').encode()
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _do  # noqa: N815

        def log_message(self, *args: object) -> None:
            """Says nothing."""

    server = Listening(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pipelines.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("KFP_HOST", pipelines.url)
    monkeypatch.delenv("KFP_TOKEN", raising=False)
    yield pipelines
    server.shutdown()
    server.server_close()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Kubernetes; the kubeconfig's own namespace is another than Kubeflow's."""
    api = Api()
    server = api.start()
    file = api.kubeconfig(tmp_path / "kubeconfig", "default")
    file.chmod(0o600)
    monkeypatch.setenv("KUBECONFIG", str(file))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    cluster = Cluster(api, NAMESPACE)
    api.store.register(WORKFLOW)
    resources = {"cpu": "2", "memory": "8Gi"}
    ready = [{"type": "Ready", "status": "True"}]
    cluster.add(NODE, "node1", spec={}, status={"allocatable": resources, "conditions": ready})
    yield cluster
    server.shutdown()
    server.server_close()


def fill(cluster: Cluster, found: Recording, *, pods: bool = True, workflow: bool = True) -> None:
    """Puts what Kubernetes has of a recorded run into a cluster."""
    if found["workflow"] and workflow:
        cluster.api.store.create(WORKFLOW, NAMESPACE, found["workflow"])
    if not pods:
        return
    made = {
        pod["metadata"]["name"]: cluster.api.store.create(POD, NAMESPACE, pod)
        for pod in found["pods"]
    }
    for event in found["events"]:
        kind, _, name = event["object"].partition("/")
        if name in made:
            involved = {"kind": kind, "name": name, "uid": made[name]["metadata"]["uid"]}
            number = len(cluster.api.store.objects)
            fields = {key: event[key] for key in ("reason", "message", "type")}
            cluster.add(
                EVENT,
                f"{name}.{number}",
                involvedObject=involved,
                lastTimestamp=event["time"],
                **fields,
            )
    for pod in made:
        number = pod.rpartition("-")[2]
        if number in found["logs"]:
            cluster.api.logs[pod] = [Line(STAMP, line) for line in found["logs"][number]]


def kept_logs(pipelines: Pipelines, found: Recording) -> None:
    """Lets Kubeflow Pipelines have the logs, by the pods' names."""
    nodes = (found["workflow"] or {}).get("status", {}).get("nodes", {})
    for node in nodes:
        workflow, _, number = node.rpartition("-")
        if number in found["logs"]:
            name = f"{workflow}-retry-system-container-impl-{number}"
            pipelines.logs[name] = "\n".join(found["logs"][number])


def at(record: Any, moment: str) -> Any:
    """A record of a run that has ended, as it was at a moment before: `2026-11-28T18:10:30Z`."""
    tasks = []
    for task in record["run_details"]["task_details"]:
        if task["start_time"] > moment:
            continue
        ended = task["end_time"] <= moment
        now = {} if ended or "state" not in task else {"state": "RUNNING"}
        tasks.append(task | now | ({} if ended else {"end_time": "0001-01-01T00:00:00Z"}))
    return record | {
        "state": "RUNNING",
        "finished_at": "1970-01-01T00:00:00Z",
        "run_details": {"task_details": tasks},
    }
