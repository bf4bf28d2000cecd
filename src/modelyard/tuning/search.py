"""The search: proposes settings, runs trials side by side, prunes, records, and continues after a
stop."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from modelyard.cost.meters import visible_gpus
from modelyard.cost.usage import total
from modelyard.errors import ModelyardError, UsageError
from modelyard.family import Entry
from modelyard.home import REUSE, home, slug
from modelyard.settings.family import FamilyConfig, resolve
from modelyard.settings.search import Range, as_json, lookup, nested, searched
from modelyard.stages.run import Run
from modelyard.store import artifact
from modelyard.store.usage import Usage
from modelyard.tuning.pool import Process
from modelyard.tuning.prune import hopeless
from modelyard.tuning.study import Proposal, Study, Tried, called
from modelyard.tuning.trial import RESULT, Job, Result

POLLED_SECONDS = 0.1
START = "start.json"
SECTIONS = ("features", "model", "training", "continual", "compress", "gate", "seed")
"""What of the starting settings a trial follows, besides its data."""


@dataclass(frozen=True)
class Plan:
    """The search that was requested."""

    entry: Entry[Any]
    config: FamilyConfig
    """Where the search starts."""
    fixed: frozenset[str] = frozenset()
    """Settings that stay, by dotted name."""
    trials: int = 30
    """Trials in all, the starting settings' included."""
    minutes: float | None = None
    """Stop after so long. None: no limit."""
    trial_minutes: float | None = None
    """Most time for one trial. None: no limit."""
    jobs: int = 1
    """Trials at a time."""


