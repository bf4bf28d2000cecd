"""`modelyard doctor` against a cluster that was broken on purpose: what it says and how it ends."""

from __future__ import annotations

import json
import socket
import threading

from typer.testing import CliRunner

from modelyard.cli.app import app
from modelyard.doctor import cluster as looked_over
from modelyard.doctor import inspect
from modelyard.kubernetes.client import Pace
from tests.cluster.doctored import doctor, healthy, node, on_node
from tests.standin.kinds import (
    DEPLOYMENT,
    EXTENSIONS,
    QUOTA,
    SECRET,
    SERVICE,
)


def test_a_cluster_without_faults_is_all_well(cluster, pipelines):
    healthy(cluster)
    found = doctor("--cluster", code=0)
    assert found["Kubernetes"]["seen"].startswith("v1.31.4 at http://127.0.0.1")
    assert found["Kubeflow Trainer"] == {
        "level": "ok",
        "what": "Kubeflow Trainer",
        "seen": "trainer.kubeflow.org v1alpha1",
        "fix": "",
    }
    assert found["Kubeflow Pipelines"]["seen"].startswith("version 2.14.3, http://127.0.0.1")
    assert found["training runtimes"]["seen"] == "torch-distributed"
    assert found["nodes"]["seen"] == "1 of 1 ready and not cordoned"
    assert found["GPUs"]["level"] == found["Gateway API"]["level"] == "off"
    assert {one["level"] for one in found.values()} == {"ok", "off"}


def test_free_gpus_are_what_nodes_offer_less_what_pods_request(cluster):
    node(cluster, "gpu-1", gpu=8)
    node(cluster, "gpu-2", gpu=8, mig=7)
    node(cluster, "gpu-3", gpu=8, taken_out=True)
    node(cluster, "gpu-4", ready="Unknown", gpu=8)
    on_node(cluster, "a", "gpu-1", count=6)
    on_node(cluster, "b", "gpu-2", count=3)
    on_node(cluster, "c", "gpu-2", "nvidia.com/mig-1g.10gb", 7)
    on_node(cluster, "over", "gpu-2", count=4, phase="Succeeded")
    found = doctor("--cluster", code=1)
    assert found["nvidia.com/gpu"]["seen"] == "7 of 16 free on 2 nodes, at most 5 on one"
    assert found["nvidia.com/mig-1g.10gb"]["level"] == "warn"
    assert found["nvidia.com/mig-1g.10gb"]["seen"].startswith("0 of 7 free")
    assert found["node gpu-4"]["seen"] == "not ready: Kubelet stopped posting node status."


def test_a_quota_near_its_limit_is_told_before_it_is_full(cluster):
    status = {
        "hard": {"requests.nvidia.com/gpu": "8", "requests.memory": "100Gi", "pods": "100"},
        "used": {"requests.nvidia.com/gpu": "8", "requests.memory": "95Gi", "pods": "12"},
    }
    cluster.add(QUOTA, "team", status=status)
    found = doctor("--cluster")
    assert found["quota team: requests.nvidia.com/gpu"]["seen"] == "8 of 8 used"
    assert found["quota team: requests.memory"]["level"] == "warn"
    assert "quota team: pods" not in found


def test_missing_extensions_and_an_older_one_say_what_to_install(cluster, api):
    found = doctor("--cluster")
    assert found["Kubeflow Trainer"]["level"] == "warn"
    assert found["Kubeflow Trainer"]["fix"].startswith("helm install kubeflow-trainer")
    old = EXTENSIONS["trainer"][0]
    api.store.register(type(old)(old.group, "v2beta9", old.plural, old.kind))
    found = doctor("--cluster", code=1)
    assert (
        found["Kubeflow Trainer"]["seen"]
        == "trainer.kubeflow.org serves v2beta9; modelyard needs v1alpha1"
    )


