"""Watches a model: the monitoring pipeline on a schedule, which trains again inside itself."""

from __future__ import annotations

import fcntl
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import typer
from rich.console import Console
from rich.markup import escape

from modelyard.cli import execute
from modelyard.cli.options import entry
from modelyard.drift import history
from modelyard.errors import ModelyardError, UsageError
from modelyard.home import slug
from modelyard.pipeline import local
from modelyard.registry import versions as registry

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
MARK = "watched"
"""File in the folder of a watcher's run, with the name that it watches: other runs are a person's."""
_LEAST = 10.0
"""Seconds between two looks; a look itself takes some."""


class Watcher:
    """Watches the champion of one registered name."""

    def __init__(self, name: str, assignments: list[str] | None = None, gpus: int = 0) -> None:
        """`assignments` change settings of the champion's package: `monitor.window_hours=1`."""
        self.name = slug(name)
        self.assignments, self.gpus = assignments or [], gpus
        self.console = Console(highlight=False)

    def run(self, every: float | None) -> None:
        """Looks each `every` seconds, until it is interrupted; once where that is None.

        What an earlier watcher left unfinished is continued first: its run keeps its id, so that a
        retraining that it had requested is not requested twice.

        Raises:
            UsageError: another process watches this name, or it has no champion.
        """
        execute.check_pipeline_extras()
        with self._alone():
            self._continue()
            while True:
                began = datetime.now(UTC)
                well = self._look(every is None)
                if every is None:
                    # A cron job sees by the exit status that a look failed; a watcher that stays
                    # looks again.
                    if not well:
                        raise typer.Exit(1)
                    return
                following = began + timedelta(seconds=every)
                self._print(f"[dim]next look at {following.astimezone():%H:%M:%S}; Ctrl-C ends[/]")
                # From the beginning of a look, so that looks keep their rhythm whatever they take.
                time.sleep(max(0.0, (following - datetime.now(UTC)).total_seconds()))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Holds the name for this process; the kernel lets go of it however the process ends."""
        folder = history.place(self.name)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("a") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UsageError(f"{self.name} is watched by another process already") from None
            yield

    def _continue(self) -> None:
        """Executes an earlier watcher's runs of this name again that were interrupted."""
        for folder in local.all_runs():
            mark = folder.path / MARK
            if not mark.is_file() or mark.read_text() != self.name:
                continue
            record = folder.record
            if record.status == "interrupted":
                self._print(f"run {record.id} was interrupted; it is continued")
                self._follow(folder)
            elif record.status == "finished":  # the watcher ended before it put this away
                self._put_away(folder)

    def _look(self, raising: bool) -> bool:
        """One look; whether it came to its end. What fails now may work at the next look."""
        try:
            folder = local.RunFolder.new(self._record())
            # Between the two lines a kill leaves a run without its mark: nobody continues it, and
            # the next look repeats its work.
            (folder.path / MARK).write_text(self.name)
        except ModelyardError as error:
            if raising:
                raise
            self._print(f"[red]✗[/] {escape(str(error))}")
            return False
        return self._follow(folder)

    def _record(self) -> local.RunRecord:
        """A monitoring run with the settings of the champion's package."""
        from modelyard.packages.package import verify
        from modelyard.packages.trust import Trust
        from modelyard.settings.family import parse_assignments, portable, resolve
        from modelyard.store.artifact import now

        champion = registry.champion(self.name)
        if champion is None:
            raise UsageError(
                f"{self.name} has no champion to watch. Type: modelyard run FAMILY, or modelyard runs"
            )
        info = verify(champion.path).info
        Trust.from_environment().family(info.family)
        watched = {"monitor": {"schedule": None}, "registry": {"name": self.name}}
        config = resolve(
            entry(info.family).Config,
            ("config", info.config),
            ("config", watched),
            ("--set", parse_assignments(self.assignments)),
        )
        return local.RunRecord(
            id=local.new_id(),
            kind="monitoring",
            family=info.family,
            config=execute.absolute_data(portable(config)),
            gpus_per_node=self.gpus,
            created=now(),
        )

    def _follow(self, folder: local.RunFolder) -> bool:
        try:
            execute.follow(folder)
        except (ModelyardError, typer.Exit) as error:
            words = str(error) if isinstance(error, ModelyardError) else f"see {folder.log}"
            self._print(f"[red]✗[/] {escape(words)}")
            self._put_away(folder)
            return False
        self._put_away(folder)
        return True

    def _put_away(self, folder: local.RunFolder) -> None:
        """Keeps the verdict; the folder of a run goes unless it trained."""
        outputs = folder.outputs()
        verdict = outputs.get("verdict")
        if verdict is None:
            return
        report = verdict / "report.html"
        kept = history.keep(
            verdict / "verdict.json",
            report if report.is_file() else None,
            self.name,
            folder.path.name,
        )
        # The verdict is safe by now: who is killed from here on finds it again at `_continue`.
        if "model" in outputs or folder.record.status != "finished":
            (folder.path / MARK).unlink(missing_ok=True)
            return
        shutil.rmtree(folder.path)
        if (kept / "report.html").is_file():
            self._print(f"report   {kept / 'report.html'}")

    def _print(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)


def seconds_of(text: str) -> float:
    """`30m` as seconds.

    Raises:
        UsageError: it is no time, or too short a one.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if found is None:
        raise UsageError(f"--every {text}: write a number and s, m, h or d, such as 30m")
    seconds = float(found[1]) * _UNITS[found[2]]
    if seconds < _LEAST:
        raise UsageError(f"--every {text}: at least {_LEAST:g}s")
    return seconds
