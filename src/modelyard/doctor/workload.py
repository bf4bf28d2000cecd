"""Why something that should make pods makes none: refused pods, claims, queues, training jobs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from modelyard.doctor.finding import (
    Object,
    Trouble,
    condition,
    kubectl,
    newest_event,
    one_line,
    place_of,
)

_NEVER_FITS = ("excess", "exceeds", "maximum capacity")
"""Words of Kueue for a Workload that is larger than its queue."""
_QUOTA = re.compile(r"exceeded quota: ([^,]+), requested: (\S+?), used: (\S+?), limited: (\S+)")
_ACCOUNT = re.compile(r'serviceaccount "([^"]+)" not found')
_WEBHOOK = re.compile(r'admission webhook "([^"]+)" denied the request: (.*)')


def pods_refused(owner: Object, kind: str, events: Sequence[Object]) -> Trouble | None:
    """A ReplicaSet, Job or JobSet whose pods the API refuses; None where it does not."""
    event = newest_event(list(events), "FailedCreate", "ReplicaFailure")
    if event is None:
        return None
    return refused(owner, kind, str(event.get("message", "")))


def refused(owner: Object, kind: str, message: str) -> Trouble:
    """Explains the API's refusal of a pod."""
    place = place_of(owner, kind)
    # All these refusals have the reason FailedCreate: only the API server's words tell them apart.
    if quota := _QUOTA.search(message):
        name, requested, used, limited = quota.groups()
        cause = f"its pods exceed the quota {name}: {requested} requested, {used} used, {limited} allowed"
        return Trouble(
            "quota",
            place,
            cause,
            f"{kubectl(owner, f'describe quota {name}')}; free some, or ask for more",
        )
    if "must specify" in message:
        cause = f"a quota wants requests and limits that its pods lack: {one_line(message)}"
        return Trouble("quota", place, cause, "set requests and limits for what it names")
    if "PodSecurity" in message:
        said = one_line(message.partition("PodSecurity")[2].strip())
        cause = f"the namespace's Pod Security refuses its pods: {said}"
        fix = "fix what it names in the pod's securityContext; modelyard's own charts meet 'restricted'"
        return Trouble("pod-security", place, cause, fix)
    if webhook := _WEBHOOK.search(message):
        cause = f"the admission webhook {webhook[1]} refuses its pods: {one_line(webhook[2])}"
        return Trouble(
            "admission", place, cause, "meet the rule, or ask who runs the webhook for an exception"
        )
    if account := _ACCOUNT.search(message):
        cause = f"its service account {account[1]!r} does not exist"
        return Trouble(
            "no-account", place, cause, kubectl(owner, f"create serviceaccount {account[1]}")
        )
    if "per Container is" in message or "per Pod is" in message:
        fix = kubectl(owner, "describe limitrange; ask for what it allows")
        return Trouble(
            "limit-range", place, f"a LimitRange refuses its pods: {one_line(message)}", fix
        )
    fix = kubectl(owner, f"describe {kind} {owner['metadata']['name']}")
    return Trouble("refused", place, f"the API refuses its pods: {one_line(message)}", fix)


def claim_pending(claim: Object, events: Sequence[Object]) -> Trouble | None:
    """A PersistentVolumeClaim that is not bound; None where it is, or where it waits for its
    first pod."""
    if claim.get("status", {}).get("phase") != "Pending":
        return None
    place, wanted = place_of(claim, "claim"), claim.get("spec", {}).get("storageClassName")
    # A claim that waits for its first pod has other events: WaitForFirstConsumer.
    failed = newest_event(list(events), "ProvisioningFailed", "FailedBinding")
    said = one_line(failed.get("message")) if failed else ""
    if "storageclass" in said and "not found" in said:
        fix = "kubectl get storageclass; then make the claim again with one of them"
        return Trouble("storage-class", place, f"its StorageClass {wanted!r} does not exist", fix)
    if "no storage class is set" in said:
        fix = "name a StorageClass, or mark one as the default: kubectl get storageclass"
        return Trouble(
            "storage-class",
            place,
            "it names no StorageClass, and the cluster has no default one",
            fix,
        )
    if failed:
        return Trouble(
            "claim",
            place,
            f"it is not bound: {said}",
            kubectl(claim, "describe pvc"),
            lasting=False,
        )
    return None


