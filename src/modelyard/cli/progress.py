"""One line a stage: a spinner and a bar while it works, its time and its headline when it is
done."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn


class StageLines:
    """Shows a run's events; without a terminal, only finished lines."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.headlines: dict[str, str] = {}
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[stage]:<9}"),
            TextColumn("{task.fields[clock]:>7}"),
            BarColumn(bar_width=24),
            TextColumn("[dim]{task.fields[figures]}"),
            console=console,
            transient=True,
        )
        self._task: Any = None
        self._began = self._stage_began = self._last_end = time.monotonic()
        self.seconds = 0.0

    def __enter__(self) -> StageLines:
        if self.console.is_terminal:
            self._bar.start()
        self._work("starting")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
        self.seconds = time.monotonic() - self._began

    def show(self, event: dict[str, Any]) -> None:
        """Takes one event."""
        name, stage = event["event"], event.get("stage", "")
        if name == "started":
            self._work(stage)
        elif name == "progress" and self._task is not None:
            figures = "  ".join(f"{key} {value:.4g}" for key, value in event["figures"].items())
            self._bar.update(
                self._task, completed=event["done"], total=event["total"], figures=figures
            )
        elif name in ("finished", "reused"):
            self._finish(event)
        elif name == "failed":
            self._end("[red]✗[/]", stage, "failed")
        self._tick()

    def _work(self, stage: str) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task("", stage=stage, clock="", figures="", total=None)
        self._stage_began = time.monotonic()

    def _finish(self, event: dict[str, Any]) -> None:
        stage, headline = event["stage"], event["headline"]
        self.headlines[stage] = headline
        if event["event"] == "reused":
            self._end("[cyan]↺[/]", stage, headline, "reused")
        else:
            self._end("[green]✓[/]", stage, headline)

    def _end(self, mark: str, stage: str, text: str, clock: str = "") -> None:
        from rich.markup import escape

        now = time.monotonic()
        # Since the stage before it ended: to start its process is part of what it takes.
        clock = clock or f"{now - self._last_end:.1f} s"
        self._last_end = now
        self.console.print(f"{mark} {stage:<9} {clock:>7}  {escape(text)}", soft_wrap=True)
        self._work("next step")

    def _tick(self) -> None:
        if self._task is not None:
            self._bar.update(self._task, clock=f"{time.monotonic() - self._stage_began:.1f} s")
