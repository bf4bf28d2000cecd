"""What the Kubernetes API says no to, in one line for the person who can change it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Protocol

from modelyard.errors import ModelyardError, Unavailable, UsageError, choices

if TYPE_CHECKING:
    from kubernetes.client import ApiException

INSTALL = (
    "helm install kubeflow-trainer CHART --version 2.3.0 --namespace kubeflow-system --create-namespace "
    "--set runtimes.defaultEnabled=true, where CHART is the address of the chart kubeflow-trainer "
    "(Kubeflow's documentation: Trainer, Operator Guides, Installation)"
)


class Server(Protocol):
    """The API that refused."""

    namespace: str
    host: str

    def runtimes(self) -> list[str] | None:
        """Names of the training runtimes there; None where no one may tell."""


def message_of(error: ApiException) -> str:
    """The API's own words: of the Status object in the body, else the body, else the HTTP
    reason."""
    body = error.body or ""
    if isinstance(body, bytes):
        body = body.decode(errors="replace")
    try:
        status: Any = json.loads(body)
        return str(status["message"])
    except (ValueError, KeyError, TypeError):
        return body.strip()[:300] or str(error.reason)


def refusal(error: ApiException, doing: str, server: Server, runtime: str = "") -> ModelyardError:
    """The error for an answer of the API; `runtime` is the training runtime that the job names."""
    said, where = message_of(error), f"{doing} in namespace {server.namespace!r}"
    if error.status == 401:
        return UsageError(
            f"{where}: {server.host} does not accept these credentials (401). They may have expired: log in again"
        )
    if error.status == 404:
        return _missing(said, where)
    if error.status in (400, 422):
        return _invalid(said, where)
    if error.status == 403:
        return _forbidden(said, where, server, runtime)
    return Unavailable(f"{where}: the Kubernetes API answered {error.status}: {said}")


def _missing(said: str, where: str) -> ModelyardError:
    # 404 is the answer for a namespace that is missing, and for a kind that no controller has
    # registered.
    if "namespaces" in said and "not found" in said:
        return UsageError(f"{where}: {said}. Name one that exists: --set cluster.namespace=NAME")
    return UsageError(
        f"{where}: Kubeflow Trainer is not installed (no trainjobs.trainer.kubeflow.org). Type: {INSTALL}"
    )


def _invalid(said: str, where: str) -> ModelyardError:
    # Jobs are created with strict validation: a field that this version's CRD lacks is refused, not
    # dropped.
    if "unknown field" in said:
        return UsageError(
            f"{where}: this cluster's Kubeflow Trainer is older than 2.2 ({said}). Upgrade it"
        )
    return UsageError(f"{where}: the TrainJob is refused: {said}. {advice(said)}")


def _forbidden(said: str, where: str, server: Server, runtime: str) -> ModelyardError:
    if is_quota(said):
        kind = Unavailable if fits_empty_quota(said) else UsageError
        return kind(f"{where}: {said}. {advice(said)}")
    if "must be created before the TrainJob" in said:
        there = server.runtimes()
        if there is None:
            return UsageError(
                f"{where}: training runtime {runtime!r} does not exist. Set cluster.runtime"
            )
        return UsageError(
            f"{where}: {choices('training runtime', runtime, there)}. Set cluster.runtime"
        )
    if any(words in said for words in _ADMISSION):
        return UsageError(f"{where}: the cluster's admission refuses it: {said}. {advice(said)}")
    return UsageError(
        f"{where}: {said}. The service account needs get, list, watch, create, patch and delete on "
        "trainjobs.trainer.kubeflow.org, and get, list, watch on pods, pods/log and events"
    )


_ADMISSION = ("admission webhook", "admission policy", "PodSecurity")
"""Words of those who may refuse an object that the API itself would take."""
_FINAL = ("is forbidden", "is invalid", "denied the request", "exceeded quota", "failed quota")
"""Words of the API server and of its admission for an object that it will refuse again."""
_SETTINGS = (
    # The first word that stands in a refusal says what to set; the particular ones come first.
    ("service account", "Set cluster.service_account to one that exists"),
    ("PodSecurity", "Run in a namespace that allows it, cluster.namespace, or change its level"),
    ("persistentVolumeClaim", "Check cluster.scratch_claim"),
    ("nodeSelector", "Check cluster.node_selector"),
    ("tolerations", "Check cluster.tolerations"),
    ("cpu", "Set cluster.cpu to what is allowed"),
    ("memory", "Set cluster.memory to what is allowed"),
    ("gpu", "Ask for fewer --gpus, or check cluster.gpu_resource"),
    ("resources", "Check cluster.cpu, cluster.memory, cluster.gpu_resource and --gpus"),
    ("image", "Set cluster.image to one that is allowed"),
    ("env", "Check cluster.env and cluster.env_from_secrets"),
)
# "exceeded quota: team, requested: limits.cpu=4,limits.memory=8Gi, used: limits.cpu=6,…, limited:
# limits.cpu=8,…"
_QUOTA_FIGURES = re.compile(r"\b(?P<kind>requested|used|limited): (?P<figures>[^:]*?)(?=, \w+: |$)")


def is_final(said: str) -> bool:
    """Whether the API server would refuse the same object again: not where it, or a webhook, could
    not be reached."""
    return any(words in said for words in _FINAL)


def is_quota(said: str) -> bool:
    """Whether a quota is in the way: it may have room again when others have ended."""
    return "exceeded quota" in said


def fits_empty_quota(said: str) -> bool:
    """Whether what `exceeded quota: …` refuses would fit if nothing else were there."""
    from kubernetes.utils.quantity import parse_quantity

    amounts: dict[str, dict[str, Any]] = {"requested": {}, "limited": {}}
    try:
        for found in _QUOTA_FIGURES.finditer(said):
            of_kind = amounts.setdefault(found["kind"], {})
            for pair in found["figures"].split(","):
                name, _, amount = pair.partition("=")
                of_kind[name] = parse_quantity(amount)
    except ValueError:
        # Words of another version of Kubernetes. A try too many costs less than a training that
        # is ended although its turn would come.
        return True
    for name, amount in amounts["requested"].items():
        most = amounts["limited"].get(name)
        if most is not None and amount > most:
            return False
    return True


def advice(said: str) -> str:
    """What to set, by the words of a refusal."""
    if is_quota(said):
        return (
            "Ask for less (cluster.cpu, cluster.memory, --gpus, --nodes), free some of the quota, or "
            "let a queue wait for it: cluster.queue"
        )
    for word, what in _SETTINGS:
        if word in said:
            return what
    return "Check the settings of cluster that it names, or ask who runs the cluster"