def test_missing_secrets_are_named_and_no_content_is_read(cluster, api, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(
        "tabular: {cluster: {env_from_secrets: {TOKEN: vault/token}}}"
    )
    spec = {
        "containers": [
            {
                "name": "server",
                "envFrom": [{"secretRef": {"name": "object-store"}}],
                "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "auth", "key": "t"}}}],
            }
        ],
        "imagePullSecrets": [{"name": "mirror"}],
    }
    labels = {"app.kubernetes.io/part-of": "modelyard"}
    cluster.add(DEPLOYMENT, "payments", labels=labels, spec={"template": {"spec": spec}})
    cluster.add(SECRET, "auth", data={"t": "aHVudGVyMg=="})
    done = CliRunner().invoke(app, ["doctor", "--cluster", "--json"])
    missing = [
        one["what"]
        for one in json.loads(done.stdout)["findings"]
        if one["what"].startswith("secret ")
    ]
    assert missing == ["secret mirror", "secret object-store", "secret vault"]
    assert "aHVudGVyMg==" not in done.output


def test_what_this_account_may_not_do_is_asked_of_the_api(cluster, api):
    healthy(cluster)
    api.denied |= {
        "create trainjobs",
        "get pods/log",
        "create services/proxy",
        "list nodes",
        "list secrets",
    }
    found = doctor("--cluster", code=1)
    assert found["rights: training"]["seen"] == "may not create trainjobs, get pods/log"
    assert found["rights: deploying to models"]["level"] == "warn"
    assert (
        found["rights: deploying to models"]["seen"]
        == "may not create services/proxy, list secrets, get pods/log"
    )
    assert "access.deployTo={models}" in found["rights: deploying to models"]["fix"]
    assert found["nodes"]["seen"].startswith("not looked at: nodes is forbidden")
    assert found["secrets"]["level"] == "off"


def test_rights_to_deploy_are_asked_for_where_the_releases_are(cluster, api, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    serve = {
        "tabular": {"release": "churn", "namespace": "shop"},
        "image": {"release": "scans"},
        "anomaly": {},
    }
    (tmp_path / "params.yaml").write_text(
        json.dumps({name: {"serve": one} for name, one in serve.items()})
    )
    api.denied |= {
        "patch deployments in shop",
        "delete deployments in shop",
        "create pods in elsewhere",
    }
    found = {what: one["seen"] for what, one in doctor("--cluster").items() if "deploying" in what}
    assert found == {
        "rights: deploying to models": "all that it takes",
        "rights: deploying to shop": "may not patch/delete deployments",
    }


def test_rights_on_what_a_cluster_lacks_are_not_asked_for(cluster, api):
    api.denied |= {"patch httproutes", "create scaledobjects"}
    assert doctor("--cluster")["rights: deploying to models"]["level"] == "ok"
    cluster.install("gateway")
    assert doctor("--cluster")["rights: deploying to models"]["seen"] == "may not patch httproutes"


def test_kubeflow_pipelines_that_does_not_answer_is_broken(cluster, monkeypatch):
    monkeypatch.setenv("KFP_HOST", "http://127.0.0.1:1")
    found = doctor("--cluster", code=1)
    assert found["Kubeflow Pipelines"]["seen"].startswith(
        "Kubeflow Pipelines at http://127.0.0.1:1 does not answer"
    )


def test_kubeflow_pipelines_within_the_cluster_is_missing_or_does_not_answer(
    cluster, api, monkeypatch
):
    found = doctor("--cluster")["Kubeflow Pipelines"]
    assert found["level"] == "warn"
    assert "no service ml-pipeline answers in namespace kubeflow" in found["seen"]
    api.store.create(SERVICE, "kubeflow", {"metadata": {"name": "ml-pipeline"}, "spec": {}})
    monkeypatch.setattr(
        inspect.Reader.__init__, "__defaults__", (None, Pace(patience=0.2, backoff=0.05))
    )
    found = doctor("--cluster", code=1)["Kubeflow Pipelines"]
    assert found["seen"].startswith("service kubeflow/ml-pipeline is there and does not answer")


def test_an_api_that_does_not_answer_is_one_row(api, monkeypatch):
    api.refuse("GET /version", 503, "etcd is away", times=1000)
    monkeypatch.setattr(
        inspect.Reader.__init__, "__defaults__", (None, Pace(patience=0.2, backoff=0.05))
    )
    (row,) = doctor("--cluster", code=1).values()
    assert (row["what"], "does not answer (503" in row["seen"]) == ("Kubernetes", True)


def test_an_address_at_which_something_else_than_http_answers_is_a_finding(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as connection:
                connection.recv(65_536)
                connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

        threading.Thread(target=answer, daemon=True).start()
        monkeypatch.setenv("KFP_HOST", f"http://127.0.0.1:{server.getsockname()[1]}")
        (row,) = looked_over.pipelines(None)
    assert (row.level, row.what) == ("bad", "Kubeflow Pipelines")
    assert "does not answer" in row.seen
