"""One trial: trains with its settings and is judged on the validation split. `python -m
modelyard.tuning.trial FOLDER`.

The test split is not touched: it stays unseen until the chosen settings run through the whole
pipeline.
"""

from __future__ import annotations

import fcntl
import json
import math
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from modelyard.cost.usage import measure
from modelyard.errors import ModelyardError
from modelyard.store import artifact
from modelyard.store.usage import Usage

JOB, RESULT, ERROR, EPOCHS = "job.json", "result.json", "error.json", "epochs.jsonl"

NO_DEVICES = "devices"
"""Kind of error of a trial whose GPUs are not there: it says nothing of the settings."""


class Job(BaseModel):
    """What a trial is given."""

    family: str
    config: dict[str, Any]
    dataset: Path
    """The fetched data set, an artifact."""
    features: Path
    """Folder of features, one for each distinct key, shared by all trials."""
    made: Path | None = None
    """Features that were made already: taken where they are those of the trial's settings."""
    gpus: int = 0
    """GPUs that the trial was given."""


class Result(BaseModel):
    """What came of it."""

    metric: str
    value: float
    """The gate's metric on the validation split."""
    direction: str
    """`max` or `min`: which values are better."""
    baseline: float | None
    headline: str
    cost: Usage = Usage()


def run_trial(job: Job, on_epoch: Callable[[int, Mapping[str, float]], None]) -> Result:
    """Trains and judges.

    Raises:
        ModelyardError: whatever training or judging raise that a person can fix; the metric is no
            finite number.
    """
    from modelyard.judging.evaluation import judge
    from modelyard.stages.run import Run, check_requirements
    from modelyard.training.loop import Trainer

    run = Run.of(job.family, job.config, id="tuning")
    config = run.config.for_search()
    run = Run.of(job.family, config.model_dump(mode="json"), id="tuning")
    check_requirements(run)
    with (
        measure(job.gpus) as meter,
        tempfile.TemporaryDirectory(prefix="modelyard-trial-") as place,
    ):
        features, model = features_of(run, job), Path(place)
        shutil.copytree(features / "assets", model / "assets")
        trainer = Trainer(
            run.config.seed,
            run.config.training,
            on_epoch=on_epoch,
            # A trial's exemplars are nobody's.
            continual=run.config.continual.model_copy(update={"memory": 0}),
            # Trials are judged in full precision: a copy for 8 bits would be nobody's.
            compress=run.config.compress.model_copy(update={"aware_epochs": 0}),
        )
        summary = run.family.fit(features, model, trainer)
        host = run.entry.open(model / "assets")
        evaluation = run.family.evaluate(host, run.family.native(model), features, "validation")
        judged = judge(run.config.gate, evaluation)
    # A diverged training may reach NaN, which is neither better nor worse than anything.
    if not math.isfinite(judged.value):
        raise ModelyardError(
            f"{judged.metric} is {judged.value} on the validation split: it cannot be compared"
        )
    return Result(
        metric=judged.metric,
        value=judged.value,
        direction=evaluation.directions[judged.metric],
        baseline=judged.baseline,
        headline=str(summary.get("headline", "")),
        cost=meter.stop(),
    )


def check_devices(gpus: int) -> None:
    """Raises UsageError where GPUs that the trial was given are not there, or do not work."""
    if gpus:
        from modelyard.training import devices

        devices.check(gpus)


def features_of(run: Any, job: Job) -> Path:
    """The features of a trial's settings: made by the first trial that needs them, taken by the
    others."""
    from modelyard.stages.features import features

    key = features.key(run, {"dataset": artifact.read_manifest(job.dataset)})
    if job.made is not None and artifact.read_manifest(job.made).key == key:
        return job.made
    folder = job.features / key[:16]
    # Trials side by side need the same features: one makes them, the others wait.
    with _lock(job.features / f"{key[:16]}.lock"):
        # The manifest is written last: without it a killed trial left a part.
        if not (folder / artifact.MANIFEST).is_file():
            features(run, dataset=job.dataset, features=folder)
    return folder


@contextmanager
def _lock(file: Path) -> Iterator[None]:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def main(folder: Path) -> int:
    """Runs the trial of a folder: reads job.json, writes epochs.jsonl as it goes, and
    result.json or error.json."""
    from modelyard.parent import die_with_parent

    die_with_parent()
    job = Job.model_validate_json((folder / JOB).read_text())
    try:
        check_devices(job.gpus)
    except ModelyardError as error:
        artifact.write_json(folder / ERROR, {"kind": NO_DEVICES, "message": str(error)})
        return error.exit_code
    # Line by line: the search reads it while the trial works.
    with (folder / EPOCHS).open("w", buffering=1) as epochs:
        try:
            result = run_trial(job, lambda epoch, figures: _tell(epochs, epoch, figures))
        except ModelyardError as error:
            artifact.write_json(
                folder / ERROR, {"kind": type(error).__name__, "message": str(error)}
            )
            return error.exit_code
    artifact.write_json(folder / RESULT, result)
    return 0


def _tell(stream: Any, epoch: int, figures: Mapping[str, float]) -> None:
    stream.write(json.dumps({"epoch": epoch, **figures}) + "\n")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
