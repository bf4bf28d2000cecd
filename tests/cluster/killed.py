"""The deploy step in a process of its own, which is killed while it works, and helm with it."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import threading
from contextlib import suppress
from pathlib import Path

from tests.cluster.yard import Yard
from tests.toy.build import LINE

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    [
        "modelyard.stages.deploy",
        "modelyard.registry.tracking",
        "mlflow.store.tracking.sqlalchemy_store",
        "mlflow.store.model_registry.sqlalchemy_store",
        "kubernetes.client",
        "tests.cluster.killed",
    ]
)
_VARIABLES = ("MODELYARD_HOME", "KUBECONFIG", "HELM")
_RENEWAL = re.compile(r"PATCH .*/configmaps/\w+-deploying")
"""Comes by the clock, not as a part of the work."""


class KilledStep:
    """`deploy` of a yard's run, ended with all that it started as its `at`-th change or smoke
    request reaches the API, before that takes effect."""

    def __init__(self, yard: Yard, name: str, at: int, notice: float | None = None) -> None:
        """With `notice` the step first gets SIGTERM, and so many seconds, as a pod does."""
        self.yard, self.name, self.at, self.notice = yard, name, at, notice
        self.killed_at = ""
        """The request at which it was killed; empty where it ended by itself."""
        self.changes, self._dead = 0, False
        self._lock = threading.Lock()

    def run(self) -> int | None:
        """Its exit code."""
        built = self.yard.runs[self.name]
        variables = {name: os.environ[name] for name in _VARIABLES}
        config = built.run.config.model_dump(mode="json")
        place = (built.package, built.features, self.yard.folder / "killed")
        self.process = _PROCESSES.Process(target=_step, args=(variables, config, self.name, *place))
        self.yard.api.before = self._look
        self.process.start()
        self.process.join(120)
        self.yard.api.before = None
        return self.process.exitcode

    def _look(self, request: str) -> None:
        if request.startswith("GET") or _RENEWAL.match(request):
            return
        with self._lock:
            self.changes += 1
            if self.changes >= self.at and not self.killed_at:
                self.killed_at = request
                self._end()
        if self._dead:
            raise ConnectionResetError  # nothing that comes from it takes effect any more

    def _end(self) -> None:
        if self.notice is None:
            self._kill()
        else:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            threading.Timer(self.notice, self._kill).start()

    def _kill(self) -> None:
        self._dead = True
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


def _step(
    variables: dict[str, str], config: object, name: str, package: Path, features: Path, out: Path
) -> None:
    os.setsid()  # one group with the helm that it starts
    os.environ.update(variables)
    from modelyard.kubernetes.client import Pace
    from modelyard.release import lease, release, smoke
    from modelyard.stages.deploy import deploy
    from modelyard.stages.run import Run

    release.Pace = lambda: Pace(tick=0.1, backoff=0.05, patience=5.0)
    smoke.PAUSE, smoke.TRIES, lease.BEAT, lease.LAPSE = 0.01, 5, 0.2, 1.0
    deploy(Run.of(LINE, config, id=name), package=package, features=features, deployment=out)
