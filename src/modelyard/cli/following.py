"""Follows a run on a cluster: a line a step, why nothing moves, how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable

import typer
from rich.console import Console
from rich.markup import escape

from modelyard.doctor.clusterrun import ClusterRun, found
from modelyard.doctor.finding import Trouble
from modelyard.doctor.run import run_findings, troubles_of
from modelyard.errors import Unavailable
from modelyard.kubernetes.steps import Step

MARKS = {
    "SUCCEEDED": "[green]✓[/]",
    "CACHED": "[cyan]↺[/]",
    "SKIPPED": "[dim]-[/]",
}
TICK, REASON, PATIENCE = 2.0, 10.0, 600.0
"""Seconds between two looks, between two looks for the reason of a wait, and for which no answer is
borne."""


class Follower:
    """Follows one run. `limit` is for how many minutes a step may wait for something that does not
    pass by itself; then the run is ended."""

    def __init__(self, run: ClusterRun, console: Console, limit: float, tick: float = TICK) -> None:
        self.run, self.console, self.limit, self.tick = run, console, limit, tick
        self._shown: set[str] = set()
        self._reasons: set[str] = set()
        self._waits: dict[str, float] = {}
        self._waiting = ""
        self._reason_at = float("-inf")
        self._answered, self._away = 0.0, False

    def follow(self, clock: Callable[[], float] = time.monotonic) -> bool:
        """Follows the run to its end; whether it succeeded.

        Raises:
            Unavailable: Kubeflow Pipelines stays away.
        """
        self._answered = clock()
        with self.console.status("waiting for the cluster") as status:
            while True:
                if self._look(clock()):
                    self._show_steps()
                    if self.run.over:
                        break
                    # Why a step waits takes several requests: asked less often than its state.
                    if clock() - self._reason_at >= REASON:
                        self._reason_at = clock()
                        if not self._may_wait(clock()):
                            return False
                    status.update(self._doing())
                time.sleep(self.tick)
        self._end()
        return self.run.state == "SUCCEEDED"

    def _look(self, now: float) -> bool:
        """Reads the run again; whether anyone answered. A lost connection is borne for a while."""
        try:
            self.run.look()
        except Unavailable as error:
            if now - self._answered > PATIENCE:
                later = f"The run goes on: modelyard follow {self.run.run}"
                raise Unavailable(f"{error}. {later}") from None
            if not self._away:
                self._print(f"{error}. The run goes on; trying again")
            self._away = True
            return False
        if self._away:
            self.console.print("connected again")
        self._answered, self._away = now, False
        return True

    def _show_steps(self) -> None:
        for step in self.run.steps:
            if not step.over or step.key in self._shown:
                continue
            self._shown.add(step.key)
            took = "" if step.seconds is None else f"{step.seconds:.0f} s"
            mark = MARKS.get(step.state, "[red]✗[/]")
            self._print(f"{step.name:<12} {took:>7}  {self._words(step)}", mark)

    def _words(self, step: Step) -> str:
        if step.state == "CACHED":
            return "answered from the cache"
        finished = self.run.finished(step) if step.state == "SUCCEEDED" else None
        words = finished.headline if finished else ""
        if len(step.tries) > 1:
            words = f"{words} ({len(step.tries)} tries)".strip()
        return words

    def _doing(self) -> str:
        """What the line below the steps says; every ten seconds the reason of a wait is read again."""
        if self._waiting:
            return escape(self._waiting)
        working = [step.name for step in self.run.steps if not step.over]
        if not working:
            return "Kubeflow prepares a step"
        return escape(f"{', '.join(working)} at work")

    def _may_wait(self, now: float) -> bool:
        """Says why a step does not start; False where that has lasted for too long."""
        self._waiting = ""
        since = self._waits
        self._waits = {}
        for step, trouble in self._troubles():
            line = f"{step} waits: {trouble.cause}"
            self._waiting = line
            if line not in self._reasons:
                self._reasons.add(line)
                self._print(line, "[yellow]![/]")
                self._print(f"  → {trouble.fix}")
            if not trouble.lasting:
                continue
            self._waits[step] = since.get(step, now)
            if now - self._waits[step] >= self.limit * 60:
                self._give_up(line)
                return False
        return True

    def _troubles(self) -> list[tuple[str, Trouble]]:
        """Steps that do not start, and what each waits for. One whose program runs or ended waits for
        nothing."""
        if self.run.lost:
            gone = "nothing of it runs: its workflow or its schedule was deleted"
            return [("run", Trouble("lost", "", gone, f"modelyard doctor {self.run.run}"))]
        waiting = {step.name for step in self.run.steps if step.state == "PENDING"}
        begun = {step.name for step in self.run.steps} - waiting
        if waiting and not self.run.pods:
            cause = "its pod has not started, and only Kubernetes knows why"
            fix = f"to see it: set KUBECONFIG, then modelyard doctor {self.run.run}"
            return [(", ".join(sorted(waiting)), Trouble("unknown", "", cause, fix, False))]
        try:
            found = troubles_of(self.run)
        except Unavailable:
            return []
        return [(step or "a pod", trouble) for step, trouble in found if step not in begun]

    def _give_up(self, why: str) -> None:
        # What is lost cannot be ended: Kubeflow would call it CANCELING for ever.
        if self.run.kubeflow is not None and not self.run.lost:
            self.run.kubeflow.terminate(self.run.run)
        self._print(
            f"ended after {self.limit:g} minutes in which nothing moved: {why}", "[red]✗[/]"
        )

    def _end(self) -> None:
        took = "" if self.run.seconds is None else f" in {self.run.seconds:.0f} s"
        if self.run.state == "SUCCEEDED":
            self._succeeded(took)
            return
        self._print(f"run {self.run.state.lower()}{took}", "[red]✗[/]")
        named = []
        for finding in run_findings(self.run):
            for step in self.run.steps:
                if finding.what.startswith(f"step {step.name}"):
                    named.append(step.name)
            if finding.level == "bad":
                self._print(f"{finding.what}: {finding.seen}", "[red]✗[/]")
                self._print(f"  → {finding.fix}")
        self._page()
        self._print(f"next     modelyard logs {' '.join([self.run.run, *named[:1]])}")

    def _succeeded(self, took: str) -> None:
        said = f"done{took}"
        finished = self.run.finished(self.run.steps[-1]) if self.run.steps else None
        if finished is not None and finished.headline:
            said += f": {finished.headline}"
        self._print(said, MARKS["SUCCEEDED"])
        self._page()
        package = self.run.package()
        if package is not None:
            self._print(f"next     modelyard explain {package}; modelyard serve {package}")
        else:
            self._print(f"next     modelyard logs {self.run.run}")

    def _page(self) -> None:
        if self.run.kubeflow is not None:
            self._print(f"page     {self.run.kubeflow.page(self.run.run)}")

    def _print(self, text: str, mark: str = "") -> None:
        self.console.print(f"{mark} {escape(text)}".lstrip(), soft_wrap=True)


def follow(run: str, console: Console, *, host: str | None = None, limit: float = 30.0) -> None:
    """Follows a run to its end; exit status 1 where it does not succeed. Ctrl-C leaves it running."""
    follower = Follower(found(run, host=host), console, limit)
    try:
        succeeded = follower.follow()
    except KeyboardInterrupt:
        line = f"the run goes on. Follow it: modelyard follow {run}; end it: modelyard cancel {run}"
        console.print(line, soft_wrap=True)
        raise typer.Exit(130) from None
    if not succeeded:
        raise typer.Exit(1)
