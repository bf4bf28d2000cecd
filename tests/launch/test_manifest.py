"""The TrainJob object, held against the CRD's own schema."""

from __future__ import annotations

import copy
import dataclasses
import re

import pytest

from modelyard.errors import UsageError
from modelyard.launch.manifest import TrainJobRequest, label_name, label_value, train_job
from modelyard.settings.cluster import ClusterSettings, Toleration
from modelyard.settings.family import FamilyConfig, portable, resolve
from tests.launch.conftest import REQUEST, SETTINGS
from tests.standin.schema import problems, schema_of

SCHEMA = schema_of("TrainerV1alpha1TrainJob")
FULL = ClusterSettings(
    runtime="torch-big",
    image="registry.example/modelyard:1",
    image_pull_secrets=["pull"],
    env={"NCCL_DEBUG": "WARN"},
    env_from_secrets={"AWS_SECRET_ACCESS_KEY": "s3/secret"},
    service_account="trainer",
    queue="gpus",
    scratch="/mnt/scratch",
    scratch_claim="scratch",
    fs_group=1000,
    node_selector={"gpu": "h100"},
    tolerations=[
        Toleration(key="nvidia.com/gpu", effect="NoSchedule"),
        Toleration(key="team", value="a"),
    ],
    gpu_resource="nvidia.com/mig-1g.10gb",
    cpu="96",
    memory="1Ti",
    shm="16Gi",
    timeout_hours=1.5,
)


JOBS = "trainingRuntimeSpec.template.spec.replicatedJobs"


def pod_of(job):
    patch = job["spec"]["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"][
        "replicatedJobs"
    ][0]
    return patch["template"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("settings", [SETTINGS, FULL], ids=["defaults", "everything set"])
def test_the_job_is_what_the_crd_allows_and_nothing_of_it_would_be_dropped(settings):
    assert problems(SCHEMA, train_job(REQUEST, settings)) == []


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("spec", "runtimePatch"),
        ("spec.trainer", "numnodes"),
        (f"spec.runtimePatches.0.{JOBS}.0.template.spec.template.spec", "volume"),
    ],
)
def test_a_misspelt_field_is_caught(path, wrong):
    job = copy.deepcopy(train_job(REQUEST, FULL))
    node = job
    for part in path.split("."):
        node = node[int(part) if part.isdigit() else part]
    node[wrong] = "x"
    assert problems(SCHEMA, job) == [f'unknown field "{path}.{wrong}"']


def test_a_wrong_type_is_caught():
    job = train_job(REQUEST, SETTINGS)
    job["spec"]["trainer"]["numNodes"] = "two"
    assert problems(SCHEMA, job) == ["spec.trainer.numNodes: 'two' is not of type 'integer'"]


def test_settings_arrive_in_their_fields():
    job = train_job(dataclasses.replace(REQUEST, resources=FULL.machine(REQUEST.resources)), FULL)
    trainer, pod = job["spec"]["trainer"], pod_of(job)
    assert job["spec"]["runtimeRef"]["name"] == "torch-big"
    assert job["spec"]["activeDeadlineSeconds"] == 5400
    assert trainer["numNodes"] == 2
    assert trainer["resourcesPerNode"] == {
        "requests": {"cpu": "96", "memory": "1Ti", "nvidia.com/mig-1g.10gb": "1"},
        "limits": {"cpu": "96", "memory": "1Ti", "nvidia.com/mig-1g.10gb": "1"},
    }
    secret = {"secretKeyRef": {"name": "s3", "key": "secret"}}
    assert {"name": "AWS_SECRET_ACCESS_KEY", "valueFrom": secret} in trainer["env"]
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}} in pod["volumes"]
    assert {"name": "scratch", "mountPath": "/mnt/scratch"} in pod["containers"][0]["volumeMounts"]
    assert pod["imagePullSecrets"] == [{"name": "pull"}]
    assert pod["serviceAccountName"] == "trainer"
    assert pod["nodeSelector"] == {"gpu": "h100"}
    assert pod["tolerations"] == [
        {"operator": "Exists", "key": "nvidia.com/gpu", "effect": "NoSchedule"},
        {"operator": "Equal", "key": "team", "value": "a"},
    ]


@pytest.mark.parametrize("cpu", ["1", "96", "1.5", "0.5", "500m"])
def test_what_is_not_set_is_as_the_family_says(cpu):
    family = {"cpu": "2", "memory": "8Gi", "shm": "2Gi"}
    assert ClusterSettings().machine(family) == family
    assert ClusterSettings(cpu=cpu).machine(family) == {**family, "cpu": cpu}


