"""What is told of pods and of what makes them: causes and fixes from what the API and the
kubelet really say."""

from __future__ import annotations

import pytest

from modelyard.doctor.pod import explain_pod
from modelyard.doctor.workload import claim_pending, job_failed, not_admitted, refused

META = {"name": "payments-7d9f", "namespace": "models", "uid": "1"}


def pod(spec=None, **status):
    return {"metadata": META, "spec": spec or {}, "status": {"phase": "Pending", **status}}


def waiting(reason, message, name="server", **more):
    state = {"waiting": {"reason": reason, "message": message}}
    return {
        "name": name,
        "image": "registry.example/server:9",
        "ready": False,
        "state": state,
        **more,
    }


def ended(code, name="server", reason="Error", **more):
    state = {"terminated": {"exitCode": code, "reason": reason}}
    return {
        "name": name,
        "image": "registry.example/server:9",
        "ready": False,
        "state": state,
        **more,
    }


def event(reason, message, at="10:00"):
    return {"reason": reason, "message": message, "lastTimestamp": f"2026-10-01T{at}:00Z"}


def unscheduled(message, **spec):
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
    }
    return pod(spec, conditions=[condition])


def said(line):
    return lambda container, previous: line


PULLS = [
    (
        "rpc error: code = NotFound desc = failed to pull and unpack image "
        '"registry.example/server:9": failed to resolve '
        'reference "registry.example/server:9": registry.example/server:9: not found',
        "pull-missing",
        "check name",
    ),
    (
        "failed to authorize: failed to fetch anonymous token: unexpected status from GET request to "
        "https://registry.example/token: 401 Unauthorized",
        "pull-auth",
        "create secret docker-registry",
    ),
    (
        "pull access denied, repository does not exist or may require authorization: "
        "server message: insufficient_scope: authorization failed",
        "pull-auth",
        "create secret docker-registry",
    ),
    (
        'failed to do request: Head "https://registry.example/v2/": dial tcp: lookup registry.example: no such host',
        "pull-network",
        "mirror",
    ),
    ("toomanyrequests: You have reached your pull rate limit", "pull-limit", "mirror"),
    ("no match for platform in manifest: not found", "pull-platform", "architecture"),
]


@pytest.mark.parametrize(
    ("message", "kind", "fix"), PULLS, ids=[f"{one[1]}-{n}" for n, one in enumerate(PULLS)]
)
def test_an_image_that_cannot_be_pulled(message, kind, fix):
    trouble = explain_pod(pod(containerStatuses=[waiting("ErrImagePull", message)]))
    assert trouble.kind == kind
    assert "registry.example/server:9" in trouble.cause
    assert fix in trouble.fix


def test_while_the_kubelet_backs_off_the_cause_comes_from_the_earlier_event():
    back_off = waiting("ImagePullBackOff", 'Back-off pulling image "registry.example/server:9"')
    events = [
        event("Failed", f"Failed to pull image: {PULLS[0][0]}"),
        event("Failed", "Error: ImagePullBackOff", "10:01"),
    ]
    assert explain_pod(pod(containerStatuses=[back_off])).kind == "pull"
    assert explain_pod(pod(containerStatuses=[back_off]), events).kind == "pull-missing"


def test_a_digest_that_holds_401_is_no_refusal():
    message = "registry.example/server@sha256:ab401cd429ef: not found"
    assert (
        explain_pod(pod(containerStatuses=[waiting("ErrImagePull", message)])).kind
        == "pull-missing"
    )


@pytest.mark.parametrize(
    ("message", "kind", "words"),
    [
        ('secret "mlflow" not found', "no-secret", "create secret generic mlflow"),
        ('configmap "settings" not found', "no-configmap", "create configmap settings"),
        ("couldn't find key token in Secret models/auth", "no-key", "describe secret auth"),
        (
            "container has runAsNonRoot and image will run as root (pod: ...)",
            "root",
            "numeric USER",
        ),
    ],
)
def test_a_container_that_cannot_be_made(message, kind, words):
    trouble = explain_pod(pod(containerStatuses=[waiting("CreateContainerConfigError", message)]))
    assert (trouble.kind, trouble.lasting) == (kind, True)
    assert words in trouble.fix


