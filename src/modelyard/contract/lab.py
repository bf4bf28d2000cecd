"""A family's debug run, stage by stage: what the checks look at."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from modelyard.family import Family, Split, load
from modelyard.home import REUSE
from modelyard.host import Host
from modelyard.packages.variant import BASE, Variants
from modelyard.runtimes.opening import open_variant
from modelyard.runtimes.types import Runtime
from modelyard.stages.run import Run, Stage


class Lab:
    """Runs the real stages on `Config.debug()`, each when its artifact is first needed:
    `lab["features"]`.

    An artifact is made once and kept below `folder`; a stage that failed fails again without a
    second try.
    """

    def __init__(self, family: str, folder: Path) -> None:
        """`family` is a name that `modelyard.family.load` takes; `folder` is filled.

        Raises:
            UsageError: no such family.
        """
        self.name, self.folder = family, Path(folder)
        config = load(family).Config.debug()
        self.run = Run.of(family, config.model_dump(mode="json"), id="contract")
        self._made: dict[str, Path | Exception] = {}

    @property
    def family(self) -> Family[Any]:
        """The family with its debug config."""
        return self.run.family

    def __getitem__(self, artifact: str) -> Path:
        """Folder of dataset, features, model, evaluation, graphs or package."""
        if artifact not in self._made:
            try:
                self._made[artifact] = self._make(artifact, self.folder / artifact, self.run)
            except Exception as error:
                # Kept: each check that needs it fails at once, and by the same words.
                self._made[artifact] = error
        made = self._made[artifact]
        if isinstance(made, Exception):
            raise made
        return made

    def again(self, artifact: str) -> Path:
        """The same stage on the same inputs, run once more into another folder."""
        return self._make(artifact, self.folder / f"{artifact}-again", self.run)

    def made_by(self, run: Run, artifact: str, name: str) -> Path:
        """The same stage on the same inputs with other settings, into the folder `name`."""
        return self._make(artifact, self.folder / name, run)

    def summary(self, artifact: str) -> dict[str, Any]:
        """What the features or the train stage reported."""
        content: dict[str, Any] = json.loads((self[artifact] / "summary.json").read_text())
        return content

    def bodies(self, count: int, split: Split = "test") -> list[dict[str, Any]]:
        """`count` request bodies of a split; a smaller split starts over."""
        found = self.family.requests(self["features"], split, count)
        if found:
            return [found[number % len(found)] for number in range(count)]
        return []

    def parsed(self, count: int) -> list[BaseModel]:
        """`count` validated requests of the test split."""
        return [self.host.Request.model_validate(body) for body in self.bodies(count)]

    @cached_property
    def host(self) -> Host:
        """The answering half, from the trained model's assets."""
        return self.run.entry.open(self["model"] / "assets")

    @cached_property
    def native(self) -> Runtime:
        """The trained model in its own library."""
        return self.family.native(self["model"])

    @cached_property
    def onnx(self) -> Runtime:
        """The exported graphs in full precision, on ONNX Runtime."""
        variants = Variants.model_validate_json((self["graphs"] / "variants.json").read_text())
        graphs = {variant.name: variant.graphs for variant in variants.variants}
        return open_variant(self["graphs"], BASE, graphs[BASE])

    def _make(self, artifact: str, folder: Path, run: Run) -> Path:
        stage = _maker(artifact)
        inputs = {name: self[name] for name in stage.inputs if name not in stage.optional}
        with _nothing_reused():
            stage(run, **inputs, **{artifact: folder})
        return folder


def _maker(artifact: str) -> Stage:
    from modelyard.stages import TRAINING

    by_outputs = {stage.outputs: stage for stage in TRAINING}
    return by_outputs[(artifact,)]


@contextmanager
def _nothing_reused() -> Iterator[None]:
    """A second training that is taken from the first would prove nothing."""
    folder = os.environ.pop(REUSE, None)
    try:
        yield
    finally:
        if folder is not None:
            os.environ[REUSE] = folder
