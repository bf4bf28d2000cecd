"""One attempt of a training job, watched from its creation to its end."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from modelyard.errors import ModelyardError, Unavailable, UsageError
from modelyard.kubernetes import pods
from modelyard.kubernetes.client import Cluster, Object
from modelyard.kubernetes.follow import Log, Watched
from modelyard.kubernetes.pods import End, Waiting
from modelyard.kubernetes.refusals import advice, fits_empty_quota, is_final, is_quota
from modelyard.kubernetes.trainer import NODE
from modelyard.settings.cluster import ClusterSettings

_EVENTS_SECONDS = 15.0
"""How often events are read while no pod appears."""

QUOTA_SETTLES = 4
"""How many times as long as a failure settles, a quota may be full."""


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended."""

    error: ModelyardError | None = None
    """None: it succeeded."""
    again: bool = False
    """It was stopped from outside, and another attempt would continue from its last save."""


class Attempt:
    """Watches a TrainJob that exists."""

    def __init__(
        self,
        cluster: Cluster,
        job: Object,
        settings: ClusterSettings,
        progress: Callable[[str], None],
    ) -> None:
        self.cluster, self.settings, self.progress = cluster, settings, progress
        self.name, self.uid = str(job["metadata"]["name"]), job["metadata"]["uid"]
        self.nodes = int(job["spec"]["trainer"]["numNodes"])
        self.called = f"TrainJob {cluster.namespace}/{self.name}"
        self.changed = threading.Event()
        self.jobs = Watched(
            cluster,
            f"watching TrainJob {self.name}",
            lambda **query: cluster.open_jobs(self.name, **query),
            self.changed,
        )
        self.pods = Watched(
            cluster,
            f"watching the pods of {self.name}",
            lambda **query: cluster.open_pods(self.name, **query),
            self.changed,
        )
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.log: Log | None = None
        self._told = ""
        self._since: dict[tuple[str, str], float] = {}
        self._reasons: dict[tuple[str, str], str] = {}
        self._failing: float | None = None
        self._over_quota: float | None = None
        self._asked_events, self._event = 0.0, ""

    def run(self) -> Outcome:
        """Watches until the attempt ended, or cannot start.

        Raises:
            ModelyardError: nobody can tell any more how it stands; the job is as it was.
        """
        self.jobs.start()
        self.pods.start()
        try:
            while (outcome := self._look()) is None:
                self.changed.wait(self.cluster.pace.tick)
                self.changed.clear()
            self._finish_log()
            return outcome
        finally:
            for thread in (self.jobs, self.pods, self.log):
                if thread:
                    thread.stop()

    def _look(self) -> Outcome | None:
        found, there = self.jobs.objects(), self.pods.objects()
        if not (self.jobs.listed.is_set() and self.pods.listed.is_set()):
            return None
        # By uid: another job may have its name by now.
        by_uid = {one["metadata"]["uid"]: one for one in found}
        job = by_uid.get(self.uid)
        if job is None or job["metadata"].get("deletionTimestamp"):
            return Outcome(
                Unavailable(f"{self.called} was deleted by someone else while it trained")
            )
        present = self._since_resumed(job, there)
        self._tell_log(present)
        if _condition(job, "Complete"):
            return Outcome()
        if job["spec"].get("suspend"):
            self._queued()
            return None
        return self._failed(job, present) or self._stuck(present)

    def _since_resumed(self, job: Object, found: list[Object]) -> list[Object]:
        """Without pods that a queue has taken back since."""
        since = ""
        for condition in job.get("status", {}).get("conditions", []):
            if condition["type"] == "Suspended" and condition["status"] == "False":
                since = max(since, str(condition["lastTransitionTime"]))
        # Kubernetes writes times in UTC and with whole seconds, so that they sort as text.
        return [pod for pod in found if pod["metadata"]["creationTimestamp"] >= since]

    def _queued(self) -> None:
        # Time in a queue is no waiting, and a failure before it is over: Kueue deletes pods to take
        # nodes back.
        self._since, self._failing = {}, None
        self.pods.forget()
        self._tell(f"{self.name} waits in queue {self.settings.queue or '(suspended)'}")

    def _failed(self, job: Object, present: list[Object]) -> Outcome | None:
        condition = _condition(job, "Failed")
        if condition and condition.get("reason") == "DeadlineExceeded":
            hours = f"cluster.timeout_hours = {self.settings.timeout_hours:g}"
            return Outcome(
                Unavailable(
                    f"{self.called} was stopped at its time limit, {hours}. Raise it, or train less"
                )
            )
        gone = self._since_resumed(job, self.pods.gone())
        ends = [*map(pods.ended, present), *map(pods.removed, gone)]
        bad = [end for end in ends if end is not None]
        if not bad and not condition:
            self._failing = None
            return None
        # The verdict waits: a node that loses its peer crashes too, often before the cause is seen.
        now = time.monotonic()
        self._failing = self._failing or now
        if now - self._failing < self.cluster.pace.settle:
            return None
        if not bad:
            assert condition is not None
            said = f"{condition.get('reason')}: {condition.get('message')}"
            return Outcome(ModelyardError(f"{self.called} failed: {said}"))
        return self._explained(pods.cause(bad))

    def _explained(self, end: End) -> Outcome:
        self._finish_log()
        again = end.kind == "preempted"
        line = end.said
        # These two say what happened without the log.
        explains_itself = end.kind in ("preempted", "memory")
        if not line and not explains_itself:
            line = self.cluster.last_line(end.pod, NODE, previous=end.restarted)
        return Outcome(pods.explain(end, self.called, line), again)

    def _stuck(self, present: list[Object]) -> Outcome | None:
        """Tells what pods wait for; the outcome where they have waited too long."""
        found = [why for why in map(pods.waiting, present) if why is not None]
        if len(present) < self.nodes:
            refused = self._warning()
            if is_final(refused) and (outcome := self._refused(refused)) is not None:
                return outcome
            if not present:
                reason = refused or "is the controller of Kubeflow Trainer running?"
                found = [Waiting("schedule", 0, "", f"no pod was made yet: {reason}")]
        now, keys = time.monotonic(), {(why.pod, why.kind) for why in found}
        # What a pod does not wait for any more is forgotten; if it comes back, its time begins again.
        self._since = {key: self._since.get(key, now) for key in keys}
        for why in found:
            key = (why.pod, why.kind)
            # A back-off hides the reason that stood there before it.
            if "ImagePullBackOff" not in why.text or key not in self._reasons:
                self._reasons[key] = why.text
            if now - self._since[key] > self._patience(why):
                return Outcome(self._too_long(why, self._reasons[key]))
        if found:
            first = found[0]
            reason = self._reasons[(first.pod, first.kind)]
            self._tell(f"{self.name}: node {first.node} waits: {reason}")
        elif all(map(pods.started, present)):
            self._tell(f"{self.name}: all {len(present)} nodes run")
        return None

    def _patience(self, why: Waiting) -> float:
        if why.kind == "schedule":
            return self.settings.schedule_minutes * 60
        return self.settings.pull_minutes * 60

    def _too_long(self, why: Waiting, text: str) -> ModelyardError:
        where, waited = f"{self.called}: node {why.node}", f"{self._patience(why) / 60:g} minutes"
        if why.kind == "pull":
            return UsageError(
                f"{where}: {text}. Tried for {waited}. Check cluster.image and cluster.image_pull_secrets"
            )
        if why.kind == "setup":
            return UsageError(
                f"{where} cannot start: {text}. Tried for {waited}. "
                "Check cluster.env_from_secrets, cluster.scratch_claim and the image's user"
            )
        return Unavailable(
            f"{where} found no place in {waited}: {text}. "
            "Ask for less, free or add nodes, or raise cluster.schedule_minutes"
        )

    def _refused(self, said: str) -> Outcome | None:
        """The end of a job whose pods the API server refuses. Room in a quota may still be on its
        way: pods of an earlier attempt count in it for some seconds."""
        now = time.monotonic()
        may_pass = is_quota(said) and fits_empty_quota(said)
        if may_pass:
            self._over_quota = self._over_quota or now
            if now - self._over_quota < QUOTA_SETTLES * self.cluster.pace.settle:
                return None
        line = f"{self.called}: the cluster refuses its pods: {said}. {advice(said)}"
        # What may pass, a step tries again.
        return Outcome(Unavailable(line) if may_pass else UsageError(line))

    def _warning(self) -> str:
        """The last warning about the job, its job set and its jobs; empty where there is none."""
        now = time.monotonic()
        pause = min(_EVENTS_SECONDS, 5 * self.cluster.pace.tick)
        if self._asked_events and now - self._asked_events <= pause:
            return self._event
        self._asked_events = now
        for name in (self.name, f"{self.name}-{NODE}-0"):
            for event in self.cluster.events(name):
                if event.get("type") == "Warning":
                    self._event = str(event.get("message", ""))
        return self._event

    def _tell(self, text: str) -> None:
        if text != self._told:
            self._told = text
            self.progress(text)

    def _tell_log(self, present: list[Object]) -> None:
        first = pods.newest(present, 0)
        if first is not None and pods.started(first):
            name = first["metadata"]["name"]
            # A node that was replaced continues in another pod, with a log of its own.
            if self.log is None or self.log.pod != name:
                self._finish_log()
                self.log = Log(self.cluster, name, NODE, self.lines.put)
                self.log.start()
        while not self.lines.empty():
            self.progress(self.lines.get())

    def _finish_log(self) -> None:
        if self.log:
            self.log.end(self.cluster.pace.settle)
        while not self.lines.empty():
            self.progress(self.lines.get())


def _condition(job: Object, kind: str) -> dict[str, str] | None:
    """The condition of a job that holds now, if it is of this kind."""
    for condition in job.get("status", {}).get("conditions", []):
        if condition["type"] == kind and condition["status"] == "True":
            found: dict[str, str] = condition
            return found
    return None