GPU = {"containers": [{"name": "node", "resources": {"limits": {"nvidia.com/gpu": "4"}}}]}


@pytest.mark.parametrize(
    ("message", "kind", "words"),
    [
        (
            "0/5 nodes are available: 2 Insufficient cpu, 5 Insufficient nvidia.com/gpu. preemption: 0/5 nodes are "
            "available: 5 No preemption victims found for incoming pod.",
            "no-room",
            "nvidia.com/gpu free (4 requested)",
        ),
        (
            "0/5 nodes are available: 2 node(s) had untolerated taint {nvidia.com/gpu: present}, 3 Insufficient "
            "nvidia.com/gpu. preemption: 0/5 nodes are available.",
            "taint",
            "have the taint nvidia.com/gpu",
        ),
        (
            "0/2 nodes are available: 2 node(s) had untolerated taint {dedicated: team-b}.",
            "taint",
            "dedicated: team-b",
        ),
        (
            "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.",
            "node-selector",
            "labels",
        ),
        (
            "0/3 nodes are available: 1 Insufficient memory, 2 node(s) had volume node affinity conflict.",
            "volume-zone",
            "zone",
        ),
        ("0/3 nodes are available: 3 node(s) were unschedulable.", "cordoned", "cordoned"),
        (
            "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
            "claim-pending",
            "not bound",
        ),
        ('persistentvolumeclaim "data" not found', "no-claim", "'data' not found"),
        ("0/3 nodes are available: 3 Insufficient memory.", "no-room", "enough memory"),
    ],
)
def test_a_pod_that_no_node_takes(message, kind, words):
    trouble = explain_pod(unscheduled(message, **GPU))
    assert trouble.kind == kind
    assert words in trouble.cause
    assert "preemption" not in trouble.cause


def test_a_message_that_ends_with_the_resource_does_not_lend_it_its_dot():
    trouble = explain_pod(
        unscheduled("0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", **GPU)
    )
    assert "ask for fewer nvidia.com/gpu, or" in trouble.fix
    assert "(4 requested)" in trouble.cause


def test_a_taint_is_answered_with_the_toleration_to_type():
    message = "0/2 nodes are available: 2 node(s) had untolerated taint {dedicated: team-b}."
    assert "cluster.tolerations=[{key: dedicated}]" in explain_pod(unscheduled(message)).fix


def test_a_gate_of_kueue_is_no_failure_yet():
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "SchedulingGated",
        "message": "…",
    }
    trouble = explain_pod(
        pod({"schedulingGates": [{"name": "kueue.x-k8s.io/admission"}]}, conditions=[condition])
    )
    assert (trouble.kind, trouble.lasting) == ("gated", False)
    assert "queue (Kueue)" in trouble.cause


def test_a_container_out_of_memory_is_told_its_limit():
    spec = {"containers": [{"name": "server", "resources": {"limits": {"memory": "1Gi"}}}]}
    for one in (
        ended(137, reason="OOMKilled"),
        waiting(
            "CrashLoopBackOff",
            "",
            lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
        ),
    ):
        trouble = explain_pod(pod(spec, containerStatuses=[one]))
        assert trouble.kind == "out-of-memory"
        assert "its limit is 1Gi" in trouble.cause
        assert "cluster.memory=" in trouble.fix


def test_a_crash_loop_is_told_with_the_last_line():
    last = {"terminated": {"exitCode": 2, "reason": "Error"}}
    one = waiting("CrashLoopBackOff", "back-off 5m0s restarting", lastState=last, restartCount=6)
    asked = []
    trouble = explain_pod(
        pod(containerStatuses=[one]),
        last_line=lambda *which: asked.append(which) or "error: no such package",
    )
    assert asked == [("server", True)]
    assert trouble.kind == "crash-loop"
    assert trouble.cause.endswith("exit code 2 (6 restarts). Its last line: error: no such package")
    assert trouble.fix == "kubectl -n models logs payments-7d9f -c server --previous"


