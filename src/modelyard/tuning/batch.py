"""A search as steps of a pipeline: a batch of proposals, trials that fan out, and the best of them.

Steps hand each other JSON texts: a proposal `{"number", "settings"}`, a result the same with
`result` or `error`.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelyard.errors import ModelyardError
from modelyard.family import Entry, load
from modelyard.settings.family import FamilyConfig, resolve
from modelyard.settings.search import Range, nested, searched
from modelyard.tuning import report
from modelyard.tuning.study import Study, import_optuna
from modelyard.tuning.trial import Job, Result, run_trial


def suggest(
    family: str, config: Mapping[str, Any], fixed: Sequence[str], count: int, done: Sequence[str]
) -> list[str]:
    """The next `count` proposals by TPE from the results so far; without any, the first are the
    starting settings."""
    _, start, space = _search(family, config, fixed)
    earlier = [json.loads(text) for text in done]
    study = _study(start, space, earlier)
    proposals: list[dict[str, Any]] = [] if earlier else [{"number": 0, "settings": {}}]
    first = len(earlier) + len(proposals)
    for number in range(first, len(earlier) + count):
        proposals.append({"number": number, "settings": study.ask().settings})
    return [json.dumps(one) for one in proposals]


def trial(
    family: str,
    config: Mapping[str, Any],
    proposal: str,
    dataset: Path,
    features: Path,
    gpus: int = 0,
) -> str:
    """Trains and judges a proposal. Settings that cannot be trained are a result too: the search
    continues.

    `features` are those of the starting settings, taken where the proposal's are the same.
    """
    trial = json.loads(proposal)
    entry = load(family)
    try:
        values = resolve(
            entry.Config, ("config", config), ("config", nested(trial["settings"]))
        ).model_dump(mode="json")
        job = Job(
            family=family,
            config=values,
            dataset=dataset,
            features=Path("features"),
            made=features,
            gpus=gpus,
        )
        result = run_trial(
            job, lambda epoch, figures: logging.info("epoch %s %s", epoch, dict(figures))
        )
    except ModelyardError as error:
        return json.dumps(trial | {"error": str(error)})
    return json.dumps(trial | {"result": result.model_dump(mode="json")})


def best(
    family: str, config: Mapping[str, Any], fixed: Sequence[str], done: Sequence[str], out: Path
) -> dict[str, Any]:
    """Writes best.yaml, trials.json and tune.html to `out`; returns the best settings as a whole
    config.

    Raises:
        ModelyardError: the starting settings could not be trained.
    """
    from modelyard.settings.family import portable

    entry, start, space = _search(family, config, fixed)
    results = [json.loads(text) for text in done]
    first = next(one for one in results if one["number"] == 0)
    if "error" in first:
        raise ModelyardError(f"the starting settings cannot be trained: {first['error']}")
    study = _study(start, space, results)
    chosen = resolve(
        entry.Config,
        ("config", start.model_dump(mode="json")),
        ("config", nested(study.best().settings)),
    )
    report.write_all(out, family, study, space, first["result"]["metric"], chosen)
    return portable(chosen)


def _search(
    family: str, config: Mapping[str, Any], fixed: Sequence[str]
) -> tuple[Entry[Any], FamilyConfig, dict[str, Range]]:
    entry = load(family)
    start = resolve(entry.Config, ("config", config))
    return entry, start, searched(entry.Config.search_space, start.model_dump(mode="json"), fixed)


def _study(
    start: FamilyConfig, space: Mapping[str, Range], done: Sequence[dict[str, Any]]
) -> Study:
    """A study in memory with all results so far."""
    import_optuna()
    direction = next((one["result"]["direction"] for one in done if "result" in one), "min")
    study = Study(None, space, start.model_dump(mode="json"), direction, start.seed)
    for one in sorted(done, key=lambda one: int(one["number"])):
        result = Result.model_validate(one["result"]) if "result" in one else None
        study.add(one["settings"], result, result.headline if result else one["error"])
    return study


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
