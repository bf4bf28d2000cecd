"""Runs the training stages over the toy family, up to its package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.stages.evaluate import evaluate
from modelyard.stages.export import export
from modelyard.stages.features import features
from modelyard.stages.ingest import ingest
from modelyard.stages.package import package
from modelyard.stages.run import Run
from modelyard.stages.train import train

LINE = "tests.toy.family:Line"


@dataclass(frozen=True)
class Built:
    """A run and where its artifacts lie."""

    run: Run
    folder: Path

    @property
    def package(self) -> Path:
        return self.folder / "package"

    @property
    def features(self) -> Path:
        return self.folder / "features"


def build(folder: Path, run_id: str, config: dict[str, Any], family: str = LINE) -> Built:
    """All artifacts of a run of `family` in `folder`."""
    run = Run.of(family, config, id=run_id)
    at = {
        name: folder / name
        for name in ("dataset", "features", "model", "evaluation", "graphs", "package")
    }

    def paths(*names: str) -> dict[str, Path]:
        return {name: at[name] for name in names}

    ingest(run, **paths("dataset"))
    features(run, **paths("dataset", "features"))
    train(run, **paths("features", "model"))
    evaluate(run, **paths("features", "model", "evaluation"))
    export(run, **paths("features", "model", "graphs"))
    package(run, **paths("features", "model", "evaluation", "graphs", "package"))
    return Built(run, folder)