def test_the_package_that_cannot_be_fetched_is_told_in_fetchs_own_words():
    status = ended(2, "package")
    trouble = explain_pod(
        pod(initContainerStatuses=[status]), last_line=said("error: s3://m/3: no such folder")
    )
    assert trouble.kind == "package"
    assert trouble.cause == "its package cannot be fetched: s3://m/3: no such folder"
    assert "package.credentialsSecret" in trouble.fix


@pytest.mark.parametrize(
    ("reason", "message", "kind"),
    [
        (
            "Evicted",
            "The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi",
            "evicted-storage",
        ),
        (
            "Evicted",
            'Usage of EmptyDir volume "package" exceeds the limit "2Gi". ',
            "evicted-storage",
        ),
        ("Evicted", "The node was low on resource: memory.", "evicted-memory"),
        (
            "DeadlineExceeded",
            "Pod was active on the node longer than the specified deadline",
            "deadline",
        ),
        ("NodeLost", "Node gpu-1 which was running pod is unresponsive", "node"),
    ],
)
def test_a_pod_that_was_ended_as_a_whole(reason, message, kind):
    trouble = explain_pod(pod(phase="Failed", reason=reason, message=message))
    assert trouble.kind == kind
    assert message.split(".")[0].strip() in trouble.cause


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (
            'MountVolume.SetUp failed for volume "creds" : secret "object-store" not found',
            "mount-missing",
        ),
        (
            'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) other',
            "mount-busy",
        ),
        (
            "Unable to attach or mount volumes: unmounted volumes=[data]: timed out waiting for the condition",
            "mount",
        ),
    ],
)
def test_a_volume_that_is_not_mounted(message, kind):
    creating = waiting("ContainerCreating", "")
    assert explain_pod(pod(containerStatuses=[creating])) is None
    assert (
        explain_pod(pod(containerStatuses=[creating]), [event("FailedMount", message)]).kind == kind
    )


RUNNING = {"name": "server", "ready": False, "state": {"running": {}}}
NOT_READY = [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}]


def test_a_probe_that_fails_is_told_and_one_of_the_past_is_not():
    events = [event("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503")]
    trouble = explain_pod(
        pod(phase="Running", conditions=NOT_READY, containerStatuses=[RUNNING]), events
    )
    assert (trouble.kind, trouble.lasting) == ("probe", False)
    assert "readiness probe fails" in trouble.cause
    ready = [{"type": "Ready", "status": "True"}]
    well = {**RUNNING, "ready": True, "lastState": {"terminated": {"exitCode": 1}}}
    assert (
        explain_pod(pod(phase="Running", conditions=ready, containerStatuses=[well]), events)
        is None
    )


def test_a_probe_that_kills_over_and_over_is_not_taken_for_memory():
    events = [
        event("Unhealthy", "Startup probe failed: connection refused"),
        event("Killing", "Container server failed startup probe, will be restarted"),
    ]
    one = waiting(
        "CrashLoopBackOff", "", lastState={"terminated": {"exitCode": 137, "reason": "Error"}}
    )
    trouble = explain_pod(
        pod(phase="Running", conditions=NOT_READY, containerStatuses=[one]), events
    )
    assert trouble.kind == "probe"
    assert "Startup probe failed" in trouble.cause


def test_a_node_that_is_gone_is_named():
    gone = [{"type": "Ready", "status": "False", "reason": "NodeNotReady"}]
    trouble = explain_pod(
        pod({"nodeName": "gpu-1"}, phase="Running", conditions=gone, containerStatuses=[RUNNING])
    )
    assert (trouble.kind, trouble.fix) == ("node", "kubectl describe node gpu-1")


def test_a_step_whose_outputs_were_not_stored():
    done = ended(0, "main", reason="Completed")
    trouble = explain_pod(
        pod(phase="Failed", containerStatuses=[done, ended(1, "wait")]), last_line=said("no bucket")
    )
    assert (trouble.kind, "no bucket" in trouble.cause) == ("no-output", True)
    line = 'failed to upload output artifact "model" to remote storage URI "minio://mlpipeline/v2"'
    assert (
        explain_pod(
            pod(phase="Failed", containerStatuses=[ended(1, "main")]), last_line=said(line)
        ).kind
        == "no-output"
    )


