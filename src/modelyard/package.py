"""A package: all that serving needs, in one folder. Graphs, assets, a reference, a card; nothing that runs code.

manifest.json                 sums of all files, and lineage
package.json                  PackageInfo
graphs/<variant>/<graph>.onnx
assets/                       what the family's host reads
evaluation.json               on the test split
training.json                 what the family told of its training: its curves, for the tracking
reference.parquet             described test examples with their answers: what drift is measured against
golden.json                   {"request": …, "response": …}: one real example and its answer
card.html
continual/                    weights and exemplars for a later run to go on from, where the config keeps them
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from modelyard import artifact
from modelyard.config import MonitorSettings
from modelyard.errors import BrokenArtifact
from modelyard.evaluation import Evaluation, GateResult
from modelyard.family import Explanation, Host, Runtime, load
from modelyard.runtimes.onnx import OnnxRuntime


class Variant(BaseModel):
    """One compiled form of a model, measured."""

    model_config = ConfigDict(frozen=True)

    name: str
    """onnx-fp32, …; `native` is the trained model in its own library, for comparison, and has no files."""
    graphs: dict[str, str]
    """Graph name to file, relative to the graphs' folder."""
    bytes: int
    """Size of all files."""
    p50_ms: float
    """Median milliseconds of one single-example prediction, host included, on the machine that exported."""
    metric: float
    """The gate's metric on the validation split."""
    max_difference: float
    """Largest |difference| / max(1, |value|) from the trained model over the validation sample."""
    chosen: bool = False


class PackageInfo(BaseModel):
    """What a package says of itself."""

    model_config = ConfigDict(frozen=True)

    family: str
    title: str
    run: str
    version: str
    """First 12 digits of the model's digest: what answers, logs and the registry call this package."""
    created: str
    code_version: str
    data_revision: str | None
    config: dict[str, Any]
    """The resolved config of the run."""
    variants: list[Variant]
    gate: GateResult
    metrics: dict[str, float]
    baseline: dict[str, float]
    monitor: MonitorSettings

    @property
    def chosen(self) -> Variant:
        """The variant that serves."""
        return next(variant for variant in self.variants if variant.chosen)


class Package:
    """An opened package: `package.predict([{"age": 3}])`."""

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        """Opens and verifies a package.

        Raises:
            BrokenArtifact: incomplete, changed, or not a package.
        """
        self.path = Path(path)
        self.manifest = artifact.verify(self.path)
        if self.manifest.kind != "package":
            raise BrokenArtifact(
                f"{path} is a {self.manifest.kind}, not a package. Give the folder that 'package' made"
            )
        self.info = read_info(self.path)
        self.host: Host = load(self.info.family).open(self.path / "assets")
        files = {name: self.path / "graphs" / file for name, file in self.info.chosen.graphs.items()}
        self.run: Runtime = OnnxRuntime(files, threads)

    def parse(self, body: Any) -> BaseModel:
        """One request from JSON; pydantic's ValidationError names the bad field."""
        return self.host.Request.model_validate(body)

    def predict(self, bodies: Sequence[Any]) -> list[BaseModel]:
        """Answers JSON bodies."""
        return self.host.predict(self.run, [self.parse(body) for body in bodies])

    def explain(self, body: Any) -> Explanation | None:
        """Why the answer to one JSON body is what it is."""
        return self.host.explain(self.run, self.parse(body))

    def evaluation(self) -> Evaluation:
        """The evaluation on the test split."""
        return Evaluation.model_validate_json((self.path / "evaluation.json").read_text())

    def golden(self) -> dict[str, Any]:
        """One real example and its answer: `{"request": …, "response": …}`."""
        golden: dict[str, Any] = json.loads((self.path / "golden.json").read_text())
        return golden


def read_info(path: Path) -> PackageInfo:
    """A package's own description, without opening its graphs."""
    try:
        return PackageInfo.model_validate_json((Path(path) / "package.json").read_text())
    except (OSError, ValidationError):
        raise BrokenArtifact(f"{path} is not a package: package.json is missing or unreadable") from None
