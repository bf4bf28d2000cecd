"""Judges an image model on a split, through the host that serves it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modelyard.families.image import store
from modelyard.families.image.gallery import gallery
from modelyard.families.image.spec import ImageSpec
from modelyard.judging.evaluation import Evaluation
from modelyard.kit.classes.evaluate import judge_classes
from modelyard.kit.classes.judged import align

if TYPE_CHECKING:
    from modelyard.families.image.host import ImageHost
    from modelyard.family import Split
    from modelyard.runtimes.types import Runtime


def evaluate(host: ImageHost, run: Runtime, features: Path, split: Split = "test") -> Evaluation:
    """Metrics beside those of the most frequent class, and the plots of the field.

    The host may be another package's: it decodes the files by its own rules, and its classes are matched by name.
    """
    spec = ImageSpec.load(Path(features) / "assets")
    y, pixels = store.load_labels(features, split), seen_pixels(host, spec, features, split)
    p = host.probabilities(run, pixels)
    judged = align(p, host.decision.labels(p), host.spec.classes, y, spec.classes)
    return judge_classes(
        p,
        host.decision,
        host.spec.classes,
        y,
        spec.classes,
        store.load_labels(features, "train"),
        split=split,
        unit="pictures",
        main_of_several="accuracy",
        more=gallery(host, run, pixels, judged),
    )


def seen_pixels(host: ImageHost, spec: ImageSpec, features: Path, split: str) -> np.ndarray:
    """What the host sees of the split's files: what is stored, where the features were made by the same rules."""
    if host.spec.sees_like(spec):
        return store.load_pixels(features, split)
    return np.stack([host.spec.decode(data) for _, data in store.load_files(features, split)])