def not_admitted(workload: Object) -> Trouble | None:
    """A Workload of Kueue that waits for its quota; None where it was admitted or is over."""
    for passed in ("Finished", "Admitted"):
        if condition(workload, passed).get("status") == "True":
            return None
    if workload.get("spec", {}).get("active") is False:
        cause = "it was switched off (spec.active is false)"
        return Trouble(
            "queue-stopped", _queued(workload), cause, kubectl(workload, "edit workload")
        )
    # Kueue has one condition for all that may hold a Workload; its message says what does.
    reserved = condition(workload, "QuotaReserved")
    said, queue = one_line(reserved.get("message")), workload.get("spec", {}).get("queueName", "")
    is_closed = "doesn't exist" in said or "inactive" in said
    if is_closed or reserved.get("reason") == "Inadmissible":
        fix = (
            f"{kubectl(workload, 'get localqueues')}; then set cluster.queue to one that is active"
        )
        return Trouble(
            "queue-missing", _queued(workload), f"its queue {queue!r} cannot admit it: {said}", fix
        )
    if any(words in said for words in _NEVER_FITS):
        fix = "ask for fewer GPUs or nodes, or raise nominalQuota of the ClusterQueue"
        return Trouble(
            "queue-too-large",
            _queued(workload),
            f"it asks for more than the queue ever has: {said}",
            fix,
        )
    cause = f"it waits in queue {queue!r}: {said or 'not looked at yet'}"
    fix = f"wait, or see who is before it: {kubectl(workload, 'get workloads')}"
    return Trouble("queued", _queued(workload), cause, fix, lasting=False)


def job_failed(job: Object, kind: str) -> Trouble | None:
    """A Job or TrainJob whose conditions say that it failed or is suspended; None where neither
    is so."""
    failed, place = condition(job, "Failed"), place_of(job, kind)
    if failed.get("status") == "True":
        said = one_line(failed.get("message"))
        if failed.get("reason") == "DeadlineExceeded" or "deadline" in said.lower():
            fix = "raise cluster.timeout_hours, or make the training smaller"
            return Trouble("deadline", place, f"it ran longer than its deadline: {said}", fix)
        fix = kubectl(job, f"describe {kind} {job['metadata']['name']}")
        return Trouble("job-failed", place, f"it failed ({failed.get('reason')}): {said}", fix)
    # Trainer's condition comes a moment after the field by which Kueue suspends a job.
    is_suspended = condition(job, "Suspended").get("status") == "True"
    if is_suspended or job.get("spec", {}).get("suspend"):
        queue = job["metadata"].get("labels", {}).get("kueue.x-k8s.io/queue-name")
        if queue:
            cause = f"it is suspended until queue {queue!r} admits it"
            fix = kubectl(job, "get workloads,localqueues")
        else:
            name = job["metadata"]["name"]
            cause = "it is suspended, and names no queue that would start it"
            change = '{"spec":{"suspend":false}}'
            fix = kubectl(job, f"patch {kind} {name} --type=merge -p '{change}'")
        return Trouble("suspended", place, cause, fix, lasting=queue is None)
    return None


def _queued(workload: Object) -> str:
    """What waits: whoever made the Workload, which a person has never heard of."""
    for owner in workload["metadata"].get("ownerReferences") or []:
        namespace = workload["metadata"].get("namespace", "default")
        return f"{owner['kind']} {namespace}/{owner['name']}"
    return place_of(workload, "workload")
