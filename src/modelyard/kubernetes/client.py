"""Talking to a Kubernetes API that may be away for a while."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from modelyard.errors import MissingExtra, Unavailable, UsageError
from modelyard.kubernetes.refusals import refusal
from modelyard.kubernetes.trainer import GROUP, PLURAL, VERSION
from modelyard.kubernetes.words import last_words

T = TypeVar("T")
Object = dict[str, Any]
"""A Kubernetes object as JSON."""

PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""Answers that another try may change."""
LOG_END = 100
"""Lines of a log in which the reason of its end stands: below it Kubeflow's launcher writes its own."""
_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True)
class Pace:
    """How often to look and how long to be patient, in seconds."""

    tick: float = 1.0
    """Between two looks at the job."""
    settle: float = 8.0
    """From the first failure seen to the verdict: the node that fails first is rarely the cause."""
    backoff: float = 1.0
    """First wait after an answer that may pass; doubled each time."""
    longest: float = 30.0
    """Longest of these waits, and of those that the API asks for."""
    patience: float = 600.0
    """How long the API may be away."""
    watch: int = 60
    """A watch lasts this long before it is opened again."""
    silence: float = 90.0
    """A connection that says nothing for so long counts as broken."""
    deletion: float = 300.0
    """How long the pods of a deleted job may take to end."""

    def wait(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row (from 1), with jitter."""
        jitter = random.uniform(0.75, 1.25)  # noqa: S311 - no secret
        # The exponent is bounded: 2.0 ** 1024, after a night without an answer, overflows a float.
        return min(self.longest, self.backoff * 2.0 ** min(failures - 1, 16)) * jitter


class Cluster:
    """One namespace of a Kubernetes cluster, as this process may see it."""

    def __init__(self, namespace: str | None = None, pace: Pace | None = None) -> None:
        """Connects from within a pod, else by the kubeconfig.

        Raises:
            UsageError: there is neither; MissingExtra: the client is not installed.
        """
        self.pace = pace or Pace()
        self.asked_namespace = namespace
        self._load()

    def _load(self) -> None:
        try:
            from kubernetes import client, config
        except ImportError:
            raise MissingExtra("training on a cluster", "pipeline") from None
        configuration = client.Configuration()
        file = os.environ.get("KUBECONFIG")
        own = "default"
        try:
            config.load_incluster_config(client_configuration=configuration)
            own = _NAMESPACE.read_text().strip()
        except config.ConfigException:
            try:
                config.load_kube_config(config_file=file, client_configuration=configuration)
                _, active = config.list_kube_config_contexts(config_file=file)
                own = active["context"].get("namespace") or own
            except config.ConfigException as error:
                raise UsageError(
                    f"no Kubernetes cluster is known here ({error}). Run in a pod, or set KUBECONFIG"
                ) from None
        # Ours know which answers pass, and how long to wait; urllib3's would repeat every request.
        configuration.retries = False
        self.namespace = self.asked_namespace or own
        self.host = str(configuration.host)
        self.api = client.ApiClient(configuration)
        self.core = client.CoreV1Api(self.api)
        self.custom = client.CustomObjectsApi(self.api)

    def call(self, doing: str, ask: Callable[[], T], patience: float | None = None) -> T:
        """What `ask` returns; retried where the API is busy or away.

        Raises:
            Unavailable: the API stays away; UsageError: credentials refused;
            ApiException: any other answer of the API.
        """
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        until = time.monotonic() + (self.pace.patience if patience is None else patience)
        failures, renewed = 0, False
        while True:
            try:
                return ask()
            except ApiException as error:
                if error.status == 401 and not renewed:
                    renewed = True
                    self._load()  # a token may have been replaced since
                    continue
                if error.status == 401:
                    raise refusal(error, doing, self) from None
                if error.status not in PASSING:
                    raise
                problem, wanted = f"{error.status} {error.reason}", retry_after(error.headers)
            except HTTPError as error:
                # No answer at all, though what was requested may be done: a second `create` is
                # answered with 409 then, which its caller takes for success.
                problem, wanted = f"{type(error).__name__}: {error}", None
            failures += 1
            wait = self.pace.wait(failures)
            if wanted is not None:
                wait = min(wanted, self.pace.longest)
            if time.monotonic() + wait > until:
                raise Unavailable(
                    f"{doing}: the Kubernetes API at {self.host} does not answer ({problem[:200]})"
                )
            time.sleep(wait)

    def create(self, job: Object) -> Object:
        """Creates a TrainJob; the API refuses fields that it does not know, rather than drop
        them."""
        place = (GROUP, VERSION, self.namespace, PLURAL)
        created: Object = self.call(
            "creating the TrainJob",
            lambda: self.custom.create_namespaced_custom_object(
                *place, job, field_validation="Strict"
            ),
        )
        return created

    def jobs(self, selector: str) -> list[Object]:
        """The TrainJobs with these labels, oldest first."""
        from kubernetes.client import ApiException

        place = (GROUP, VERSION, self.namespace, PLURAL)
        try:
            found = self.call(
                "listing TrainJobs",
                lambda: self.custom.list_namespaced_custom_object(*place, label_selector=selector),
            )
        except ApiException as error:
            raise refusal(error, "listing TrainJobs", self) from None
        items: list[Object] = found["items"]
        return sorted(items, key=lambda one: str(one["metadata"].get("creationTimestamp", "")))

    def annotate(self, name: str, annotations: Mapping[str, str]) -> None:
        """Adds annotations to a TrainJob."""
        place = (GROUP, VERSION, self.namespace, PLURAL, name)
        body = {"metadata": {"annotations": dict(annotations)}}
        self.call(
            f"marking TrainJob {name}",
            lambda: self.custom.patch_namespaced_custom_object(*place, body),
        )

    def delete(self, name: str, patience: float | None = None) -> None:
        """Deletes a TrainJob, and then, by the cluster itself, all that belongs to it; nothing where
        there is none."""
        from kubernetes.client import ApiException

        place = (GROUP, VERSION, self.namespace, PLURAL, name)
        try:
            # In the foreground the job would stay until its pods are gone, and Trainer would create
            # them again and again meanwhile.
            self.call(
                f"deleting TrainJob {name}",
                lambda: self.custom.delete_namespaced_custom_object(
                    *place, propagation_policy="Background"
                ),
                patience,
            )
        except ApiException as error:
            if error.status != 404:
                raise refusal(error, f"deleting TrainJob {name}", self) from None

    def pods(self, selector: str) -> list[Object]:
        """The pods with these labels."""
        from kubernetes.client import ApiException

        try:
            response = self.call(
                "listing pods",
                # Undecoded: the client's typed models name fields otherwise than the JSON of a
                # watch does.
                lambda: self.core.list_namespaced_pod(
                    self.namespace, label_selector=selector, _preload_content=False
                ),
            )
        except ApiException as error:
            raise refusal(error, "listing pods", self) from None
        items: list[Object] = json.loads(response.data)["items"]
        return items

    def runtimes(self) -> list[str] | None:
        """Names of the cluster's training runtimes; None where this account may not list them."""
        from kubernetes.client import ApiException

        try:
            found = self.call(
                "listing training runtimes",
                lambda: self.custom.list_cluster_custom_object(
                    GROUP, VERSION, "clustertrainingruntimes"
                ),
            )
        except ApiException:
            # The names only make an error's words better, so an account without this right gets the
            # error without them.
            return None
        return sorted(item["metadata"]["name"] for item in found["items"])

    def events(self, name: str) -> list[Object]:
        """Events about an object of this name, oldest first; none where this account may not
        list them."""
        from kubernetes.client import ApiException

        try:
            response = self.call(
                "listing events",
                lambda: self.core.list_namespaced_event(
                    self.namespace,
                    field_selector=f"involvedObject.name={name}",
                    _preload_content=False,
                ),
            )
        except ApiException:
            return []
        items: list[Object] = json.loads(response.data)["items"]
        # Kubernetes' newer events API sets `eventTime` and leaves `lastTimestamp` null.
        return sorted(
            items, key=lambda one: str(one.get("lastTimestamp") or one.get("eventTime") or "")
        )

    def open_jobs(self, name: str, **query: Any) -> Any:
        """The response of listing or watching one TrainJob by name, as a stream of bytes."""
        return self.custom.list_namespaced_custom_object(
            GROUP,
            VERSION,
            self.namespace,
            PLURAL,
            field_selector=f"metadata.name={name}",
            _preload_content=False,
            **query,
        )

    def open_pods(self, name: str, **query: Any) -> Any:
        """The response of listing or watching the pods of a TrainJob."""
        selector = f"jobset.sigs.k8s.io/jobset-name={name}"
        return self.core.list_namespaced_pod(
            self.namespace, label_selector=selector, _preload_content=False, **query
        )

    def open_log(self, pod: str, container: str, **query: str) -> Any:
        """The response of reading a container's log, each line with its time; the client's own
        method lacks `sinceTime`."""
        return self.api.call_api(
            "/api/v1/namespaces/{namespace}/pods/{name}/log",
            "GET",
            path_params={"namespace": self.namespace, "name": pod},
            query_params=[("container", container), ("timestamps", "true"), *query.items()],
            header_params={"Accept": "*/*"},
            auth_settings=["BearerToken"],
            response_type="str",
            _return_http_data_only=True,
            _preload_content=False,
            # A followed log that says nothing looks like a dead connection: the read ends, and
            # `Log` asks again from the last line's time.
            _request_timeout=(10, self.pace.silence),
        )

    def log(self, pod: str, container: str, tail: int, previous: bool = False) -> str:
        """The last lines that a container wrote; empty where no one can tell any more."""
        from kubernetes.client import ApiException

        query = {"tailLines": str(tail)}
        if previous:
            query["previous"] = "true"
        try:
            # A log only explains a failure that is known already: not worth minutes of waiting.
            data: bytes = self.call(
                "reading a log", lambda: self.open_log(pod, container, **query).data, patience=10
            )
        except (ApiException, Unavailable):
            return ""
        lines = data.decode(errors="replace").splitlines()
        # The time in front of each line is for `Log`, which continues after it.
        return "\n".join(line.partition(" ")[2] for line in lines)

    def last_line(self, pod: str, container: str, previous: bool) -> str:
        """The line in which a container says why it ended; empty where no one can tell any more."""
        return last_words(self.log(pod, container, LOG_END, previous))


def retry_after(headers: Mapping[str, str] | None) -> float | None:
    """Seconds that an answer asks to wait for; None where it asks for none."""
    # RFC 9110 allows a date here too; Kubernetes answers whole seconds.
    value = (headers or {}).get("Retry-After", "")
    if value.isdigit():
        return float(value)
    return None
