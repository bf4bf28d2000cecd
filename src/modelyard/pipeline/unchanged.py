"""A finished run that another one of the same data, settings and code would only repeat."""

from __future__ import annotations

from modelyard.errors import ModelyardError
from modelyard.pipeline.local import RunFolder, RunRecord, all_runs
from modelyard.stages import TRAINING
from modelyard.stages.run import Run
from modelyard.store import artifact

SAME = {"family", "kind", "config", "data_rev", "nodes", "gpus_per_node"}
"""Fields of two records that must agree."""


def finished(record: RunRecord) -> RunFolder | None:
    """The newest finished run that `record` would repeat; None where anything is different, or
    where it is not known."""
    if record.kind != "training":
        return None
    wanted = record.model_dump(include=SAME)
    for folder in reversed(all_runs(record.family)):
        known = folder.record
        if known.status == "finished" and known.model_dump(include=SAME) == wanted:
            # An older one was made by no newer code or data.
            return folder if _is_current(folder) else None
    return None


def _is_current(folder: RunFolder) -> bool:
    """Whether every cached stage would have the key that its artifact has, and the package is
    whole."""
    record = folder.record
    run = Run.of(
        record.family,
        record.config,
        id=record.id,
        nodes=record.nodes,
        gpus_per_node=record.gpus_per_node,
    )
    outputs = folder.outputs()
    try:
        made = {name: artifact.read_manifest(path) for name, path in outputs.items()}
        for stage in TRAINING:
            if not stage.cached:
                continue
            outside = stage.outside(run) if stage.outside else ""
            parents = {name: made[name] for name in stage.inputs if name in made}
            # None: only a run can tell whether what lies outside is as it was.
            if outside is None:
                return False
            if stage.key(run, parents, outside) != made[stage.outputs[0]].key:
                return False
        artifact.verify(outputs["package"])
    except (ModelyardError, KeyError, OSError):
        return False
    return True
