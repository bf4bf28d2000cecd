"""Whether the pods of a release are ready, and answer the package's own example as the package
does."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from modelyard.doctor.finding import Object, Trouble
from modelyard.doctor.inspect import Reader, troubles
from modelyard.judging.compare import difference
from modelyard.kubernetes.refusals import message_of

TRIES = 50
"""Requests until the version in question answers; another may share the Service."""
PAUSE = 0.2
"""Seconds between two of them."""
RETRY_SECONDS = 15.0
"""How long a trouble may be out of sight and still count as the same."""
PATIENCE = 30.0
"""Seconds that the API server may fail to reach the pods: it waits about that long for one
connection."""
ANSWER = (5.0, 60.0)
"""Seconds for a connection to the API, and for an answer through it."""
UNREACHED = (
    "The API server does not reach the pods: set serve.smoke=helm, or let its address in by networkPolicy.cidrs among "
    "the release's values"
)


def selector(release: str) -> str:
    """Labels of what serves a release's stable version."""
    return f"app.kubernetes.io/instance={release},app.kubernetes.io/component=stable"


class Rollout:
    """Watches the new pods of a release; called repeatedly, it reports once that one cannot
    start."""

    def __init__(self, reader: Reader, release: str, failing_minutes: float) -> None:
        self.reader, self.release, self.patience = reader, release, failing_minutes * 60
        self.before = {pod["metadata"]["uid"] for pod in self._pods()}
        self.seen: list[Trouble] = []
        """What was wrong when it was last looked: helm removes the pods before anyone can ask."""
        self._since: dict[str, float] = {}
        """When the trouble of a pod was first seen, by the pod; its kind may change from look to
        look."""
        self._last_seen: dict[str, float] = {}
        self._looked = 0.0

    def __call__(self) -> str | None:
        """Why the rollout cannot succeed; None while it may."""
        if time.monotonic() - self._looked < self.reader.cluster.pace.tick:
            return None
        now = self._looked = time.monotonic()
        now_wrong = self.troubles()
        self.seen = now_wrong or self.seen
        lasting = {trouble.where: trouble for trouble in now_wrong if trouble.lasting}
        return self._ripe(lasting, now)

    def _ripe(self, found: Mapping[str, Trouble], now: float) -> str | None:
        """The trouble that has lasted for longer than failing_minutes; None where there is none."""
        for where in found:
            self._last_seen[where] = now
            self._since.setdefault(where, now)
        # A container that is started once more is well until it fails again.
        for where, seen in self._last_seen.items():
            if now - seen > RETRY_SECONDS:
                self._since.pop(where, None)
        if not found:
            return None
        oldest = min(found, key=self._since.__getitem__)
        if now - self._since[oldest] < self.patience:
            return None
        return cause_of(found[oldest])

    def troubles(self) -> list[Trouble]:
        """What is wrong with pods that were not there before."""
        return troubles(self.reader, selector(self.release), without=self.before)

    def unready(self) -> str | None:
        """Why the Deployment does not serve its newest version on all pods; None where it does."""
        found = self._deployments()
        if not found:
            return f"no Deployment has the labels {selector(self.release)}: is it a release of charts/model?"
        for deployment in found:
            why = _behind(deployment)
            if why is not None:
                return why
        return None

    def wait(self, seconds: float) -> str | None:
        """Waits until the Deployment is up to date; why it is not, or None."""
        until = time.monotonic() + seconds
        while (why := self.unready()) is not None:
            if reason := self():
                return reason
            if time.monotonic() > until:
                found = self.troubles()
                if found:
                    return cause_of(found[0])
                return f"not ready after {seconds:.0f} s: {why}"
            time.sleep(self.reader.cluster.pace.tick)
        return None

    def at_zero(self) -> bool:
        """Whether it wants no pods now, as an autoscaler may decide."""
        return all(
            deployment.get("spec", {}).get("replicas") == 0 for deployment in self._deployments()
        )

    def _deployments(self) -> list[Object]:
        return self.reader.here("deployments", "apps/v1", labelSelector=selector(self.release))

    def _pods(self) -> list[Object]:
        return self.reader.here("pods", labelSelector=selector(self.release))


def cause_of(trouble: Trouble) -> str:
    """A trouble as one line: where, why, what to type."""
    return f"{trouble.where}: {trouble.cause.rstrip('.')}. To fix it: {trouble.fix}"


