"""The steps of a pipeline's run, out of what Kubeflow and Argo keep of it.

Of a step `ingest` there are the nodes `ingest-driver`, `ingest`, `ingest(0)`, `executor` and one
`executor(n)` a try, each of which Kubeflow Pipelines calls a task. A person knows one step.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from modelyard.kubernetes.client import Object

SLACK = 2.0
"""Seconds by which the times of nodes that belong together differ at most."""
_TRY = re.compile(r"^executor\(\d+\)$")
_STATES = {
    "Succeeded": "SUCCEEDED",
    "Failed": "FAILED",
    "Error": "ERROR",
    "Pending": "PENDING",
    "Running": "RUNNING",
    "Skipped": "SKIPPED",
}
"""Kubeflow's state for each of Argo's phases."""
_FAILED = frozenset({"FAILED", "ERROR", "SYSTEM_ERROR"})
OVER = _FAILED | {"SUCCEEDED", "SKIPPED", "CANCELED", "CACHED"}


@dataclass
class Try:
    """One pod of a step."""

    node: str
    """Argo's id of it, which the pod has as an annotation; empty where nobody says."""
    state: str
    began: datetime | None
    ended: datetime | None
    message: str = ""


@dataclass
class Step:
    """A step as a person knows it."""

    name: str
    state: str
    """SUCCEEDED, FAILED, RUNNING, PENDING, CACHED, …"""
    began: datetime | None
    ended: datetime | None
    tries: list[Try] = field(default_factory=list)
    error: str = ""
    """Kubeflow's own words on its failure; since 2.17 it has none."""

    @property
    def key(self) -> str:
        """Differs from that of every other step of the run, of the same name too."""
        node = self.tries[0].node if self.tries else ""
        return f"{self.name} {node or self.began}"

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state in OVER

    @property
    def failed(self) -> bool:
        """Whether it ended badly."""
        return self.state in _FAILED

    @property
    def seconds(self) -> float | None:
        """How long its pods took, without Argo's waits around them; None while they run."""
        began = self.tries[0].began if self.tries else self.began
        ended = self.tries[-1].ended if self.tries else self.ended
        if began is None or ended is None:
            return None
        return (ended - began).total_seconds()


def step_of(node: str) -> str:
    """Which step a node belongs to, by its full name: `…root(0).ingest(0).executor(0)` is `ingest`."""
    for part in reversed(node.split(".")[1:]):
        name = re.sub(r"\([\d:]*\)", "", part)
        if name not in ("root", "executor", "root-driver"):
            return name.removesuffix("-driver")
    return ""


def from_record(record: Object) -> list[Step]:
    """The steps of a run as Kubeflow Pipelines' API has it, in the order in which they began.

    Its tasks do not say to whom they belong: the task that begins and ends with an `executor` is a
    step, others are parts of the graph.
    """
    tasks = (record.get("run_details") or {}).get("task_details") or []
    executors = [task for task in tasks if task.get("display_name") == "executor"]
    tries = [task for task in tasks if _TRY.match(str(task.get("display_name")))]
    graph = _graph(tasks)
    # The record of an older Kubeflow has no executors: each task is a step.
    grouped = bool(executors)
    steps = []
    for task in sorted(tasks, key=lambda task: str(task.get("start_time") or "")):
        name = str(task.get("display_name") or "")
        if name.endswith("-driver") and task.get("state") in _FAILED:
            steps.append(_driver(task))
        # `ingest(0)` and drivers surround a step, which has a task of its own.
        surrounds = name.endswith((")", "-driver"))
        if not name or name in graph or surrounds:
            continue
        if not grouped:
            steps.append(_step(task))
            continue
        for executor in executors:
            if _belongs(executor, task):
                # An executor is claimed once, else the next of two steps that ran side by side
                # would get it too.
                executors.remove(executor)
                steps.append(_with_tries(task, executor, tries))
                break
    return steps


def _graph(tasks: Sequence[Object]) -> set[str]:
    """Names of nodes that are never steps: the workflow's own, of which all ids begin, and the root."""
    names = {"root", "executor"}
    for task in tasks:
        for child in task.get("child_tasks") or []:
            names.add(child["pod_name"].rpartition("-")[0])
    return names


