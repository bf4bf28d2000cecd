"""What a release of the chart `platform` does with its values, and that it fits the rest of
modelyard."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from modelyard.launch.manifest import MANAGER, TrainJobRequest, train_job
from modelyard.settings.cluster import ClusterSettings
from tests.charts.helm import ROOT, Case, Object, label, notes, objects
from tests.charts.rules import pods

RESOURCES = {"cpu": "2", "memory": "4Gi", "shm": "1Gi"}
REQUEST = TrainJobRequest(
    id="r1", family="tabular", job="s3://x", nodes=2, gpus_per_node=1, resources=RESOURCES
)


def rendered(file: str, *sets: str) -> dict[str, Object]:
    """Objects by `Kind/name`."""
    extra = [part for one in sets for part in ("--set", one)]
    return {
        f"{one['kind']}/{one['metadata']['name']}": one
        for one in objects(Case("platform", file), *extra)
    }


def verbs(role: Object) -> dict[str, set[str]]:
    return {
        resource: set(rule["verbs"]) for rule in role["rules"] for resource in rule["resources"]
    }


def test_the_launcher_may_do_what_launching_training_takes_and_no_more():
    found = rendered("default")
    assert verbs(found["Role/payments-launcher"]) == {
        "trainjobs": {"create", "get", "list", "watch", "patch", "delete"},
        "pods": {"get", "list", "watch"},
        "pods/log": {"get", "list", "watch"},
        "events": {"get", "list", "watch"},
    }
    assert verbs(found["ClusterRole/models-payments-launcher"]) == {
        "clustertrainingruntimes": {"get", "list"}
    }
    bound = [one["name"] for one in found["RoleBinding/payments-launcher"]["subjects"]]
    assert bound == ["payments-launcher", "pipeline-runner"]


def test_training_nodes_and_services_have_no_rights():
    found = rendered("full")
    bound = {
        one["name"]
        for each in found.values()
        if each["kind"].endswith("Binding")
        for one in each["subjects"]
    }
    assert bound == {
        "modelyard-launcher",
        "modelyard-register",
        "modelyard-starts",
        "pipeline-runner",
        "default-editor",
    }
    for name in ("trainer", "services", "register", "starts"):
        assert found[f"ServiceAccount/modelyard-{name}"]["automountServiceAccountToken"] is False


def test_a_register_job_without_users_needs_no_rights():
    assert not any(name.endswith("Role/payments-register") for name in rendered("default"))


def test_the_job_that_registers_runs_after_install_upgrade_and_rollback():
    job = rendered("full")["Job/modelyard-register"]
    assert (
        job["metadata"]["annotations"]["helm.sh/hook"] == "post-install,post-upgrade,post-rollback"
    )
    source = job["spec"]["template"]["spec"]["volumes"][-1]["projected"]["sources"][0][
        "serviceAccountToken"
    ]
    assert source["audience"] == "pipelines.kubeflow.org"


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("http://ml-pipeline.kubeflow:8888", 8888),
        ("https://kfp.example.org", 443),
        ("http://kfp/pipeline", 80),
    ],
)
def test_the_register_job_may_reach_the_api(host, port):
    policy = rendered("default", f"register.host={host}")["NetworkPolicy/payments-register"]
    assert port in [one["port"] for rule in policy["spec"]["egress"] for one in rule["ports"]]
    ports = [
        (one["port"], one["protocol"]) for rule in policy["spec"]["egress"] for one in rule["ports"]
    ]
    assert len(ports) == len(set(ports))
    assert "ingress" not in policy["spec"]


def runtime_pod(file: str, name: str) -> Object:
    found = rendered(file)[f"ClusterTrainingRuntime/{name}"]
    job = found["spec"]["template"]["spec"]["replicatedJobs"][0]
    spec: Object = job["template"]["spec"]["template"]["spec"]
    return spec


def test_each_class_of_gpu_has_its_runtime():
    whole, many, slice_ = (
        runtime_pod("gpu", f"modelyard-{name}") for name in ("a100", "h100x8", "h100-slice")
    )
    assert whole["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert many["containers"][0]["resources"]["requests"]["nvidia.com/gpu"] == "8"
    assert slice_["containers"][0]["resources"]["limits"]["nvidia.com/mig-1g.10gb"] == "1"
    assert whole["runtimeClassName"] == "nvidia"
    assert many["priorityClassName"] == "training"
    template = rendered("gpu")["ClusterTrainingRuntime/modelyard-h100x8"]["spec"]["template"]
    assert template["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "training"
    assert not any(name.endswith("/modelyard-cpu") for name in rendered("gpu"))


def test_the_launchers_patches_merge_into_the_runtime():
    patch = train_job(REQUEST, ClusterSettings(image="x:1"))["spec"]["runtimePatches"][0][
        "trainingRuntimeSpec"
    ]
    job = patch["template"]["spec"]["replicatedJobs"][0]
    pod = job["template"]["spec"]["template"]["spec"]
    mine = runtime_pod("default", "modelyard-cpu")
    runtime = rendered("default")["ClusterTrainingRuntime/modelyard-cpu"]["spec"]["template"][
        "spec"
    ]
    assert job["name"] == runtime["replicatedJobs"][0]["name"]
    assert [one["name"] for one in pod["containers"]] == [one["name"] for one in mine["containers"]]

    def places(containers: list[Object]) -> dict[str, str]:
        return {
            mount["mountPath"]: mount["name"]
            for one in containers
            for mount in one.get("volumeMounts", [])
        }

    shared = places(pod["containers"]).keys() & places(mine["containers"]).keys()
    assert shared == {"/dev/shm"}
    assert all(
        places(pod["containers"])[place] == places(mine["containers"])[place] for place in shared
    )


def test_training_nodes_may_talk_to_each_other_to_mlflow_and_to_stores_alone():
    policy = rendered("default")["NetworkPolicy/payments-training"]["spec"]
    assert policy["podSelector"]["matchLabels"] == MANAGER
    assert policy["ingress"] == [{"from": [{"podSelector": {"matchLabels": MANAGER}}]}]
    peers = [one["podSelector"]["matchLabels"] for one in policy["egress"][0]["to"]]
    mlflow = rendered("default")["Deployment/payments-mlflow"]["spec"]["selector"]["matchLabels"]
    assert peers == [MANAGER, mlflow]
    labels = train_job(REQUEST, ClusterSettings(image="x:1"))["spec"]["runtimePatches"][0][
        "trainingRuntimeSpec"
    ]
    pod = labels["template"]["spec"]["replicatedJobs"][0]["template"]["spec"]["template"][
        "metadata"
    ]
    assert MANAGER.items() <= pod["labels"].items()


def test_everything_else_is_denied_on_request():
    policy = rendered("full")["NetworkPolicy/modelyard-default-deny"]["spec"]
    assert policy == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert "NetworkPolicy/payments-default-deny" not in rendered("default")


def test_steps_may_talk_to_kubeflow_the_api_mlflow_and_stores_where_all_else_is_denied():
    policy = rendered("full")["NetworkPolicy/modelyard-steps"]["spec"]
    assert policy["podSelector"]["matchLabels"] == {"pipelines.kubeflow.org/v2_component": "true"}
    assert "ingress" not in policy
    ports = {one["port"] for rule in policy["egress"] for one in rule.get("ports", [])}
    assert ports == {53, 443, 6443, 9000, 5432}
    assert "NetworkPolicy/payments-steps" not in rendered("default")


def test_steps_find_mlflow_in_the_environment():
    data = rendered("default")["ConfigMap/modelyard-environment"]["data"]
    assert data == {"MLFLOW_TRACKING_URI": "http://payments-mlflow.models.svc:5000"}
    assert rendered("training-only")["ConfigMap/modelyard-environment"]["data"][
        "MLFLOW_TRACKING_URI"
    ].endswith(".tracking:5000")


@pytest.mark.parametrize(
    ("sets", "place"),
    [
        (["mlflow.artifactsUri=s3://models/mlflow/"], "s3://models/mlflow/checkpoints"),
        (["pipelines.checkpoints=s3://scratch/c"], "s3://scratch/c"),
        (
            ["pipelines.checkpoints=s3://scratch/c", "mlflow.artifactsUri=s3://models/mlflow"],
            "s3://scratch/c",
        ),
        ([], None),
    ],
    ids=["next to MLflow's artifacts", "where it is said", "said wins", "no store is known"],
)
def test_steps_find_a_place_for_checkpoints_that_outlives_their_pods(sets, place, tmp_path):
    case = Case("platform", "default")
    extra = [part for one in sets for part in ("--set", one)]
    found = {label(one): one for one in objects(case, *extra)}
    data = found["ConfigMap/modelyard-environment"]["data"]
    assert data.get("MODELYARD_CHECKPOINTS") == place
    said = notes(case, tmp_path, *extra)
    assert ("Set pipelines.checkpoints" in said) is (place is None)


def environment(deployment: Object) -> dict[str, Any]:
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    return {one["name"]: one.get("value") or one.get("valueFrom") for one in container["env"]}


def test_mlflow_keeps_a_trial_on_a_claim_and_the_rest_elsewhere():
    trial = rendered("default")
    assert (
        environment(trial["Deployment/payments-mlflow"])["MLFLOW_BACKEND_STORE_URI"]
        == "sqlite:////data/mlflow.db"
    )
    assert (
        trial["PersistentVolumeClaim/payments-mlflow"]["metadata"]["annotations"][
            "helm.sh/resource-policy"
        ]
        == "keep"
    )
    real = rendered("external")
    reference = {"secretKeyRef": {"name": "mlflow-database", "key": "uri"}}
    assert environment(real["Deployment/payments-mlflow"])["MLFLOW_BACKEND_STORE_URI"] == reference
    assert not any(name.startswith("PersistentVolumeClaim/") for name in real)
    arguments = real["Deployment/payments-mlflow"]["spec"]["template"]["spec"]["containers"][0][
        "args"
    ]
    assert "--artifacts-destination=s3://models/mlflow" in arguments


def test_mlflow_is_called_by_the_names_it_allows():
    found = rendered("full")
    container = found["Deployment/modelyard-mlflow"]["spec"]["template"]["spec"]["containers"][0]
    hosts = (
        next(one for one in container["args"] if one.startswith("--allowed-hosts="))
        .split("=")[1]
        .split(",")
    )
    nodes = runtime_pod("full", "modelyard-cpu")["containers"][0]["env"]
    uri = next(one["value"] for one in nodes if one["name"] == "MLFLOW_TRACKING_URI")
    assert uri.removeprefix("http://") in hosts
    assert "mlflow.example.org" in hosts


def test_credentials_are_references_alone():
    found = rendered("full")
    assert not any(one["kind"] == "Secret" for one in found.values())
    node = runtime_pod("full", "modelyard-cpu")["containers"][0]
    assert [one["secretRef"]["name"] for one in node["envFrom"]] == ["object-store", "data"]


def test_alerts_and_dashboard_ask_for_metrics_that_the_server_has():
    from modelyard.serving.metrics import Metrics, exposition

    Metrics("some-package")
    known = set(re.findall(r"^# TYPE (modelyard_\w+) ", exposition()[0].decode(), re.MULTILINE))
    found = rendered("full")
    rules = found["PrometheusRule/modelyard-models"]["spec"]["groups"][0]["rules"]
    board = json.loads(found["ConfigMap/modelyard-dashboard"]["data"]["modelyard-models.json"])
    texts = [rule["expr"] for rule in rules] + [
        one["expr"] for panel in board["panels"] for one in panel["targets"]
    ]
    asked = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for text in texts
        for name in re.findall(r"modelyard_\w+", text)
    }
    assert len(rules) == 4
    assert len(board["panels"]) == 8
    assert asked <= known | {"modelyard"}, asked - known


def test_the_model_chart_scales_by_a_metric_that_the_server_has():
    from modelyard.serving.metrics import Metrics, exposition

    Metrics("some-package")
    values = (ROOT / "charts" / "model" / "values.yaml").read_text()
    name = re.search(r"queueMetric: (\w+)", values)
    assert name is not None
    assert f"# TYPE {name[1]} gauge" in exposition()[0].decode()


def test_limits_are_there_for_containers_that_state_none():
    found = rendered("full")
    assert found["LimitRange/modelyard-limits"]["spec"]["limits"][0]["defaultRequest"] == {
        "cpu": "100m",
        "memory": "256Mi",
    }
    assert found["ResourceQuota/modelyard-quota"]["spec"]["hard"]["requests.nvidia.com/gpu"] == "8"


def test_no_pod_of_the_platform_runs_as_the_launcher():
    for pod in pods(list(rendered("full").values())):
        assert pod.spec.get("serviceAccountName") != "modelyard-launcher"


def test_pipelines_are_registered_with_the_image_of_the_mirror():
    found = rendered("air-gapped")
    wanted = json.loads(found["ConfigMap/payments-register"]["data"]["plan.json"])["image"]
    assert wanted.startswith("registry.example.org:5000/mirror/modelyard/trainer@sha256:")
    assert (
        wanted
        == found["Job/payments-register"]["spec"]["template"]["spec"]["containers"][0]["image"]
    )
