"""deploy: a package enters the registry, and serves when it beats the one that does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from modelyard import artifact, registry
from modelyard.artifact import In, Out, write_json
from modelyard.errors import UsageError
from modelyard.evaluation import Evaluation, judge
from modelyard.package import Package
from modelyard.registry import Champion
from modelyard.run import Run, stage
from modelyard.tracking import track


class Deployment(BaseModel):
    """`deployment.json`: which version the package became, and whether it serves."""

    name: str
    version: str
    champion: bool
    previous: str | None
    """The version that served before, or that still does."""
    metric: str
    challenger_metric: float
    champion_metric: float | None
    """The previous version's metric on the same test split; None where it was not judged."""
    reason: str


@stage(reads=("registry", "gate"), cached=False)
def deploy(run: Run, package: In, features: In, deployment: Out) -> str:
    """Tracks the run, registers the package, judges the champion on the same test split; the better one serves."""
    challenger = Package(package)
    if challenger.info.family != run.family.name:
        raise UsageError(f"{package} is a package of family {challenger.info.family!r}, not {run.family.name!r}")
    _track(run, challenger)
    name = registry.model_name(run)
    version = registry.register(package, run)
    made = _decide(run, name, version, challenger, features)
    if made.champion:
        registry.set_champion(name, version)
    write_json(deployment / "deployment.json", made)
    return made.reason


def _track(run: Run, package: Package) -> None:
    training = package.path / "training.json"
    track(
        run,
        package.evaluation(),
        package.info.gate,
        training=json.loads(training.read_text()) if training.is_file() else None,
        data_revision=package.info.data_revision,
        files=[package.path / "evaluation.json", package.path / "card.html"],
    )


def _decide(run: Run, name: str, version: str, challenger: Package, features: Path) -> Deployment:
    serving = next((one for one in registry.list_versions(name) if one.champion), None)
    result = _challenger_evaluation(run, challenger, features)
    gate = judge(run.config.gate, result)

    def made(champion: bool, previous: str | None, value: float | None, reason: str) -> Deployment:
        return Deployment(
            name=name, version=version, champion=champion, previous=previous, metric=gate.metric,
            challenger_metric=gate.value, champion_metric=value, reason=reason,
        )  # fmt: skip

    new = f"{name} version {version} is champion"
    if serving is None:
        return made(True, None, None, f"{new}: {gate.metric} {gate.value:.4f}, the first")
    if serving.version == version:
        return made(True, serving.tags.get(registry.PREVIOUS), None, f"{new} already: {gate.metric} {gate.value:.4f}")
    try:
        value = _champion_value(run, registry.fetch(serving), gate.metric, features)
    except Exception as error:  # whatever another version's host raises on data it never met
        return made(False, serving.version, None, (
            f"kept version {serving.version}: it cannot be judged on this data ({type(error).__name__}: "
            f"{str(error)[:200]}), so nothing shows that version {version} is better. "
            f"To switch: modelyard promote {name}@{version}"
        ))  # fmt: skip
    better = result.better(gate.metric, gate.value, value, run.config.registry.margin)
    return _verdict(...)
