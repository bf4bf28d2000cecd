"""The model that a run starts from.

The features stage brings it into its own output, where the family fits its encoders on it and
training finds it: one look at the registry decides for the whole run, whatever is promoted
meanwhile, and nodes of a training job need none.

    <features>/base/    base.json               which model this is: `Base`
                        model.safetensors, …    what `continual/` of a package holds
                        memory.safetensors      exemplars, if there are any: see training/memory.py
                        assets/                 the model's assets

Next to it lies the teacher, where the run has one: a package's assets and graphs.

    <features>/teacher/ package.json, assets/, graphs/onnx-fp32/
"""

from __future__ import annotations

import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from modelyard.errors import BrokenArtifact
from modelyard.store.artifact import MANIFEST

FOLDER, CARRIED, RECORD = "base", "continual", "base.json"
TEACHER = "teacher"
AWARE = "aware"
"""In a model's folder: a copy that learned to bear 8 bits."""
WEIGHTS, MEMORY = "model.safetensors", "memory.safetensors"
_LEFT = frozenset({MANIFEST, "summary.json"})


class Base(BaseModel):
    """`base.json`: which model a run starts from."""

    model_config = ConfigDict(frozen=True)

    start: str
    """The setting `continual.start`."""
    version: str
    """What the package calls itself; of a model folder the first 12 digits of its digest."""
    digest: str
    """Of the package or the model."""
    run: str
    """The run that made it."""


def base_of(features: Path) -> Path | None:
    """The base in a features folder; None where the run starts from scratch."""
    folder = Path(features) / FOLDER
    if folder.is_dir():
        return folder
    return None


def teacher_of(features: Path) -> Path | None:
    """The teacher in a features folder; None where only labels teach."""
    folder = Path(features) / TEACHER
    if folder.is_dir():
        return folder
    return None


def read_base(features: Path) -> Base | None:
    """What the base of a features folder is.

    Raises:
        BrokenArtifact: its record cannot be read.
    """
    folder = base_of(features)
    if folder is None:
        return None
    try:
        return Base.model_validate_json((folder / RECORD).read_text())
    except (OSError, ValidationError):
        raise BrokenArtifact(
            f"{folder / RECORD} cannot be read. Run the stage 'features' again"
        ) from None


def carry(model: Path, into: Path) -> None:
    """Copies what a later run needs of a model folder: weights, memory, and its own
    descriptions."""
    into.mkdir(parents=True)
    for file in (model / WEIGHTS, model / MEMORY, *model.glob("*.json")):
        if file.is_file() and file.name not in _LEFT:
            shutil.copy2(file, into / file.name)