def test_a_pod_that_is_well_is_not_complained_of():
    assert explain_pod(pod(phase="Succeeded", containerStatuses=[ended(0)])) is None
    assert (
        explain_pod(pod(phase="Running", conditions=[{"type": "Ready", "status": "True"}])) is None
    )


@pytest.mark.parametrize(
    ("message", "kind", "words"),
    [
        (
            'pods "x" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=4, used: '
            "requests.nvidia.com/gpu=6, limited: requests.nvidia.com/gpu=8",
            "quota",
            "quota gpus",
        ),
        (
            'pods "x" is forbidden: failed quota: compute: must specify limits.cpu',
            "quota",
            "limits.cpu",
        ),
        (
            'pods "x" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false',
            "pod-security",
            "allowPrivilegeEscalation",
        ),
        (
            'admission webhook "policy.example" denied the request: images must be signed',
            "admission",
            "signed",
        ),
        (
            'pods "x" is forbidden: error looking up service account models/bot: serviceaccount "bot" not found',
            "no-account",
            "'bot'",
        ),
        (
            'pods "x" is forbidden: maximum memory usage per Container is 2Gi, but limit is 8Gi',
            "limit-range",
            "2Gi",
        ),
    ],
)
def test_pods_that_the_api_refuses(message, kind, words):
    trouble = refused({"metadata": META}, "replicaset", f"Error creating: {message}")
    assert trouble.kind == kind
    assert words in trouble.cause


@pytest.mark.parametrize(
    ("reason", "message", "words"),
    [
        (
            "ProvisioningFailed",
            'storageclass.storage.k8s.io "fast" not found',
            "'fast' does not exist",
        ),
        (
            "FailedBinding",
            "no persistent volumes available for this claim and no storage class is set",
            "no default",
        ),
    ],
)
def test_a_claim_that_is_not_bound(reason, message, words):
    claim = {"metadata": META, "spec": {"storageClassName": "fast"}, "status": {"phase": "Pending"}}
    assert words in claim_pending(claim, [event(reason, message)]).cause
    assert (
        claim_pending(claim, [event("WaitForFirstConsumer", "waiting for first consumer")]) is None
    )
    assert claim_pending({**claim, "status": {"phase": "Bound"}}, [event(reason, message)]) is None


@pytest.mark.parametrize(
    ("reason", "message", "kind"),
    [
        (
            "Pending",
            "couldn't assign flavors to pod set node: insufficient unused quota for nvidia.com/gpu in flavor "
            "a100, 4 more needed",
            "queued",
        ),
        ("Inadmissible", "LocalQueue team doesn't exist", "queue-missing"),
        (
            "Pending",
            "insufficient quota for nvidia.com/gpu in flavor a100, request > maximum capacity (8 < 16)",
            "queue-too-large",
        ),
    ],
)
def test_a_job_that_a_queue_holds(reason, message, kind):
    condition = {"type": "QuotaReserved", "status": "False", "reason": reason, "message": message}
    workload = {
        "metadata": META,
        "spec": {"queueName": "team"},
        "status": {"conditions": [condition]},
    }
    trouble = not_admitted(workload)
    assert (trouble.kind, trouble.lasting) == (kind, kind != "queued")
    admitted = {"conditions": [condition, {"type": "Admitted", "status": "True"}]}
    assert not_admitted({**workload, "status": admitted}) is None


def test_a_training_job_past_its_deadline_or_suspended():
    failed = {
        "type": "Failed",
        "status": "True",
        "reason": "DeadlineExceeded",
        "message": "longer than 3600s",
    }
    assert (
        job_failed({"metadata": META, "status": {"conditions": [failed]}}, "trainjob").kind
        == "deadline"
    )
    suspended = {"metadata": META, "spec": {"suspend": True}}
    assert job_failed(suspended, "trainjob").lasting
    queued = {**suspended, "metadata": {**META, "labels": {"kueue.x-k8s.io/queue-name": "team"}}}
    assert not job_failed(queued, "trainjob").lasting
    assert job_failed({"metadata": META, "status": {}}, "trainjob") is None
