"""deploy: a package enters the registry, and serves when it beats the one that does."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from pydantic import BaseModel

from modelyard.cost.report import paid
from modelyard.errors import ModelyardError, Unavailable, UsageError
from modelyard.judging.evaluation import Evaluation, figure, judge
from modelyard.packages.package import Package, read_info
from modelyard.packages.trust import Trust
from modelyard.registry import versions as registry
from modelyard.registry.tracking import track
from modelyard.registry.version import Version
from modelyard.release.noted import FAILED, RELEASE, Release, disagreement
from modelyard.release.release import Releaser
from modelyard.stages.challenge import compare, other_splits, unproven
from modelyard.stages.judged import evaluated
from modelyard.stages.run import Run, stage
from modelyard.store import artifact
from modelyard.store.artifact import In, Out, write_json

DEPLOYMENT = "modelyard.deployment"
"""Tag of a version with the `Deployment` that made it champion: a step that runs again reports the
same."""


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
    release: Release | None = None
    """What serves it on the cluster; None where that is not wanted."""


@stage(reads=("registry", "gate", "serve", "evaluation"), cached=False)
def deploy(run: Run, package: In, features: In, deployment: Out) -> str:
    """Tracks the run, registers the package, judges the champion on the same test split; the better
    one serves.

    Where `serve.release` is set it serves on the cluster too, before it is champion: what does not
    start there as a candidate, or answers its own example otherwise, never serves, and the step
    fails and says why. What an earlier deploy left half-done is put right first.
    """
    # Its signature is looked at where it is registered, which signs it where there is a key.
    challenger = Package(package, trust=Trust().naming(run.name))
    if challenger.info.family != run.name:
        raise UsageError(
            f"{package} is a package of family {challenger.info.family!r}, not {run.name!r}"
        )
    _track(run, challenger)
    name = registry.model_name(run)
    version = registry.register(package, run)
    releaser = None
    if run.config.serve.release:
        releaser = Releaser(run.config.serve, _say)
        _put_right(releaser, name)
    made = _decide(run, name, version, challenger, features)
    if made.champion:
        if releaser is not None:
            made = _serve(run, made, package, releaser)
        # The tag first: killed between the two, a second try decides once more. The other way
        # round it would take the champion for one that a person promoted.
        registry.set_tag(registry.get(name, version), DEPLOYMENT, made.model_dump_json())
        registry.set_champion(name, version, f"run {run.id}: {made.reason}")
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
        cost=paid(run.id, [package.manifest], run.config.cost),
        compiled=package.info.compiled,
        files=[package.path / "evaluation.json", package.path / "card.html"],
    )


def _say(line: str) -> None:
    print(line, flush=True)


def _put_right(releaser: Releaser, name: str) -> None:
    """Whoever wins: what a stopped deploy left goes, and what serves is compared with the
    champion."""
    releaser.mend()
    if differs := disagreement(name, releaser.called, releaser.serves()):
        _say(str(differs))


def _serve(run: Run, made: Deployment, package: Path, releaser: Releaser) -> Deployment:
    """Brings the new champion to the cluster.

    Raises:
        ModelyardError: it does not serve there; what served before serves again, and is champion.
    """
    version = registry.get(made.name, made.version)
    try:
        release = releaser.bring(package, made.name)
    except ModelyardError as error:
        registry.set_tag(version, FAILED, str(error)[:4000])
        serves = registry.find(made.name, releaser.serves())
        # It was champion before this step: an earlier try of it said so, or a person.
        if version.champion and serves is not None and serves.version != version.version:
            why = f"run {run.id}: {error}"[:4000]
            registry.set_champion(made.name, serves.version, why, back=True)
        raise
    registry.set_tag(version, RELEASE, release.model_dump_json())
    reason = made.reason
    if made.release is None:  # else an earlier try of this step has said so
        reason += f"; {release.called} revision {release.revision} serves it"
    return made.model_copy(update={"release": release, "reason": reason})


def _decide(run: Run, name: str, version: str, challenger: Package, features: Path) -> Deployment:
    result = _on_test_split(run, challenger, features)
    gate = judge(run.config.gate, result)
    made = functools.partial(
        Deployment, name=name, version=version, metric=gate.metric, challenger_metric=gate.value
    )
    champions = [known for known in registry.list_versions(name) if known.champion]
    serving = champions[0] if champions else None
    new = f"{name} version {version} is champion"
    if serving is None:
        reason = f"{new}: {gate.metric} {figure(gate.value)}, the first"
        return made(champion=True, previous=None, champion_metric=None, reason=reason)
    if serving.version == version:
        if DEPLOYMENT in serving.tags:
            return Deployment.model_validate_json(serving.tags[DEPLOYMENT])
        reason = f"{new} already: {gate.metric} {figure(gate.value)}, promoted by hand"
        return made(champion=True, previous=None, champion_metric=None, reason=reason)
    switch = f"To switch: modelyard promote {name}@{version}"
    taken_back = _taken_back(name, version)
    if taken_back:
        reason = f"kept version {serving.version}: {taken_back}. {switch}"
        return made(champion=False, previous=serving.version, champion_metric=None, reason=reason)
    try:
        champion = registry.fetch(serving)
        other = _judge_champion(run, champion, gate.metric, features, result)
    # The store may answer again: a second try of the step can still decide.
    except Unavailable:
        raise
    except Exception as error:  # whatever another version's host raises on data that it never met
        kind = "" if isinstance(error, ModelyardError) else f"{type(error).__name__}: "
        reason = (
            f"kept version {serving.version}: it cannot be judged on this data ({kind}"
            f"{str(error)[:200]}), so nothing shows that version {version} is better. "
            f"{_code_since(serving, run)}{switch}"
        )
        return made(champion=False, previous=serving.version, champion_metric=None, reason=reason)
    found = compare(gate.metric, result, other, run.config.registry)
    chance = unproven(gate, read_info(champion).gate)
    wins = found.better and not chance
    reason = f"{new}: {found.reason}"
    if found.better and chance:
        reason = f"kept version {serving.version}: version {version} has {found.reason}, {chance}. {switch}"
    elif not found.better:
        reason = f"kept version {serving.version}: version {version} has {found.reason}"
        if differs := other_splits(read_info(champion).config, challenger.info.config):
            reason += (
                f". Version {serving.version} had other splits ({differs}) and may have learned "
                f"from these test {result.unit}. {switch}"
            )
    value = other.metrics[gate.metric]
    return made(champion=wins, previous=serving.version, champion_metric=value, reason=reason)


def _code_since(serving: Version, run: Run) -> str:
    """A sentence where the champion was made by other code than this run's."""
    try:
        made_by = read_info(registry.fetch(serving)).code_version
    except ModelyardError:
        return ""
    if made_by == run.code_version:
        return ""
    return "The code of its family, or modelyard's, has changed since it was made. "


