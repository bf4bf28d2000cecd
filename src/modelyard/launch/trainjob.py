"""Trains on several machines: makes a TrainJob of Kubeflow Trainer, follows it to its end, and
explains failures."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from modelyard.errors import Interrupted, ModelyardError, Unavailable, UsageError
from modelyard.kubernetes.client import Cluster, Object, Pace
from modelyard.kubernetes.refusals import refusal
from modelyard.kubernetes.trainer import RUN
from modelyard.launch.attempt import Attempt
from modelyard.launch.manifest import ATTEMPT, MANAGER, OUTCOME, SPEC, TrainJobRequest, train_job
from modelyard.settings.cluster import ClusterSettings

STOP_SECONDS = 15.0
"""How long a step that gets SIGTERM tries to delete its job: Kubernetes kills it after 30."""


def train_on_cluster(
    request: TrainJobRequest,
    settings: ClusterSettings,
    progress: Callable[[str], None],
    *,
    pace: Pace | None = None,
) -> None:
    """Trains the model; returns when the job is complete.

    A job of the same run that is there already is followed rather than made again. `progress` gets
    what happens and the log of the first node, a line at a time.

    Raises:
        UsageError: what a person can fix: image, runtime, permissions, memory, or what a worker
            says itself;
        Unavailable: the cluster does not answer or has no room; ModelyardError: the training
            crashed.
    """
    cluster = Cluster(settings.namespace, pace)
    with _deleted_when_told_to_stop(cluster, request.name):
        attempt = 1
        while True:
            job = _make_or_find(cluster, train_job(request, settings, attempt), progress)
            attempt = int(job["metadata"]["annotations"][ATTEMPT])
            outcome = Attempt(cluster, job, settings, progress).run()
            if outcome.error is None or not outcome.again or attempt > settings.restarts:
                break
            progress(f"{outcome.error}. Attempt {attempt + 1} of {settings.restarts + 1}")
            _replace(cluster, request.name)
            attempt += 1
        _tidy(cluster, request.name, settings, failed=outcome.error is not None)
    if outcome.again:
        raise Unavailable(
            f"{outcome.error}. Gave up after {attempt} attempts (cluster.restarts = {settings.restarts})"
        )
    if outcome.error:
        raise outcome.error


def _make_or_find(cluster: Cluster, job: Object, progress: Callable[[str], None]) -> Object:
    """Creates the job, or takes the one that is there when it is the same; one that failed or
    differs is replaced."""
    from kubernetes.client import ApiException

    name, trainer = job["metadata"]["name"], job["spec"]["trainer"]
    while True:
        try:
            made = cluster.create(job)
            progress(
                f"made TrainJob {cluster.namespace}/{name}: {trainer['numNodes']} nodes, {trainer['image']}"
            )
            return made
        except ApiException as error:
            if error.status != 409:
                doing, runtime = f"creating TrainJob {name}", job["spec"]["runtimeRef"]["name"]
                raise refusal(error, doing, cluster, runtime) from None
        there = cluster.get(name)
        if there is None:
            time.sleep(cluster.pace.tick)
            continue
        _check_ours(there, job, cluster)
        if _goes_on(there, job):
            progress(f"found TrainJob {cluster.namespace}/{name} of this run: going on with it")
            return there
        _replace(cluster, name)


def _check_ours(there: Object, job: Object, cluster: Cluster) -> None:
    labels = there["metadata"].get("labels", {})
    if not MANAGER.items() <= labels.items() or labels.get(RUN) != job["metadata"]["labels"][RUN]:
        name = there["metadata"]["name"]
        raise UsageError(
            f"TrainJob {cluster.namespace}/{name} is there and belongs to someone else. "
            f"Type: kubectl -n {cluster.namespace} delete trainjob {name}"
        )


def _goes_on(there: Object, job: Object) -> bool:
    metadata, conditions = there["metadata"], there.get("status", {}).get("conditions", [])
    failed = any(one["type"] == "Failed" and one["status"] == "True" for one in conditions)
    annotations = metadata.get("annotations", {})
    same = annotations.get(SPEC) == job["metadata"]["annotations"][SPEC]
    return (
        same and not failed and OUTCOME not in annotations and not metadata.get("deletionTimestamp")
    )


def _replace(cluster: Cluster, name: str) -> None:
    cluster.delete(name)
    cluster.wait_gone(name)


def _tidy(cluster: Cluster, name: str, settings: ClusterSettings, failed: bool) -> None:
    """Deletes the job, or marks a failed one that is kept, so that the next try does not continue
    with it."""
    try:
        if settings.keep_job == "never" or (settings.keep_job == "failed" and not failed):
            cluster.delete(name)
        elif failed:
            cluster.annotate(name, {OUTCOME: "failed"})
    except ModelyardError:
        if not failed:
            raise  # else the failure itself is what a person must see


@contextmanager
def _deleted_when_told_to_stop(cluster: Cluster, name: str) -> Iterator[None]:
    """Deletes the job when this process gets SIGTERM or Ctrl-C: nobody would wait for it any more.

    Raises:
        Interrupted: SIGTERM came; the nodes save when their job is deleted.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    except KeyboardInterrupt:
        cluster.delete(name, patience=STOP_SECONDS)
        raise
    except SystemExit:
        cluster.delete(name, patience=STOP_SECONDS)
        raise Interrupted(
            f"stopped: TrainJob {cluster.namespace}/{name} is deleted, and its nodes save. Run it again to continue"
        ) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
