"""One process of a training that torchrun started: `python -m modelyard.training.worker --job FOLDER_OR_URI`.

<job>/job.json     {"family", "config", "id", "code_version", "checkpoints"}
<job>/features/    the features artifact
<job>/model/       what the first process leaves: the trained model's files
<job>/done.json    written last; failed.json instead where an error stopped it
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import fsspec

from modelyard import errors
from modelyard.artifact import write_json
from modelyard.errors import Interrupted, ModelyardError
from modelyard.training.loop import Trainer
from modelyard.training.world import World

DONE, FAILED = "done.json", "failed.json"


def main() -> int:
    """Trains; 0, or the error's exit code (75 when it was stopped and saved)."""
    parser = argparse.ArgumentParser(description="One process of a training that torchrun started.")
    parser.add_argument("--job", required=True, help="folder or fsspec URI of the job")
    job = parser.parse_args().job
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with World.joined() as world:
        try:
            _train(job, world)
        except ModelyardError as error:
            if world.leads:
                print(f"error: {error}", file=sys.stderr, flush=True)
                _put(job, FAILED, {"kind": type(error).__name__, "message": str(error)})
            return error.exit_code
    return 0


def failure(job: Path) -> ModelyardError | None:
    """The error that stopped a job's workers, as they raised it; None where they left none."""
    file = Path(job) / FAILED
    if not file.is_file():
        return None
    told = json.loads(file.read_text())
    # Errors that take more than a message come back as their plain relative.
    cls = {"Interrupted": Interrupted}.get(told["kind"], getattr(errors, told["kind"], ModelyardError))
    return (cls if cls in (Interrupted, errors.UsageError) else ModelyardError)(told["message"])


def _train(job: str, world: World) -> None:
    from modelyard.run import Run

    folder = _fetched(job, world)
    told = json.loads((folder / "job.json").read_text())
    run = Run.of(told["family"], told["config"], id=told["id"], code_version=told["code_version"])
    with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
        out = folder / "model" if world.leads else Path(scratch)
        shutil.copytree(folder / "features" / "assets", out / "assets", dirs_exist_ok=True)
        trainer = Trainer(run.config.seed, run.config.training, checkpoints=told["checkpoints"])
        if world.leads:
            trainer = Trainer(trainer.seed, trainer.settings, run.progress("train"), checkpoints=trainer.checkpoints)
        summary = run.family.fit(folder / "features", out, trainer)
        if world.leads:
            write_json(out / "summary.json", summary)
            if "://" in job:
                files, root = fsspec.core.url_to_fs(job)
                files.put(f"{out}/", f"{root}/model/", recursive=True)
            _put(job, DONE, {"headline": summary.get("headline", "")})
    world.barrier()


def _fetched(job: str, world: World) -> Path:
    """The job on this machine; the first process of each node fetches it."""
    if "://" not in job:
        return Path(job)
    folder = Path(tempfile.gettempdir()) / f"modelyard-{hashlib.sha256(job.encode()).hexdigest()[:16]}"
    if world.local_rank == 0:
        files, root = fsspec.core.url_to_fs(job)
        files.get(f"{root}/job.json", str(folder / "job.json"))
        files.get(f"{root}/features/", f"{folder}/features/", recursive=True)
    world.barrier()
    return folder


def _put(job: str, name: str, content: dict[str, Any]) -> None:
    files, root = fsspec.core.url_to_fs(job)
    files.pipe_file(f"{root}/{name}", json.dumps(content).encode())


if __name__ == "__main__":
    sys.exit(main())
