"""Helm, as a program: the releases of one name, and what it does to them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from modelyard.errors import Unavailable, UsageError

Say = Callable[[str], None]
"""Takes a line for the person who waits."""
VARIABLE = "HELM"
INTERRUPT_SECONDS = 20.0
"""How long helm may take to put things back where this process itself got SIGTERM: it is
killed after 30."""
KEPT = 10
"""Revisions that helm keeps: how far back one can go."""


class Revision(BaseModel):
    """One state of a release, as `helm history` shows it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    revision: int
    status: str
    """deployed, superseded, failed, pending-install, pending-upgrade, pending-rollback,
    uninstalled."""
    description: str = ""
    updated: str = ""
    """RFC 3339."""

    @property
    def served(self) -> bool:
        """It serves or once did. Helm also calls a revision superseded that failed and was rolled
        back from; only its description still says so."""
        known = self.status in ("deployed", "superseded")
        return known and "failed" not in self.description


def serving(history: Sequence[Revision]) -> Revision | None:
    """The revision that serves, or did before what came later failed."""
    served = None
    for revision in reversed(history):
        if revision.status == "deployed":
            return revision
        if revision.served and served is None:
            served = revision
    return served


class Helm:
    """One release in one namespace."""

    def __init__(self, release: str, namespace: str) -> None:
        """Finds the program.

        Raises:
            UsageError: neither HELM nor the PATH names one.
        """
        found = shutil.which(os.environ.get(VARIABLE) or "helm")
        if found is None:
            raise UsageError(
                f"release {release}: helm is not on the PATH and {VARIABLE} names no program. "
                "Install Helm 3.10 or newer, or type: export HELM=/path/to/helm"
            )
        self.program, self.release, self.namespace = found, release, namespace

    def history(self) -> list[Revision]:
        """All revisions that are kept, oldest first; none where there is no release."""
        done = self._run("history", self.release, "--max", str(KEPT), "--output", "json")
        # The status is 1 for every failure: only the words say which.
        if done.returncode and "release: not found" in done.stderr:
            return []
        history = json.loads(self._checked(done, "reading its history"))
        return [Revision.model_validate(revision) for revision in history]

    def values(self, revision: int) -> dict[str, Any]:
        """The values that a revision was given."""
        done = self._run(
            "get", "values", self.release, "--revision", str(revision), "--output", "json"
        )
        values: dict[str, Any] | None = json.loads(
            self._checked(done, f"reading revision {revision}")
        )
        return values or {}

    def upgrade(
        self,
        chart: str,
        version: str | None,
        values: Mapping[str, Any],
        minutes: float,
        watch: Callable[[], str | None],
    ) -> str | None:
        """Installs or upgrades, and waits for readiness; what fails, helm itself puts back.

        `watch` is called repeatedly meanwhile; once it gives a reason, helm is interrupted.
        Returns None for success, else the reason, or helm's own last words.
        """
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "values.json"
            file.write_text(json.dumps(values))
            of = ["--version", version] if version else []
            command = self.command(
                "upgrade",
                self.release,
                chart,
                *of,
                "--install",
                "--atomic",
                "--timeout",
                _seconds(minutes),
                # Without it helm takes the values of the revision before where the file holds none.
                "--reset-values",
                "--values",
                str(file),
                "--history-max",
                str(KEPT),
            )
            # A file, not a pipe: nobody reads while helm works, and a full pipe would stop it.
            said = Path(folder) / "stderr"
            with said.open("w") as stream:
                process = subprocess.Popen(
                    command, stdout=subprocess.DEVNULL, stderr=stream, env=self._environment()
                )
                reason = _follow(process, watch, minutes * 60 + INTERRUPT_SECONDS)
            if reason is None and process.returncode:
                reason = _last(said.read_text())
            return reason

    def rollback(self, revision: int, minutes: float) -> None:
        """Goes back to a revision and waits until it serves.

        Raises:
            Unavailable: helm does not manage to.
        """
        done = self._run(
            "rollback",
            self.release,
            str(revision),
            "--wait",
            "--timeout",
            _seconds(minutes),
            "--history-max",
            str(KEPT),
        )
        self._checked(done, f"rolling back to revision {revision}")

    def uninstall(self, *, wait: bool = True) -> None:
        """Removes the release; nothing where there is none."""
        waiting = ["--wait"] if wait else []
        done = self._run("uninstall", self.release, *waiting)
        if done.returncode == 0 or "release: not found" not in done.stderr:
            self._checked(done, "uninstalling it")

    def test(self, minutes: float) -> str | None:
        """Runs the chart's own test; what failed, or None."""
        done = self._run("test", self.release, "--timeout", _seconds(minutes))
        if done.returncode:
            return _last(done.stderr)
        return None

    def command(self, *arguments: str) -> list[str]:
        """A command line for this release's namespace."""
        return [self.program, *arguments, "--namespace", self.namespace]

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = self.command(*arguments)
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env=self._environment()
        )

    def _checked(self, done: subprocess.CompletedProcess[str], doing: str) -> str:
        if done.returncode:
            raise Unavailable(
                f"release {self.namespace}/{self.release}, {doing}: helm says: {_last(done.stderr)}"
            )
        return done.stdout

    def _environment(self) -> dict[str, str]:
        """With folders of its own for helm where the home cannot be written, as in a pod with a
        read-only root."""
        if os.access(Path.home(), os.W_OK):
            return dict(os.environ)
        place = Path(tempfile.gettempdir()) / "helm"
        own = {
            "HELM_CACHE_HOME": str(place / "cache"),
            "HELM_CONFIG_HOME": str(place / "config"),
            "HELM_DATA_HOME": str(place / "data"),
        }
        # What the environment sets itself counts more.
        return own | os.environ


def _follow(
    process: subprocess.Popen[bytes], watch: Callable[[], str | None], patience: float
) -> str | None:
    """Waits for the end; the reason for which it was interrupted, or None."""
    reason = None
    try:
        while process.poll() is None and reason is None:
            time.sleep(0.2)
            reason = watch()
    # SIGTERM and Ctrl-C come as exceptions: without this, helm would continue, or die half done.
    except BaseException:
        _interrupt(process, INTERRUPT_SECONDS)
        raise
    _interrupt(process, patience)
    return reason


def _interrupt(process: subprocess.Popen[bytes], patience: float) -> None:
    """Asks helm to stop and gives it so many seconds to put back what was there before."""
    if process.poll() is not None:
        return
    process.terminate()
    # Of a terminated helm: with --atomic it puts back what was there before.
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _seconds(minutes: float) -> str:
    return f"{max(1, round(minutes * 60))}s"


def _last(text: str) -> str:
    """The last line that says something, without the word Error."""
    last = ""
    for line in map(str.strip, reversed(text.splitlines())):
        if line.startswith("Error:"):
            return line.removeprefix("Error: ")[:400]
        last = last or line
    return last[:400] or "it said nothing"
