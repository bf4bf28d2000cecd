"""What a pipeline's run comes to: the steps that failed and why, what was tried again, how it ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from modelyard.doctor.clusterrun import ClusterRun
from modelyard.doctor.ended import HALF_DONE, SIGTERM
from modelyard.doctor.finding import Finding, one_line
from modelyard.kubernetes.steps import Step
from modelyard.kubernetes.words import ERROR, container_status, exit_status, last_words

SIGKILL = 137
MORE_MEMORY = "type --set cluster.memory=16Gi or more, or raise memory in the page's form"


def step_findings(run: ClusterRun, explained: Collection[str]) -> list[Finding]:
    """A row a step that failed or was tried again. `explained` names the steps whose pods say why."""
    rows = []
    for step in run.steps:
        if step.failed and step.name not in explained:
            rows.append(_failed(run, step))
        if step.state == "PENDING" and step.name not in explained:
            rows.append(_waits(run, step))
        if step.state == "SUCCEEDED" and len(step.tries) > 1:
            rows.append(_tried_again(step))
    rows += _without_gpus(run)
    if run.lost:
        rows.append(_lost(run))
    any_failed = any(step.failed for step in run.steps)
    if run.state == "FAILED" and not explained and not any_failed:
        rows.append(_failed_itself(run))
    return rows


def summary(run: ClusterRun) -> Finding:
    """How the whole run is, in a row."""
    said = run.state.lower()
    if run.seconds is not None:
        word = "in" if run.over else "for"
        said += f" {word} {run.seconds:.0f} s"
    counts = Counter(step.name for step in run.steps)
    names = [name if count == 1 else f"{count} × {name}" for name, count in counts.items()]
    parts = [f"{said}: {', '.join(names) or 'no step has begun'}"]
    if "monitor" in counts and run.state == "SUCCEEDED":
        trained = "train" in counts
        parts.append("it trained again" if trained else "nothing was to be trained again")
    headline = _headline(run)
    if headline:
        parts.append(headline)
    return Finding("ok", f"run {run.run}", "; ".join(parts))


def _headline(run: ClusterRun) -> str:
    """What the last step that ended reported: for a training whether its model is champion."""
    ended = [step for step in run.steps if step.state == "SUCCEEDED"]
    if not ended:
        return ""
    finished = run.finished(ended[-1])
    if finished and finished.headline:
        return f"{ended[-1].name}: {finished.headline}"
    return ""


def _failed(run: ClusterRun, step: Step) -> Finding:
    """Why a step failed whose pod says nothing any more."""
    log = message = ""
    if step.tries:
        last = step.tries[-1]
        log, message = run.log(last), last.message
    cause, fix = explain_log(step.name, log, message or step.error)
    if not fix:
        fix = f"its log: modelyard logs {run.run} {step.name}" if log else "run it again"
    return Finding("bad", f"step {step.name}", one_line(cause), fix)


def explain_log(step: str, log: str, message: str) -> tuple[str, str]:
    """Cause and remedy, by the end of a step's log and by Argo's message on its pod."""
    said = last_words(log)
    if said.startswith(ERROR):
        return said.removeprefix(ERROR), ""
    if "OOMKilled" in message:
        return f"ran out of memory ({message})", MORE_MEMORY
    if exit_status(log) == SIGKILL:
        killed = f"its process was killed (exit status {SIGKILL}), most likely for its memory"
        return killed, MORE_MEMORY
    if container_status(log) == SIGTERM or f"exit code {SIGTERM}" in message:
        cause = f"it was ended while it worked (SIGTERM): the run was terminated{_last(said)}"
        return cause, HALF_DONE if step == "deploy" else ""
    # Argo writes how a program ended, unless the kernel ends it together with Argo's own.
    breaks_off = log and not message and container_status(log) is None
    if breaks_off:
        killed = f"its log breaks off: it was killed, most likely for its memory{_last(said)}"
        return killed, MORE_MEMORY
    return f"{message or 'failed'}{_last(said)}", ""


def _last(said: str) -> str:
    if said:
        return f". Its last line: {said}"
    return ""


def _waits(run: ClusterRun, step: Step) -> Finding:
    """A step without a running pod, where its pod cannot be looked at."""
    message = step.tries[-1].message if step.tries else ""
    fix = "" if run.reader else f"to see why: set KUBECONFIG, then modelyard doctor {run.run}"
    seen = f"it waits for its pod to start. {message}"
    return Finding("warn", f"step {step.name}", one_line(seen), fix)


def _failed_itself(run: ClusterRun) -> Finding:
    message = run.workflow_status("message")
    seen = one_line(message) or "it failed before any of its steps began"
    fix = run.kubeflow.page(run.run) if run.kubeflow else "kubectl get workflows -A"
    return Finding("bad", f"run {run.run}", seen, fix)


def _tried_again(step: Step) -> Finding:
    before = step.tries[-2]
    why = before.message or "its first pod was lost"
    seen = f"{why}; try {len(step.tries)} succeeded"
    return Finding("ok", f"step {step.name}", one_line(seen))


def _without_gpus(run: ClusterRun) -> list[Finding]:
    """A training that was to have GPUs and whose pod has none: Kubeflow leaves out a resource whose
    amount is no text, without a word."""
    wanted = run.parameters.get("gpus_per_node") or 0
    # Of several nodes the training job's pods have the GPUs, not the step's own.
    several = int(run.parameters.get("nodes") or 1) > 1
    if not wanted or several:
        return []
    for step in run.steps:
        pod = run.pod(step.tries[-1]) if step.tries else None
        if step.name != "train" or pod is None:
            continue
        given: set[str] = set()
        for container in pod["spec"]["containers"]:
            given.update(container.get("resources", {}).get("limits") or {})
        if not any("/" in name for name in given):  # as in nvidia.com/gpu
            seen = f"{wanted} GPU requested and none given: it trained on the CPU"
            fix = "the pipeline was compiled by an older modelyard: upgrade charts/platform, or submit again"
            return [Finding("warn", "step train", seen, fix)]
    return []


def _lost(run: ClusterRun) -> Finding:
    gone = "schedule" if (run.record or {}).get("recurring_run_id") else "workflow"
    seen = (
        f"Kubeflow Pipelines calls it {run.state}, but nothing of it runs any more: "
        f"its {gone} was deleted"
    )
    fix = "it will not end by itself and cannot be cancelled: archive it on the page, and start it again"
    return Finding("bad", f"run {run.run}", seen, fix)