def test_each_request_of_a_node_is_its_limit_too():
    """A runtime of the platform chart has limits of its own: what a job leaves out of them would
    stay, and a request above it is refused."""
    amounts = {"cpu": "2", "memory": "8Gi", "nvidia.com/gpu": "1"}
    assert train_job(REQUEST, SETTINGS)["spec"]["trainer"]["resourcesPerNode"] == {
        "requests": amounts,
        "limits": amounts,
    }


def test_pods_give_up_every_privilege():
    pod = pod_of(train_job(REQUEST, SETTINGS))
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert pod["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }


def test_without_gpus_one_process_a_node_trains_on_the_cpu():
    request = TrainJobRequest(
        "r", "toy", "s3://b/j", nodes=3, gpus_per_node=0, resources=REQUEST.resources
    )
    trainer = train_job(request, SETTINGS)["spec"]["trainer"]
    assert trainer["numProcPerNode"] == 1
    assert "nvidia.com/gpu" not in trainer["resourcesPerNode"]["limits"]


def test_the_steps_own_image_is_used_unless_one_is_set(monkeypatch):
    monkeypatch.setenv("MODELYARD_IMAGE", "registry.example/step:7")
    assert (
        train_job(REQUEST, ClusterSettings())["spec"]["trainer"]["image"]
        == "registry.example/step:7"
    )
    assert (
        train_job(REQUEST, SETTINGS)["spec"]["trainer"]["image"] == "registry.example/modelyard:1"
    )


def test_no_image_is_an_error_that_says_what_to_type(monkeypatch):
    monkeypatch.delenv("MODELYARD_IMAGE", raising=False)
    with pytest.raises(UsageError, match=r"--set cluster\.image="):
        train_job(REQUEST, ClusterSettings())


@pytest.mark.parametrize(
    "text",
    [
        "tabular-20261122-023000-ab12",
        "my_pkg.mod:Family-RUN",
        "7b-llama-x",
        "x" * 200,
        "ünïcode-Ω",
        "a--",
        "9" * 60,
    ],
)
def test_any_run_gets_a_name_that_its_pods_can_carry(text):
    name = label_name(text)
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)
    assert len(f"{name}-node-0-999-abcde") <= 63
    assert re.fullmatch(r"([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?", label_value(text))


@pytest.mark.parametrize("run", ["run-1", "574d9aa7-8c94-4dee-aa95-17d7049b196f", "x" * 200])
def test_each_attempt_has_a_name_of_its_own_that_its_pods_can_carry(run):
    request = dataclasses.replace(REQUEST, id=run)
    jobs = [train_job(request, SETTINGS, attempt) for attempt in (1, 2, 2)]
    names = {job["metadata"]["name"] for job in jobs}
    assert len(names) == 3
    for name in names:
        assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)
        assert len(f"{name}-node-0-999-abcde") <= 63
    for job in jobs:
        (patch,) = job["spec"]["runtimePatches"]
        (node,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
        pod = node["template"]["spec"]["template"]["metadata"]["labels"]
        for labels in (job["metadata"]["labels"], pod):
            wanted = dict(one.split("=") for one in request.selector.split(","))
            assert wanted.items() <= labels.items()
    other = dataclasses.replace(REQUEST, id=f"{run}-2")
    assert other.selector != request.selector


def test_names_that_differ_stay_apart():
    texts = ["a.b-r", "a_b-r", "A-b-r", "a-b-r", "x" * 100, "x" * 101]
    assert len({label_name(text) for text in texts}) == len(texts)


def test_the_defaults_travel_through_kubeflow_without_nulls():
    values = portable(FamilyConfig())
    assert None not in values["cluster"].values()
    assert resolve(FamilyConfig, ("config", values)).cluster == ClusterSettings()


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("env_from_secrets", {"KEY": "secret-without-key"}, "cluster.env_from_secrets"),
        ("env", {"PET_NNODES": "2"}, "cluster.env"),
        ("gpu_resource", "gpu", "cluster.gpu_resource"),
        ("shm", "lots", "cluster.shm"),
        ("cpu", "two", "cluster.cpu"),
        ("cpu", "0", "cluster.cpu"),
        ("memory", "64 GB", "cluster.memory"),
        ("timeout_hours", 0, "cluster.timeout_hours"),
        ("keep_job", "sometimes", "cluster.keep_job"),
        ("scratch", "s3://key:secret@bucket/x", "holds a user or password"),
        ("imgae", "x", "cluster.image"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(field, value, told):
    with pytest.raises(UsageError, match=re.escape(told)):
        resolve(FamilyConfig, ("--set", {"cluster": {field: value}}))
