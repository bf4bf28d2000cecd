"""What the stages do for a run that goes on from an earlier model, without their artifacts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from modelyard.family import Family, load
from modelyard.judging.evaluation import Evaluation
from modelyard.store.base import FOLDER, base_of, carry
from modelyard.training.loop import Trainer


def features_of(family: Family[Any], raw: Path, out: Path, base: Path | None = None) -> Path:
    """A features folder; `base` is the model folder that it goes on from."""
    (out / "assets").mkdir(parents=True)
    if base is not None:
        carry(base, out / FOLDER)
        shutil.copytree(base / "assets", out / FOLDER / "assets")
        assert base_of(out) is not None
    family.features(raw, out)
    return out


def model_of(
    family: Family[Any], features: Path, out: Path, checkpoints: Path | None = None
) -> Path:
    """A model folder, and its report as `report.json`."""
    shutil.copytree(features / "assets", out / "assets")
    trainer = Trainer(
        family.config.seed,
        family.config.training,
        continual=family.config.continual,
        compress=family.config.compress,
        checkpoints=str(checkpoints) if checkpoints else None,
    )
    report = family.fit(features, out, trainer)
    (out / "report.json").write_text(json.dumps(report))
    return out


def judged(family: Family[Any], model: Path, features: Path) -> Evaluation:
    """The model on the test split of features, which may be those of an earlier run."""
    host = load(type(family).__module__.split(".")[-2]).open(model / "assets")
    return family.evaluate(host, family.native(model), features)