def _taken_back(name: str, version: str) -> str | None:
    """Who went back from this version by hand, and why; a step that runs again must not undo
    that."""
    for change in reversed(registry.changes(name)):
        if version not in (change.before, change.after):
            continue
        # The newest change that this version was part of decides.
        if change.back and change.before == version:
            return f"{change.by} went back from version {version} ({change.why})"
        return None
    return None


def _on_test_split(run: Run, challenger: Package, features: Path) -> Evaluation:
    """The package's own evaluation where it was made on these very features."""
    if artifact.read_manifest(features).digest in challenger.manifest.lineage:
        return challenger.evaluation()
    return evaluated(run, challenger.host, challenger.run, features, "test")


def _judge_champion(
    run: Run, path: Path, metric: str, features: Path, like: Evaluation
) -> Evaluation:
    """The champion on what the challenger was judged on: its own evaluation where that was made on
    these very features, by this code.

    Raises:
        KeyError: it does not have the metric on this data.
    """
    package = Package(path, trust=Trust.from_environment().naming(run.name))
    if package.info.family != run.name:
        raise UsageError(f"it is a package of family {package.info.family!r}")
    judged = package.evaluation()
    same_data = artifact.read_manifest(features).digest in package.manifest.lineage
    same_code = package.info.code_version == run.code_version
    same_rows = same_data and judged.part == like.part
    if not (same_rows and same_code):
        judged = evaluated(run, package.host, package.run, features, "test", like=like)
    if metric not in judged.metrics:
        raise KeyError(metric)
    return judged
