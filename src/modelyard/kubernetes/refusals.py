"""What the Kubernetes API says no to, in one line for the person who can change it."""

from __future__ import annotations

import json
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
    body = (
        error.body.decode(errors="replace")
        if isinstance(error.body, bytes)
        else str(error.body or "")
    )
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
    if "namespaces" in said and "not found" in said:
        return UsageError(f"{where}: {said}. Name one that exists: --set cluster.namespace=NAME")
    return UsageError(
        f"{where}: Kubeflow Trainer is not installed (no trainjobs.trainer.kubeflow.org). Type: {INSTALL}"
    )


def _invalid(said: str, where: str) -> ModelyardError:
    if "unknown field" in said:
        return UsageError(
            f"{where}: this cluster's Kubeflow Trainer is older than 2.2 ({said}). Upgrade it"
        )
    return UsageError(f"{where}: the TrainJob is refused: {said}")


def _forbidden(said: str, where: str, server: Server, runtime: str) -> ModelyardError:
    if "exceeded quota" in said:
        return Unavailable(f"{where}: {said}. Free some of it, or ask for a larger quota")
    if "must be created before the TrainJob" in said:
        there = server.runtimes()
        if there is None:
            return UsageError(
                f"{where}: training runtime {runtime!r} does not exist. Set cluster.runtime"
            )
        return UsageError(
            f"{where}: {choices('training runtime', runtime, there)}. Set cluster.runtime"
        )
    if "admission webhook" in said or "admission policy" in said or "PodSecurity" in said:
        return UsageError(f"{where}: the cluster's admission refuses it: {said}")
    return UsageError(
        f"{where}: {said}. The service account needs get, list, watch, create, patch and delete on "
        "trainjobs.trainer.kubeflow.org, and get, list, watch on pods, pods/log and events"
    )
