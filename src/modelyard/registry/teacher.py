"""Brings the package that teaches a run's model: its assets and its graphs in full precision."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.errors import UsageError
from modelyard.packages.package import INFO, PackageInfo, verify
from modelyard.packages.variant import BASE
from modelyard.registry.start import located
from modelyard.settings.continual import CHAMPION
from modelyard.store import artifact
from modelyard.store.base import TEACHER

if TYPE_CHECKING:
    from modelyard.stages.run import Run

SETTING = "compress.teacher"


def digest(run: Run) -> str:
    """Digest of the teacher, empty without one: part of the features' key."""
    found = _found(run)
    if found is not None:
        return artifact.read_manifest(found).digest
    return ""


def bring(run: Run, features: Path) -> PackageInfo | None:
    """Brings the teacher of a run into `features/teacher`; None where only labels teach.

    The package is verified as one that is to serve: sums, signature, no code of it.

    Raises:
        UsageError: it is no package of this family, or holds no onnx-fp32.
        BrokenArtifact: it is incomplete or was changed. Unavailable: its store does not answer.
    """
    found = _found(run)
    if found is None:
        return None
    called = f"{SETTING} = {run.config.compress.teacher!r}"
    kind = artifact.read_manifest(found).kind
    if kind != "package":
        raise UsageError(f"{called} is a {kind}. Give a package")
    package = verify(found)
    if package.info.family != run.name:
        raise UsageError(
            f"{called} is of family {package.info.family!r}, and this run of {run.name!r}"
        )
    graphs_of = {variant.name: variant.graphs for variant in package.info.variants}
    graphs = graphs_of.get(BASE)
    if not graphs:
        raise UsageError(f"{called} holds no {BASE}, which teaches. Build the package again")
    into = Path(features) / TEACHER
    shutil.copytree(found / "assets", into / "assets")
    for file in graphs.values():
        (into / "graphs" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(found / "graphs" / file, into / "graphs" / file)
    shutil.copy2(found / INFO, into / INFO)
    return package.info


def _found(run: Run) -> Path | None:
    """The teacher's folder.

    Raises:
        UsageError: it is to be the champion, and there is none yet.
    """
    teacher = run.config.compress.teacher
    found = located(run, teacher, SETTING)
    if found is None and teacher == CHAMPION:
        raise UsageError(
            f"{SETTING} = {CHAMPION!r}: nothing serves under this name yet. Build a large model first, or "
            "give its package: --set compress.teacher=FOLDER"
        )
    return found
