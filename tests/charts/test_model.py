"""What a release of the chart `model` does with its values."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import yaml

from tests.charts.helm import ROOT, Case, Object, notes, objects, template


def rendered(file: str, *sets: str) -> dict[str, Object]:
    """Objects by `Kind/name`."""
    extra = [part for one in sets for part in ("--set", one)]
    return {
        f"{one['kind']}/{one['metadata']['name']}": one
        for one in objects(Case("model", file), *extra)
    }


def spec(deployment: Object) -> Object:
    found: Object = deployment["spec"]["template"]["spec"]
    return found


def fetch_arguments(deployment: Object) -> list[str]:
    found: list[str] = spec(deployment)["initContainers"][0]["args"]
    return found


def environment(container: Object) -> dict[str, str | None]:
    return {one["name"]: one.get("value") for one in container["env"]}


def test_the_init_container_gets_the_source_and_the_sum_of_the_package():
    digest = "0123456789abcdef" * 4
    assert fetch_arguments(rendered("full")["Deployment/payments"]) == [
        "s3://models/payments/3",
        "/verified/model",
        digest,
    ]
    assert fetch_arguments(rendered("external")["Deployment/payments"]) == [
        "/source/payments/3",
        "/verified/model",
    ]
    air = rendered("air-gapped")["Deployment/payments"]
    assert fetch_arguments(air) == ["/package", "/verified/model", digest]
    assert spec(air)["initContainers"][0]["image"].endswith(f"/models/payments@sha256:{digest}")


_KEY = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
KEYS = f"-----BEGIN PUBLIC KEY-----\n{_KEY}\n-----END PUBLIC KEY-----\n"


def test_public_keys_reach_the_init_container_and_the_server_and_new_ones_are_a_rollout():
    before = rendered("default")
    after = rendered("default", f"package.publicKeys={KEYS}")
    (name,) = [name for name in after if name.startswith("Deployment/")]
    (scripts,) = [one for name, one in after.items() if name.endswith("-scripts")]
    assert scripts["data"]["public-keys.pem"].strip() == KEYS.strip()
    pod = spec(after[name])
    for container in (pod["initContainers"][0], pod["containers"][0]):
        file = environment(container)["MODELYARD_PUBLIC_KEY_FILE"]
        assert file == "/scripts/public-keys.pem"
        assert {"name": "scripts", "mountPath": "/scripts", "readOnly": True} in container[
            "volumeMounts"
        ]
    for container in (spec(before[name])["initContainers"][0], spec(before[name])["containers"][0]):
        assert "MODELYARD_PUBLIC_KEY_FILE" not in environment(container)
    notes = [one[name]["spec"]["template"]["metadata"]["annotations"] for one in (before, after)]
    assert notes[0] != notes[1]


def test_families_from_outside_are_named_to_the_server_by_the_values():
    found = rendered("default", "package.families={own.lines:Line,own.trees:Tree}")
    (deployment,) = [one for name, one in found.items() if name.startswith("Deployment/")]
    assert (
        environment(spec(deployment)["containers"][0])["MODELYARD_FAMILIES"]
        == "own.lines:Line,own.trees:Tree"
    )


def test_a_new_package_is_a_new_rollout_and_the_same_one_is_none():
    before = rendered("full")["Deployment/payments"]
    after = rendered("full", "package.uri=s3://models/payments/4")["Deployment/payments"]
    other = rendered("full", "autoscaling.maxReplicas=30")["Deployment/payments"]
    assert before["spec"]["template"] != after["spec"]["template"]
    assert before["spec"]["template"] == other["spec"]["template"]


def test_the_gateway_divides_requests_by_the_weight():
    found = rendered("canary", "canary.weight=30")
    backends = found["HTTPRoute/payments"]["spec"]["rules"][0]["backendRefs"]
    assert {one["name"]: one["weight"] for one in backends} == {
        "payments": 70,
        "payments-canary": 30,
    }
    for name, track in (("payments", "stable"), ("payments-canary", "canary")):
        assert found[f"Service/{name}"]["spec"]["selector"]["app.kubernetes.io/component"] == track
        assert (
            found[f"Deployment/{name}"]["spec"]["selector"]["matchLabels"][
                "app.kubernetes.io/component"
            ]
            == track
        )


def test_the_canary_runs_its_own_package_and_image_and_the_stable_one_stays():
    found, alone = rendered("canary"), rendered("canary", "canary.enabled=false")
    assert found["Deployment/payments"] == alone["Deployment/payments"]
    canary = found["Deployment/payments-canary"]
    assert fetch_arguments(canary) == ["s3://models/payments/4", "/verified/model"]
    assert spec(canary)["containers"][0]["image"] == "modelyard/server:0.1.1"
    assert not any(name.endswith("-canary") for name in alone)


@pytest.mark.parametrize(
    ("replicas", "weight"), [(3, 25), (6, 25), (9, 10), (10, 5), (1, 50), (4, 80)]
)
def test_the_share_by_replicas_is_as_near_the_weight_as_whole_pods_allow(replicas, weight):
    found = rendered("canary-replicas", f"replicaCount={replicas}", f"canary.weight={weight}")
    pods = found["Deployment/payments-canary"]["spec"]["replicas"]

    def error(count: int) -> float:
        return abs(count / (count + replicas) - weight / 100)

    assert pods >= 1
    assert math.isclose(error(pods), min(error(count) for count in range(1, 50)), abs_tol=0.03)
    service = found["Service/payments"]["spec"]["selector"]
    assert "app.kubernetes.io/component" not in service


@pytest.mark.parametrize(
    ("replicas", "weight", "share", "advice"),
    [
        (2, 10, "33.3 %: 1 pods beside replicaCount=2", "Set replicaCount=6, canary.weight=33"),
        (1, 60, "66.7 %: 2 pods beside replicaCount=1", "Set replicaCount=2, canary.weight=67"),
        (1, 1, "50 %: 1 pods beside replicaCount=1", "Set replicaCount=16, canary.weight=50"),
    ],
)
def test_a_share_by_replicas_that_is_far_from_the_weight_is_refused_with_what_to_set(
    replicas, weight, share, advice
):
    def given(count: int, percent: int) -> list[str]:
        return ["--set", f"replicaCount={count},canary.weight={percent}"]

    done = template(Case("model", "canary-replicas"), *given(replicas, weight))
    assert done.returncode != 0
    assert f"canary.weight is {weight}, but the canary's share would be {share}" in done.stderr
    assert f"{advice}, or canary.mode=gateway" in done.stderr
    count, percent = (
        int(part.partition("=")[2]) for part in advice.removeprefix("Set ").split(", ")
    )
    assert template(Case("model", "canary-replicas"), *given(count, weight)).returncode == 0
    assert template(Case("model", "canary-replicas"), *given(replicas, percent)).returncode == 0


@pytest.mark.parametrize(
    ("file", "sets", "said"),
    [
        (
            "canary-replicas",
            "replicaCount=10,canary.weight=5",
            "9.1 % of the requests go to the canary: 1 of 11 pods.",
        ),
        ("canary", "canary.weight=30", "30 % of the requests go to the canary."),
    ],
)
def test_the_notes_say_the_share_that_the_canary_really_gets(file, sets, said, tmp_path):
    assert said in notes(Case("model", file), tmp_path, "--set", sets)


@pytest.mark.parametrize(("file", "pods"), [("full", 3), ("keda", 1)])
def test_a_first_install_under_an_autoscaler_starts_with_its_fewest_pods(file, pods):
    """A number that is left out is 1 to the API server."""
    assert rendered(file)["Deployment/payments"]["spec"]["replicas"] == pods


@pytest.mark.parametrize("file", ["air-gapped", "canary-replicas"])
def test_no_mount_hides_the_package_in_its_image(file):
    found = [
        spec(one)["initContainers"][0]
        for one in rendered(file).values()
        if one["kind"] in ("Deployment",)
    ]
    shipped = [one for one in found if "modelyard/server" not in one["image"]]
    assert shipped
    for container in shipped:
        source = Path(container["args"][0])
        hiding = [
            one["mountPath"]
            for one in container["volumeMounts"]
            if source.is_relative_to(one["mountPath"])
        ]
        assert hiding == []


@pytest.mark.parametrize("path", ["/tmp/model", "/verified", "/scripts/x"])
def test_a_package_in_an_image_where_a_mount_would_hide_it_is_refused(path):
    done = template(Case("model", "air-gapped"), "--set", f"package.path={path}")
    assert done.returncode != 0
    assert f"package.path is {path}, where the chart mounts a folder of its own" in done.stderr


def test_the_runbook_puts_a_shipped_package_where_the_chart_looks_for_it():
    values = yaml.safe_load((ROOT / "charts" / "model" / "values.yaml").read_text())
    (place,) = re.findall(r"COPY package (/\S+?)`", (ROOT / "docs" / "runbook.md").read_text())
    assert place == values["package"]["path"]


def test_the_autoscaler_looks_at_the_cpu_and_at_the_queue():
    metrics = rendered("full")["HorizontalPodAutoscaler/payments"]["spec"]["metrics"]
    assert [one["type"] for one in metrics] == ["Resource", "Pods"]
    assert (
        rendered("full", "autoscaling.queueDepth=0")["HorizontalPodAutoscaler/payments"]["spec"][
            "metrics"
        ]
        == metrics[:1]
    )


def test_keda_scales_to_zero_by_the_query():
    scaled = rendered("keda")["ScaledObject/payments"]["spec"]
    assert scaled["minReplicaCount"] == 0
    assert "gateway_requests_total" in scaled["triggers"][0]["metadata"]["query"]


def test_the_token_reaches_server_and_test_by_reference_alone():
    found = rendered("full")
    test = found["Pod/payments-golden"]["spec"]["containers"][0]
    for container in (spec(found["Deployment/payments"])["containers"][0], test):
        token = next(one for one in container["env"] if one["name"] == "MODELYARD_TOKEN")
        assert token == {
            "name": "MODELYARD_TOKEN",
            "valueFrom": {"secretKeyRef": {"name": "payments-token", "key": "bearer"}},
        }
    assert not any(one["kind"] == "Secret" for one in found.values())


def test_the_prediction_log_goes_where_the_values_say():
    def place(file: str, *sets: str) -> tuple[str | None, list[str]]:
        pod = spec(rendered(file, *sets)["Deployment/payments"])
        volumes = [
            kind
            for one in pod["volumes"]
            if one["name"] == "predictions"
            for kind in one
            if kind != "name"
        ]
        return environment(pod["containers"][0]).get("MODELYARD_PREDICTIONS"), volumes

    assert place("default") == ("/predictions", ["emptyDir"])
    assert place("full") == ("/predictions", ["persistentVolumeClaim"])
    assert place("keda") == ("s3://logs/payments", [])
    assert place("full", "predictions.enabled=false") == (None, [])


def test_a_created_claim_outlives_the_release_and_an_existing_one_is_not_created():
    claim = rendered("full")["PersistentVolumeClaim/payments-predictions"]
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert not any(name.startswith("PersistentVolumeClaim/") for name in rendered("external"))


def test_a_gpu_is_asked_for_and_limited_alike():
    pod = spec(rendered("gpu")["Deployment/payments"])
    resources = pod["containers"][0]["resources"]
    for kind in ("requests", "limits"):
        assert resources[kind]["nvidia.com/mig-1g.10gb"] == "1"
    assert "nvidia.com/mig-1g.10gb" not in pod["initContainers"][0]["resources"]["limits"]
    assert pod["runtimeClassName"] == "nvidia"
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}} in pod["volumes"]


def test_a_pod_with_a_gpu_runs_the_image_with_cuda_and_must_serve_on_it():
    digest = "sha256:" + "0" * 64
    on_gpu = "gpu.count=1"
    found = rendered("canary", on_gpu, f"image.digest={digest}", "image.tag=v7")
    pods = [spec(found[f"Deployment/payments{track}"]) for track in ("", "-canary")]
    pods.append(found["Pod/payments-golden"]["spec"])
    images = {
        container["image"]
        for pod in pods
        for container in pod["initContainers"] + pod["containers"]
    }
    # The digest of another image is none of this one's; the canary has a tag of its own.
    assert images == {"modelyard/server-cuda:v7", "modelyard/server-cuda:0.1.1"}
    own = rendered("default", on_gpu, "gpu.image.repository=own/cuda", f"gpu.image.digest={digest}")
    server = spec(own["Deployment/payments"])["containers"][0]
    assert server["image"] == f"own/cuda@{digest}"
    assert environment(server)["MODELYARD_DEVICE"] == "cuda"
    cpu = spec(rendered("default")["Deployment/payments"])["containers"][0]
    assert environment(cpu)["MODELYARD_DEVICE"] == "cpu"
    assert cpu["image"].startswith("modelyard/server:")


def test_engines_are_kept_in_the_pod_or_in_a_claim_that_pods_share():
    def kept(*sets: str, file: str = "default") -> list[Object]:
        pod = spec(rendered(file, *sets)["Deployment/payments"])
        assert environment(pod["containers"][0]).get("MODELYARD_ENGINES") in (None, "/engines")
        return [volume for volume in pod["volumes"] if volume["name"] == "engines"]

    assert kept() == []
    assert kept("gpu.count=1") == [{"name": "engines", "emptyDir": {"sizeLimit": "4Gi"}}]
    claim = {"claimName": "engines"}
    assert kept(file="gpu") == [{"name": "engines", "persistentVolumeClaim": claim}]


def test_the_server_compares_its_answers_as_helm_test_does():
    found = rendered("gpu", "tests.tolerance=1")
    server = spec(found["Deployment/payments"])["containers"][0]
    assert environment(server)["MODELYARD_TOLERANCE"] == "1"
    assert found["Pod/payments-golden"]["spec"]["containers"][0]["args"][-1] == "1"


def test_the_server_writes_to_mounted_folders_alone():
    container = spec(rendered("default")["Deployment/payments"])["containers"][0]
    writable = {one["mountPath"] for one in container["volumeMounts"] if not one.get("readOnly")}
    assert writable == {"/tmp", "/predictions"}
    for name in ("HOME", "MODELYARD_HOME", "MODELYARD_PREDICTIONS"):
        assert str(environment(container)[name]).startswith(tuple(writable))


def test_the_grace_period_leaves_time_to_drain():
    from modelyard.serving.workers import STOP_SECONDS

    pod = spec(rendered("default")["Deployment/payments"])
    assert pod["terminationGracePeriodSeconds"] > STOP_SECONDS + 5


def test_the_test_pod_sends_the_example_to_the_service_of_the_release():
    test = rendered("external", "tests.enabled=true")["Pod/payments-golden"]
    assert test["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert test["spec"]["containers"][0]["args"][0] == "http://payments:8080"
    assert template(Case("model", "external")).stdout.count("helm.sh/hook") == 0