def _belongs(executor: Object, task: Object) -> bool:
    # A step that came from the cache has SUCCEEDED, while nothing of it was executed.
    if executor.get("state") not in (task.get("state"), "SKIPPED"):
        return False
    return _near(executor, task, "start_time") and _near(executor, task, "end_time")


def _near(first: Object, second: Object, name: str) -> bool:
    one, other = moment(first.get(name)), moment(second.get(name))
    if one is None or other is None:
        return one is other
    return abs((one - other).total_seconds()) <= SLACK


def _driver(task: Object) -> Step:
    """A step whose driver failed, before the step itself had a pod."""
    step = _step(task)
    step.name = step.name.removesuffix("-driver")
    return step


def _step(task: Object) -> Step:
    state = str(task.get("state") or "PENDING")
    name = str(task.get("display_name"))
    step = Step(name, state, moment(task.get("start_time")), moment(task.get("end_time")))
    step.error = str((task.get("error") or {}).get("message") or "")
    return step


def _with_tries(task: Object, executor: Object, tries: list[Object]) -> Step:
    step = _step(task)
    if executor.get("state") == "SKIPPED":
        step.state = "CACHED"
        return step
    nodes = [child["pod_name"] for child in executor.get("child_tasks") or []]
    for number, node in enumerate(nodes):
        found = [attempt for attempt in tries if _is_try(attempt, number, step)]
        if number == len(nodes) - 1:
            # Of steps that run side by side, the one that ended as this step did.
            found.sort(key=lambda one: one.get("state") != task.get("state"))
        if not found:
            continue
        chosen = found[0]
        tries.remove(chosen)
        began, ended = moment(chosen.get("start_time")), moment(chosen.get("end_time"))
        step.tries.append(Try(node, str(chosen.get("state") or "PENDING"), began, ended))
    # Kubeflow calls a step RUNNING whose pod waits for a node.
    if step.tries and step.tries[-1].state == "PENDING":
        step.state = "PENDING"
    return step


def _is_try(task: Object, number: int, step: Step) -> bool:
    began = moment(task.get("start_time"))
    if task.get("display_name") != f"executor({number})":
        return False
    if began is None or step.began is None:
        return False
    after = (began - step.began).total_seconds()
    if number == 0:
        return abs(after) <= SLACK
    before = step.ended is None or began <= step.ended
    return after > 0 and before


def from_workflow(workflow: Object) -> list[Step]:
    """The steps of a run as Argo's Workflow has it: exact, as long as the Workflow is there."""
    nodes = list((workflow.get("status", {}).get("nodes") or {}).values())
    by_name = {node.get("name"): node for node in nodes}
    steps: dict[str, Step] = {}
    for node in sorted(nodes, key=lambda node: str(node.get("startedAt") or "")):
        state = _STATES.get(str(node.get("phase")), "RUNNING")
        if str(node.get("displayName")).endswith("-driver") and state in _FAILED:
            driver = _of_node(node, step_of(str(node["name"])))
            driver.error = str(node.get("message") or "")
            steps[str(node["name"])] = driver
        if not _TRY.match(str(node.get("displayName"))):
            continue
        # Of `….ingest(0).executor(0)` the executor is `….ingest(0).executor`, and the step's own
        # node `….ingest`.
        executor = str(node["name"]).rpartition("(")[0]
        path = executor.rpartition(".")[0].rpartition("(")[0]
        own = by_name.get(path, node)
        step = steps.setdefault(path, _of_node(own, step_of(str(node["name"]))))
        began, ended = moment(node.get("startedAt")), moment(node.get("finishedAt"))
        step.tries.append(Try(str(node["id"]), state, began, ended, str(node.get("message") or "")))
        if state == "PENDING":
            step.state = "PENDING"
    return list(steps.values())


def _of_node(node: Object, name: str) -> Step:
    state = _STATES.get(str(node.get("phase")), "RUNNING")
    return Step(name, state, moment(node.get("startedAt")), moment(node.get("finishedAt")))


def moment(text: object) -> datetime | None:
    """A time of the API; None for the years 1 and 1970, which say that it is not known yet."""
    if not text:
        return None
    found = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    if found.year > 1970:
        return found
    return None
