"""Reading runs from Kubeflow Pipelines' own API, as the JSON that it answers."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from urllib.parse import quote, urlsplit

from modelyard.errors import Unavailable, UsageError
from modelyard.kubernetes.client import Object

RUNS = "/apis/v2beta1/runs"
TIMEOUT = 15.0
ADVICE = "set KFP_HOST to the address of Kubeflow Pipelines, and KFP_TOKEN where it needs one"
_IMPL = "retry-system-container-impl"
"""Argo's template of a step with retries, which all of ours have: part of its pods' names."""


class Kubeflow:
    """Kubeflow Pipelines at an address: `host`, or KFP_HOST."""

    def __init__(self, host: str | None = None) -> None:
        """Connects to nothing yet.

        Raises:
            UsageError: neither an address nor KFP_HOST is given.
        """
        address = host or os.environ.get("KFP_HOST")
        if not address:
            raise UsageError(f"no address of Kubeflow Pipelines is known here: {ADVICE}")
        self.host = address.rstrip("/")

    def run(self, run: str) -> Object | None:
        """A run by its id; None where there is none.

        Raises:
            Unavailable: Kubeflow Pipelines does not answer, or refuses.
        """
        return self._object(f"{RUNS}/{quote(run, safe='')}")

    def runs(self, count: int = 20) -> list[Object]:
        """The newest runs, the newest first.

        Raises:
            Unavailable: Kubeflow Pipelines does not answer, or refuses.
        """
        answer = self._object(f"{RUNS}?page_size={count}&sort_by=created_at%20desc") or {}
        found: list[Object] = answer.get("runs") or []
        return found

    def terminate(self, run: str) -> None:
        """Ends a run.

        Raises:
            UsageError: there is no such run.
        """
        if self._ask("POST", f"{RUNS}/{quote(run, safe='')}:terminate") is None:
            raise UsageError(f"Kubeflow Pipelines at {self.host} knows no run {run}")

    def log(self, run: str, node: str) -> str:
        """The log of a step's pod, by Argo's id of it; empty where nobody keeps it any more."""
        # The log is found by the pod's name, which has Argo's template between workflow and number. An
        # Argo that is set to POD_NAMES=v1 calls pods by the node's id.
        workflow, _, number = node.rpartition("-")
        for name in (f"{workflow}-{_IMPL}-{number}", node):
            try:
                answer = self._ask("GET", f"/apis/v1alpha1/runs/{run}/nodes/{name}/log")
            except Unavailable:
                continue
            if answer:
                return answer
        return ""

    def page(self, run: str) -> str:
        """Where a person sees the run."""
        # Within a cluster the host is `ml-pipeline.NAMESPACE.svc…`: its first word names the service.
        url = urlsplit(self.host)
        name, dot, rest = (url.hostname or "").partition(".")
        host = self.host
        if name == "ml-pipeline":  # the API's own service; its page has another
            host = f"{url.scheme}://ml-pipeline-ui{dot}{rest}"
        return f"{host}/#/runs/details/{run}"

    def namespace(self) -> str:
        """The namespace that the address names, `ml-pipeline.kubeflow.svc…`; empty where it names none."""
        # `ml-pipeline.kubeflow.svc.cluster.local`: service, namespace, "svc".
        parts = (urlsplit(self.host).hostname or "").split(".")
        if len(parts) > 2 and parts[2] == "svc":
            return parts[1]
        return ""

    def _object(self, path: str) -> Object | None:
        answer = self._ask("GET", path)
        if answer is None:
            return None
        try:
            found: Object = json.loads(answer)
        except ValueError:
            # A proxy sends those who are not logged in to its login page, with status 200.
            raise Unavailable(
                f"Kubeflow Pipelines at {self.host} answers a page. Check KFP_HOST and KFP_TOKEN"
            ) from None
        return found

    def _ask(self, method: str, path: str) -> str | None:
        request = urllib.request.Request(f"{self.host}{path}", method=method)  # noqa: S310 - the person's own address
        token = _token()
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        where = f"Kubeflow Pipelines at {self.host}"
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
                body: bytes = answer.read()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise Unavailable(f"{where} answers {error.code} {error.reason}") from None
        except (OSError, ValueError, HTTPException) as error:
            # HTTPException: something that does not speak HTTP answers there; ValueError: the
            # address is malformed.
            raise Unavailable(
                f"{where} does not answer: {error}. Check KFP_HOST and KFP_TOKEN"
            ) from None
        return body.decode(errors="replace")


def _token() -> str | None:
    """KFP_TOKEN, or what is in the file KFP_TOKEN_FILE, where a cluster puts the token of a pod's
    account and renews it: so it is read each time.

    Raises:
        UsageError: the file cannot be read.
    """
    token, file = os.environ.get("KFP_TOKEN"), os.environ.get("KFP_TOKEN_FILE")
    if token or not file:
        return token
    try:
        return Path(file).read_text().strip()
    except OSError as error:
        raise UsageError(f"KFP_TOKEN_FILE: {file} cannot be read: {error.strerror}") from None
