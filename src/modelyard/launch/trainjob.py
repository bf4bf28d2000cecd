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

from modelyard.errors import Interrupted, ModelyardError, Unavailable
from modelyard.kubernetes.client import Cluster, Object, Pace
from modelyard.kubernetes.refusals import refusal
from modelyard.launch.attempt import Attempt
from modelyard.launch.manifest import ATTEMPT, OUTCOME, SPEC, TrainJobRequest, train_job
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
            says itself; Unavailable: the cluster does not answer or has no room; ModelyardError:
            the training crashed.
    """
    cluster = Cluster(settings.namespace, pace)
    jobs = _Jobs(cluster, request, settings, progress)
    with _deleted_when_told_to_stop(jobs):
        job = jobs.find() or jobs.make(1)
        while True:
            attempt = int(job["metadata"]["annotations"][ATTEMPT])
            outcome = Attempt(cluster, job, settings, progress).run()
            was_last = attempt > settings.restarts
            if outcome.error is None or not outcome.again or was_last:
                break
            progress(f"{outcome.error}. Attempt {attempt + 1} of {settings.restarts + 1}")
            # Its pods get SIGTERM and save; `make` waits for them to end.
            jobs.delete(job)
            job = jobs.make(attempt + 1)
        jobs.tidy(job, failed=outcome.error is not None)
    if outcome.again:
        raise Unavailable(
            f"{outcome.error}. Gave up after {attempt} attempts (cluster.restarts = {settings.restarts})"
        )
    if outcome.error:
        raise outcome.error


class _Jobs:
    """The TrainJobs of one training: one an attempt, each with a name of its own."""

    def __init__(
        self,
        cluster: Cluster,
        request: TrainJobRequest,
        settings: ClusterSettings,
        progress: Callable[[str], None],
    ) -> None:
        self.cluster, self.request = cluster, request
        self.settings, self.progress = settings, progress

    def find(self) -> Object | None:
        """The job that is there, where it is the same and has not failed; others are deleted."""
        wanted = train_job(self.request, self.settings)
        found = None
        for job in self._there():
            if found is None and _goes_on(job, wanted):
                found = job
            else:
                self.cluster.delete(job["metadata"]["name"])
        if found is not None:
            name = f"{self.cluster.namespace}/{found['metadata']['name']}"
            self.progress(f"found TrainJob {name} of this run: going on with it")
        return found

    def make(self, attempt: int) -> Object:
        """Creates the job of an attempt, once the pods of earlier ones have ended."""
        from kubernetes.client import ApiException

        self._wait_for_pods()
        while True:
            job = train_job(self.request, self.settings, attempt)
            name, trainer = job["metadata"]["name"], job["spec"]["trainer"]
            try:
                made = self.cluster.create(job)
                break
            except ApiException as error:
                if error.status != 409:
                    doing, runtime = f"creating TrainJob {name}", job["spec"]["runtimeRef"]["name"]
                    raise refusal(error, doing, self.cluster, runtime) from None
            # It is there by a request whose answer was lost, or someone else's by chance.
            ours = [one for one in self._there() if one["metadata"]["name"] == name]
            if ours:
                made = ours[0]
                break
        place = f"{self.cluster.namespace}/{name}"
        self.progress(f"made TrainJob {place}: {trainer['numNodes']} nodes, {trainer['image']}")
        return made

    def delete(self, job: Object) -> None:
        """Deletes a job; what belongs to it goes in the background."""
        self.cluster.delete(job["metadata"]["name"])

    def _there(self) -> list[Object]:
        return self.cluster.jobs(self.request.selector)

    def _wait_for_pods(self) -> None:
        """Nodes of an earlier attempt that still save would write between the checkpoints of the
        next, and hold its room: waits as long as the pace allows, for a lost node's pod never
        ends."""
        until = time.monotonic() + self.cluster.pace.deletion
        left = self._pods_left()
        if left:
            self.progress(f"waiting for pods of an earlier attempt to end: {', '.join(left)}")
        while left and time.monotonic() < until:
            time.sleep(self.cluster.pace.tick)
            left = self._pods_left()
        if left:
            seconds = f"{self.cluster.pace.deletion:.0f} s"
            self.progress(f"not waiting any longer than {seconds} for {', '.join(left)}")

    def _pods_left(self) -> list[str]:
        """Pods of the training that have not ended."""
        left = []
        for pod in self.cluster.pods(self.request.selector):
            if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
                left.append(pod["metadata"]["name"])
        return left

    def remove_all(self, patience: float) -> None:
        """Deletes what there is of the training, and waits for nothing."""
        for job in self._there():
            self.cluster.delete(job["metadata"]["name"], patience)

    def tidy(self, job: Object, failed: bool) -> None:
        """Deletes the job, or marks a failed one that is kept, so that the next try does not
        continue with it."""
        keep, name = self.settings.keep_job, job["metadata"]["name"]
        try:
            unwanted = keep == "never" or (keep == "failed" and not failed)
            if unwanted:
                self.cluster.delete(name)
            elif failed:
                self.cluster.annotate(name, {OUTCOME: "failed"})
        except ModelyardError:
            # After a failure, the failure itself is what a person must see.
            if not failed:
                raise


def _goes_on(there: Object, job: Object) -> bool:
    """Whether a job is the wanted one, and has neither failed nor is being deleted."""
    metadata, annotations = there["metadata"], there["metadata"].get("annotations", {})
    if annotations.get(SPEC) != job["metadata"]["annotations"][SPEC]:
        return False
    if OUTCOME in annotations or metadata.get("deletionTimestamp"):
        return False
    conditions = there.get("status", {}).get("conditions", [])
    return not any(
        condition["type"] == "Failed" and condition["status"] == "True" for condition in conditions
    )


@contextmanager
def _deleted_when_told_to_stop(jobs: _Jobs) -> Iterator[None]:
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
        # With less patience than usual: Kubernetes kills this process soon.
        jobs.remove_all(STOP_SECONDS)
        raise
    except SystemExit:
        jobs.remove_all(STOP_SECONDS)
        place = f"{jobs.cluster.namespace}/{jobs.request.training}"
        raise Interrupted(
            f"stopped: TrainJob {place} is deleted, and its nodes save. Run it again to continue"
        ) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