@dataclass
class Search:
    """A plan with its folder and its study."""

    plan: Plan
    on_trial: Callable[[Tried, Tried, int], None]
    """Hears of each trial that ended in this process: itself, the best one, and how many have
    ended."""
    again: int = 0
    """Trials that an earlier process left unfinished."""
    _open: dict[int, tuple[Process, Proposal]] = field(default_factory=dict)
    _gpus: list[str] = field(default_factory=visible_gpus)

    @cached_property
    def values(self) -> dict[str, Any]:
        """The starting settings as JSON."""
        return self.plan.config.model_dump(mode="json")

    @cached_property
    def space(self) -> dict[str, Range]:
        """What is searched."""
        return searched(self.plan.entry.Config.search_space, self.values, self.plan.fixed)

    @cached_property
    def root(self) -> Path:
        """`tuning/<family>/` in the home folder."""
        return home() / "tuning" / slug(self.plan.entry.name)

    @cached_property
    def run_of(self) -> Run:
        return Run.of(self.plan.entry.name, self.values, id="tuning")

    @cached_property
    def dataset(self) -> Path:
        """The data set, fetched again only when what lies behind it changed."""
        from modelyard.stages.ingest import ingest

        settings = [self.values[name] for name in ingest.reads]
        folder = self.root / "data" / _short(json.dumps(settings))
        with _variable(REUSE, str(self.root / "done")):
            ingest(self.run_of, dataset=folder)
        return folder

    @cached_property
    def folder(self) -> Path:
        """The study's own: its name follows from data, code, space and starting settings."""
        # Not how long and how many: a longer search continues a shorter one.
        content = [
            artifact.read_manifest(self.dataset).digest,
            self.run_of.code_version,
            as_json(self.space),
            {name: self.values[name] for name in SECTIONS},
        ]
        return self.root / _short(json.dumps(content, sort_keys=True))

    @cached_property
    def start(self) -> Result:
        """The starting settings' result: the first trial, run before the study knows what is
        better."""
        file = self.folder / START
        if not file.is_file():
            # Without a kill in between this runs once: `start.json` is written whole or not at all.
            process = self._process(0, {})
            try:
                while process.alive():
                    time.sleep(POLLED_SECONDS)
            finally:
                process.stop()
            result = process.result()
            if result is None:
                raise ModelyardError(
                    f"the starting settings cannot be trained: {process.explained()}"
                )
            kept = {
                "result": result.model_dump(mode="json"),
                "curve": process.curve(),
                "seconds": process.seconds,
            }
            artifact.write_json(file, kept)
        return Result.model_validate(json.loads(file.read_text())["result"])

    @cached_property
    def study(self) -> Study:
        """The record of all trials."""
        start = self.start
        kept = json.loads((self.folder / START).read_text())
        study = Study(
            self.folder / "study.db",
            self.space,
            self.values,
            start.direction,
            self.plan.config.seed,
        )
        curve = {int(epoch): loss for epoch, loss in kept["curve"].items()}
        if study.begin(start, curve, kept["seconds"]):
            self._say(study, study.tried()[0])
        return study

    def execute(self) -> None:
        """Runs trials until there are as many as planned, or the time is over. Stopped, it leaves a
        usable study.

        Raises:
            UsageError: another process works on this study.
            ModelyardError: the starting settings cannot be trained.
        """
        began = time.monotonic()
        self.folder.mkdir(parents=True, exist_ok=True)
        with _alone(self.folder):
            try:
                self.again = self.study.take_up()
                while not self._over(began):
                    self._fill()
                    self._poll()
                    time.sleep(POLLED_SECONDS)
            finally:
                for number, (process, _) in self._open.items():
                    # The process first: given up, its folder belongs to the trial that is queued
                    # again.
                    process.stop()
                    self.study.give_up(number)
                self._open.clear()

    def cost(self) -> Usage:
        """What all trials used, in this process and before."""
        return total(Usage.model_validate(trial.cost) for trial in self.study.tried() if trial.cost)

    def config_of(self, tried: Tried) -> FamilyConfig:
        """The whole settings of a trial."""
        return self._config(tried.settings)

    def _say(self, study: Study, tried: Tried) -> None:
        self.on_trial(tried, study.best(), len(study.tried()))

    def _over(self, began: float) -> bool:
        if self.plan.minutes is not None and time.monotonic() - began > self.plan.minutes * 60:
            return True
        return not self._open and len(self.study.tried()) >= self.plan.trials

    def _fill(self) -> None:
        while self._has_room():
            proposal = self.study.ask()
            number, settings = proposal.number, proposal.settings
            try:
                known = self._known(settings)
                if known is None:
                    self._open[number] = (self._process(number, settings), proposal)
                else:
                    self._say(self.study, self._copy(proposal, known))
            except UsageError as error:  # settings that do not go together
                failed = self.study.tell_failed(number, settings, 0.0, str(error))
                self._say(self.study, failed)

    def _has_room(self) -> bool:
        """Whether one more trial may begin now."""
        planned = len(self.study.tried()) + len(self._open)
        return len(self._open) < self.plan.jobs and planned < self.plan.trials

    def _copy(self, proposal: Proposal, known: Tried) -> Tried:
        result = Result.model_validate_json((self._place(known.number) / RESULT).read_text())
        return self.study.tell(
            proposal.number, proposal.settings, result, known.curve, 0.0, known.number
        )

    def _known(self, settings: dict[str, Any]) -> Tried | None:
        """A finished trial of the very same settings: the seed is fixed, so that its result
        would come again."""
        wanted = self._config(settings)
        for tried in self.study.tried():
            if tried.state != "finished" or tried.same_as is not None:
                continue
            if self._config(tried.settings) == wanted:
                return tried
        return None

    def _poll(self) -> None:
        for number, (process, proposal) in list(self._open.items()):
            curve, why = process.curve(), ""
            if process.alive():
                why = self._hopeless(process, proposal, curve)
                if not why:
                    continue
            process.stop()
            del self._open[number]
            self._say(self.study, self._record(process, proposal, curve, why))

    def _record(
        self, process: Process, proposal: Proposal, curve: dict[int, float], why: str
    ) -> Tried:
        number, settings, result = proposal.number, proposal.settings, process.result()
        # A trial that ended in the moment in which it was to be stopped has a result, and it
        # counts.
        if result is not None:
            return self.study.tell(number, settings, result, process.curve(), process.seconds)
        if why:
            return self.study.tell_pruned(number, settings, curve, process.seconds, why)
        return self.study.tell_failed(number, settings, process.seconds, process.explained())

    def _hopeless(self, process: Process, proposal: Proposal, curve: dict[int, float]) -> str:
        """Why a trial should be stopped; empty: it should not."""
        limit = self.plan.trial_minutes
        if limit is not None and process.seconds > limit * 60:
            return f"stopped after {limit:g} minutes"
        others = []
        for tried in self.study.tried():
            if tried.state == "finished" and self._alike(tried, proposal):
                others.append(tried.curve)
        epochs = self._config(proposal.settings).training.epochs
        if hopeless(curve, others, epochs):
            return f"stopped in epoch {max(curve)}: worse than the median"
        return ""

    def _alike(self, tried: Tried, proposal: Proposal) -> bool:
        """Whether the losses of two trials mean the same."""
        for name, one in self.space.items():
            start = lookup(self.values, name)
            before, now = tried.settings.get(name, start), proposal.settings.get(name, start)
            if one.changes_loss and before != now:
                return False
        return True

    def _config(self, settings: Mapping[str, Any]) -> FamilyConfig:
        config: FamilyConfig = resolve(
            self.plan.entry.Config, ("config", self.values), ("config", nested(settings))
        )
        return config

    def _process(self, number: int, settings: Mapping[str, Any]) -> Process:
        config = self._config(settings).model_dump(mode="json")
        job = Job(
            family=self.plan.entry.name,
            config=config,
            dataset=self.dataset,
            features=self.root / "features",
        )
        # Side by side they share the cores, else each would start a thread for every core.
        threads = max(1, (os.cpu_count() or 1) // self.plan.jobs)
        gpu = None
        if self._gpus and self.plan.jobs > 1:
            # The one that the fewest running trials hold; a single trial sees all of them.
            held = [process.gpu for process, _ in self._open.values()]
            gpu = min(self._gpus, key=held.count)
        return Process(number, self._place(number), job, threads, gpu)

    def _place(self, number: int) -> Path:
        return self.folder / "trials" / f"{called(number):04d}"


def _short(content: str) -> str:
    """A name that follows from a content."""
    return hashlib.sha256(content.encode()).hexdigest()[:12]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as stream:
        try:
            # The kernel lets go of the lock however the process ends.
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"another process works on the study in {folder}") from None
        yield


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