def _behind(deployment: Object) -> str | None:
    """Kubernetes documentation, Deployments, "Complete Deployment": updated, available, nothing
    old, observed."""
    metadata, status = deployment["metadata"], deployment.get("status", {})
    name = metadata["name"]
    wanted = int(deployment.get("spec", {}).get("replicas", 1))
    updated = int(status.get("updatedReplicas", 0))
    available = int(status.get("availableReplicas", 0))
    # Until then the status describes the version before, which is complete.
    if int(status.get("observedGeneration", 0)) < int(metadata.get("generation", 0)):
        return f"Deployment {name}: its controller has not seen the change yet"
    if updated < wanted:
        return f"Deployment {name}: {updated} of {wanted} pods are of the new version"
    if int(status.get("replicas", 0)) > updated:
        return f"Deployment {name}: {int(status['replicas']) - updated} pods of the old version still end"
    if available < wanted:
        return f"Deployment {name}: {available} of {wanted} pods are available"
    return None


def ask_golden(
    reader: Reader, release: str, golden: Object, version: str, tolerance: float
) -> str | None:
    """Sends a package's own example through the Kubernetes API's service proxy; what is wrong, or
    None.

    `golden` is `{"request": …, "response": …}`; `version` is what the package calls itself.

    Raises:
        PermissionError: the API does not pass it on; TimeoutError: it does not reach the pods. Both
        say what to set.
    """
    services = reader.here("services", labelSelector=selector(release))
    if not services:
        return f"no Service has the labels {selector(release)}"
    service = services[0]
    place = f"http:{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    path = f"/api/v1/namespaces/{reader.namespace}/services/{quote(place, safe=':')}/proxy/predict"
    seen: set[str] = set()
    began = time.monotonic()
    for attempt in range(1, TRIES + 1):
        try:
            answered, answer = _post(reader, path, golden["request"])
        except TimeoutError:
            # A first time-out may be a proxy's that had not heard of the new pods.
            out_of_time = attempt > 1 and time.monotonic() - began >= PATIENCE
            if attempt == TRIES or out_of_time:
                raise
        except ConnectionError as error:
            # 503: no pod is among the Service's endpoints yet.
            if attempt == TRIES or not str(error).startswith("503"):
                return f"the new pods do not answer their own example: {error}"
        else:
            if answered == version:
                wrong = difference(golden["response"], answer, tolerance)
                if wrong:
                    return f"the new pods answer their own example otherwise: {wrong}"
                return None
            seen.add(answered)
        time.sleep(PAUSE)
    return f"version {version} did not answer once in {TRIES} requests; {', '.join(sorted(seen)) or 'nothing'} did"


def _post(reader: Reader, path: str, body: Any) -> tuple[str, Any]:
    """The version that answered, and its answer.

    Raises:
        PermissionError, TimeoutError: as `ask_golden`; ConnectionError: another refusal, beginning
        with its status.
    """
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError
    from urllib3.exceptions import TimeoutError as Silence

    try:
        raw, _, headers = reader.cluster.api.call_api(
            path,
            "POST",
            body=body,
            auth_settings=["BearerToken"],
            response_type="object",
            header_params={"Accept": "application/json", "Content-Type": "application/json"},
            _return_http_data_only=False,
            _request_timeout=ANSWER,
        )
    except ApiException as error:
        raise _refused(error) from None
    except Silence:
        raise TimeoutError(f"no answer in {ANSWER[1]:g} s. {UNREACHED}") from None
    except HTTPError as error:
        raise ConnectionError(f"503: {type(error).__name__}: {error}") from None
    return str(headers.get("x-modelyard-package")), raw


def _refused(error: Any) -> OSError:
    """A closed way through the API, with what to set, or the model's own refusal."""
    said = message_of(error)
    status = f"{error.status}: {said.rstrip('.')}"
    if error.status == 401:
        return PermissionError(
            f"{status}. The API takes a caller's token out: set serve.smoke=helm"
        )
    if error.status == 403 and "services/proxy" in said:
        return PermissionError(
            f"{status}. This account needs 'create services/proxy', or set serve.smoke=helm"
        )
    # Every answer of the model carries this header, so that its own 504 is not the API's.
    by_model = "x-modelyard-package" in {name.lower() for name in error.headers or {}}
    by_proxy = error.status == 504 and not by_model
    if by_proxy or "trying to reach service" in said:
        return TimeoutError(f"{status}. {UNREACHED}")
    return ConnectionError(status)
