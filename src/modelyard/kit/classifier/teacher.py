"""A classifier's package as the teacher of another network on the same classes."""

from __future__ import annotations

from pathlib import Path

import torch

from modelyard.compress.teaching import Batch, Teacher
from modelyard.errors import UsageError
from modelyard.kit.classifier.host import GRAPH, LOGITS
from modelyard.kit.classifier.spec import FileSpec
from modelyard.packages.package import read_info
from modelyard.packages.variant import BASE
from modelyard.runtimes.opening import open_variant

FEATURES = "features"
"""The graph's output of the last stage's maps, where it has one."""


def classifier_teacher(folder: Path, spec: FileSpec, taught: FileSpec, *, maps: bool) -> Teacher:
    """What the teacher in `folder` answers to batches of a run.

    Args:
        spec: what examples become in this run; taught: in the teacher's.
        maps: whether its last maps are wanted too.

    Raises:
        UsageError: examples become something else, a class is missing, or there are no maps.
    """
    if not taught.sees_like(spec):
        raise UsageError(
            f"compress.teacher sees {spec.KIND.many} of shape {taught.shape}, and this run's network "
            f"{spec.shape}, made by other rules perhaps: give the section features the values that it had there"
        )
    missing = sorted(set(spec.classes) - set(taught.classes))
    if missing:
        raise UsageError(
            f"compress.teacher does not know the class {missing[0]!r} of this data, but {', '.join(taught.classes)}. "
            "Build a teacher on this data first"
        )
    # The teacher may know more classes, and has an order of its own.
    order = [taught.classes.index(name) for name in spec.classes]
    # A compressed variant would teach its own errors.
    (precise,) = [variant for variant in read_info(folder).variants if variant.name == BASE]
    runtime = open_variant(folder / "graphs", BASE, precise.graphs)

    def answers(batch: Batch) -> Batch:
        outputs = runtime(GRAPH, {spec.KIND.input: batch[spec.KIND.input].numpy()})
        found = {"logits": torch.from_numpy(outputs[LOGITS][:, order])}
        if not maps:
            return found
        if FEATURES not in outputs:
            raise UsageError(
                "compress.feature_weight: this teacher gives no maps. Type: --set compress.feature_weight=0"
            )
        return found | {"maps": torch.from_numpy(outputs[FEATURES])}

    return answers
