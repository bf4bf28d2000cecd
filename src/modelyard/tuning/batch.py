"""A search as steps of a pipeline: a batch of proposals, trials that fan out, and the best of them.

Steps hand each other JSON texts: a proposal `{"number", "settings"}`, a result the same with
`result` or `error`.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from modelyard.cost.meters import memory_limit
from modelyard.errors import ModelyardError, UsageError
from modelyard.family import Entry, load
from modelyard.runtimes.cores import available_cores
from modelyard.settings.carried import carried, received
from modelyard.settings.family import FamilyConfig, resolve
from modelyard.settings.search import Range, nested, searched
from modelyard.tuning import report
from modelyard.tuning.pool import Process
from modelyard.tuning.study import Study, import_optuna
from modelyard.tuning.trial import Job, Result

LOOK_SECONDS = 0.1
"""Between two looks at a trial."""
MOST_MEMORY = 0.92
"""Share of the step's memory from which on a trial is stopped: what is left holds what it takes
between two looks."""


def suggest(
    family: str, config: Mapping[str, Any], fixed: Sequence[str], count: int, done: Sequence[str]
) -> list[str]:
    """The next `count` proposals by TPE from the results so far; without any, the first are the
    starting settings."""
    _, start, space = _search(family, config, fixed)
    earlier = [json.loads(text) for text in done]
    study = _study(start, space, earlier)
    proposals: list[dict[str, Any]] = [{"number": 0, "settings": {}}]
    if earlier:
        proposals = []
    # Numbers continue behind the results: Kubeflow hands them back in any order.
    first = len(earlier) + len(proposals)
    for number in range(first, len(earlier) + count):
        proposals.append({"number": number, "settings": study.ask().settings})
    return [json.dumps(proposal) for proposal in proposals]


def trial(
    family: str,
    config: Mapping[str, Any],
    proposal: str,
    dataset: Path,
    features: Path,
    gpus: int = 0,
) -> str:
    """Trains and judges a proposal, in a process of its own. Settings that cannot be trained, or
    whose process is killed, are a result too: the search continues.

    `features` are those of the starting settings, taken where the proposal's are the same.

    Raises:
        UsageError: the GPUs are not there, or do not work: that says nothing of the settings.
    """
    trial = json.loads(proposal)
    entry = load(family)
    start, changes = received(config), nested(trial["settings"])
    try:
        chosen = resolve(entry.Config, ("config", start), ("config", changes))
    except ModelyardError as error:
        return json.dumps(trial | {"error": str(error)})
    with tempfile.TemporaryDirectory(prefix="modelyard-trial-") as place:
        job = Job(
            family=family,
            config=chosen.model_dump(mode="json"),
            dataset=dataset.absolute(),
            features=Path(place) / "features",
            made=features.absolute(),
            gpus=gpus,
        )
        process = Process(trial["number"], Path(place), job, available_cores())
        stopped = _follow(process, memory_limit())
        result = process.result()
        if result is not None:
            return json.dumps(trial | {"result": result.model_dump(mode="json")})
        if process.lacks_devices():
            raise UsageError(process.failure())
        return json.dumps(trial | {"error": stopped or process.failure()})


def _follow(process: Process, limit: int | None) -> str:
    """Logs a trial's epochs and output until it ends; stops it before it takes the step's whole
    memory. Returns why it was stopped, or nothing."""
    stopped = ""
    shown, own = _Shown(process), psutil.Process()
    try:
        while process.alive():
            time.sleep(LOOK_SECONDS)
            held = process.resident() + own.memory_info().rss
            # Out of memory, Kubernetes kills all of a container's processes, and with this one the
            # whole search: the trial has to end first.
            if limit is not None and held > MOST_MEMORY * limit:
                process.stop()
                stopped = (
                    f"it held {held / 2**20:,.0f} MB of the step's {limit / 2**20:,.0f} MB of "
                    "memory and was stopped. Give the pipeline more: its parameter memory"
                )
            shown.update()
    finally:
        process.stop()
        shown.update()
    return stopped


class _Shown:
    """A trial's epochs and output, in the step's own log."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._epochs = self._characters = 0

    def update(self) -> None:
        """Logs what came since the last call."""
        curve = list(self._process.curve().items())
        for epoch, loss in curve[self._epochs :]:
            logging.info("epoch %s: validation loss %.4g", epoch, loss)
        self._epochs = len(curve)
        output = self._process.log()
        sys.stdout.write(output[self._characters :])
        sys.stdout.flush()
        self._characters = len(output)


def figures(result: str) -> dict[str, float]:
    """What a trial reached, by the name of its metric; nothing of one that failed."""
    reached = json.loads(result).get("result")
    if reached:
        return {reached["metric"]: reached["value"]}
    return {}


def best(
    family: str, config: Mapping[str, Any], fixed: Sequence[str], done: Sequence[str], out: Path
) -> dict[str, Any]:
    """Writes best.yaml, trials.json and tune.html to `out`; returns the best settings as a whole
    config, as a pipeline carries it.

    Raises:
        ModelyardError: the starting settings could not be trained.
    """
    from modelyard.settings.family import portable

    entry, start, space = _search(family, config, fixed)
    results = [json.loads(text) for text in done]
    results.sort(key=_number)
    first = results[0]
    if "error" in first:
        raise ModelyardError(f"the starting settings cannot be trained: {first['error']}")
    study = _study(start, space, results)
    values, changes = start.model_dump(mode="json"), nested(study.best().settings)
    chosen = resolve(entry.Config, ("config", values), ("config", changes))
    report.write_all(out, family, study, space, first["result"]["metric"], chosen)
    return dict(carried(portable(chosen)))


def _search(
    family: str, config: Mapping[str, Any], fixed: Sequence[str]
) -> tuple[Entry[Any], FamilyConfig, dict[str, Range]]:
    entry = load(family)
    start = resolve(entry.Config, ("config", received(config)))
    return entry, start, searched(entry.Config.search_space, start.model_dump(mode="json"), fixed)


def _study(
    start: FamilyConfig, space: Mapping[str, Range], done: Sequence[dict[str, Any]]
) -> Study:
    """A study in memory with all results so far."""
    import_optuna()
    direction = "min"
    for tried in done:
        if "result" in tried:
            direction = tried["result"]["direction"]
    study = Study(None, space, start.model_dump(mode="json"), direction, start.seed)
    for tried in sorted(done, key=_number):
        if "result" in tried:
            result = Result.model_validate(tried["result"])
            study.add(tried["settings"], result, result.headline)
        else:
            study.add(tried["settings"], None, tried["error"])
    return study


def _number(trial: Mapping[str, Any]) -> int:
    return int(trial["number"])


@contextmanager
def plainly() -> Iterator[None]:
    """Turns an error that a person can fix into one line and exit code 2, as a pipeline's step
    shows it."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        yield
    except ModelyardError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(error.exit_code)
