"""One process of a training on several: `python -m modelyard.pipeline.worker --job FOLDER_OR_URI`,
started by torchrun.

The job's folder is that of scratch.py. job.json holds "family", "config", "id", "code_version",
"checkpoints" and "gpus_per_node".
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import logging
import os
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelyard.errors import ModelyardError
from modelyard.launch import scratch
from modelyard.store.artifact import write_json
from modelyard.training import devices
from modelyard.training.loop import Trainer
from modelyard.training.world import World


def main() -> int:
    """Trains; 0, or the error's exit code (75 when it was stopped and saved)."""
    parser = argparse.ArgumentParser(description="One process of a training on several.")
    parser.add_argument("--job", required=True, help="folder or fsspec URI of the job")
    job = parser.parse_args().job
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        told = scratch.read_job(job)
        devices.check(told["gpus_per_node"], World.here().local_rank)
        with World.joined() as world:
            _train(job, told, world)
    except ModelyardError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


def _train(job: str, told: dict[str, Any], world: World) -> None:
    from modelyard.stages.run import Run

    features = _features(job, world)
    run = Run.of(told["family"], told["config"], id=told["id"], code_version=told["code_version"])
    trainer = Trainer(
        run.config.seed,
        run.config.training,
        checkpoints=told["checkpoints"],
        continual=run.config.continual,
        compress=run.config.compress,
    )
    if world.leads:
        trainer = replace(trainer, progress=run.progress("train"))
    if world.leads and world.device.type == "cuda":
        trainer = replace(trainer, on_start=functools.partial(scratch.mark_began, job))
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        # Every process does all of the family's work, for any of it may train; the first one's
        # result counts.
        out = Path(folder)
        shutil.copytree(features / "assets", out / "assets")
        summary = run.family.fit(features, out, trainer)
        trainer.check_used()
        if world.leads:
            trainer.add_device(summary, told["gpus_per_node"])
            write_json(out / "summary.json", summary)
            scratch.publish(out, job)
    world.barrier()


def _features(job: str, world: World) -> Path:
    """The job's features on this machine; the first process of each node fetches them from afar."""
    if "://" not in job:
        return Path(job) / scratch.FEATURES
    key = hashlib.sha256(job.encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"modelyard-{key}"
    if world.local_rank == 0:
        scratch.fetch(job, folder)
    # One copy a node: the others read it, and must not begin before it is whole.
    world.barrier()
    return folder


if __name__ == "__main__":
    code = main()
    if code:
        # A connection that never came about has threads that wait in its library for ever.
        os._exit(code)
