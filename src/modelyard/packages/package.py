"""A package: all that serving needs, in one folder. Graphs, assets, a reference, a card; nothing
that runs code.

manifest.json                 sums of all files, and lineage
package.json                  PackageInfo
graphs/<variant>/<graph>.onnx
assets/                       what the family's host reads
evaluation.json               on the test split
training.json                 the family's report of its training: its curves, for the tracking
reference.parquet             described test examples with their answers: what drift is measured against
truths.json                   the labels of these examples, where the family has them
golden.json                   {"request": …, "response": …}: one real example and its answer
card.html
continual/                    weights and exemplars for a later run to start from, where the config keeps them
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from modelyard import credentials
from modelyard.errors import BrokenArtifact
from modelyard.home import registered_name
from modelyard.host import Explains, Explanation, Host
from modelyard.judging.evaluation import Evaluation, GateResult
from modelyard.packages import signing
from modelyard.packages.graphs import check_graphs
from modelyard.packages.serving import open_best
from modelyard.packages.trust import Trust
from modelyard.packages.variant import Choice, LeftOut, Plain, Variants
from modelyard.packages.variant import Variant as Variant
from modelyard.runtimes.devices import CPU, CPU_PLACE, Place
from modelyard.runtimes.types import Runtime
from modelyard.settings.monitor import MonitorSettings
from modelyard.store import artifact, contents
from modelyard.store.artifact import OWN, Manifest

INFO, GOLDEN, EVALUATION = "package.json", "golden.json", "evaluation.json"
DOCUMENT_BYTES = 256 * 2**20
"""Largest of these: a golden example may hold a picture or a recording."""
FamilyName = Annotated[
    str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*(:[A-Za-z_][A-Za-z0-9_]*)?$", max_length=200)
]


class PackageInfo(BaseModel):
    """What a package says of itself."""

    model_config = ConfigDict(frozen=True)

    family: FamilyName
    title: str
    """What the family is."""
    target: str = ""
    """The column that is predicted, where the family has one."""
    positive: str = ""
    """The positive class, where there is one."""
    warnings: list[str] = []
    """What a reader must know before he trusts the figures."""
    run: Plain
    version: Plain
    """12 hexadecimal digits, others for each package that was built: what answers, logs and the
    registry call it."""
    created: str
    code_version: str
    data_revision: str | None
    config: dict[str, Any]
    """The resolved config of the run."""
    variants: list[Variant]
    left_out: list[LeftOut] = []
    choice: Choice | None = None
    """By what the variant that serves was chosen; None: an older package does not say."""
    gate: GateResult
    metrics: dict[str, float]
    baseline: dict[str, float]
    monitor: MonitorSettings

    @property
    def registered(self) -> str:
        """What its run registers it as: `modelyard serve NAME`."""
        data = self.config.get("data") or {}
        registry = self.config.get("registry") or {}
        return registered_name(self.family, data.get("uri"), registry.get("name"))

    @model_validator(mode="before")
    @classmethod
    def _without_credentials(cls, values: Any) -> Any:
        """Packages from before settings refused credentials are read without them, so that
        nothing shows them."""
        if not isinstance(values, dict):
            return values
        shown = dict(values)
        for name in ("config", "monitor"):
            if name in values:
                shown[name] = credentials.redacted(values[name])
        return shown

    @property
    def subject(self) -> str:
        """What a person calls it: `churned from customers.csv`."""
        uri = self.config.get("data", {}).get("uri")
        data = PurePosixPath(str(uri).rstrip("/")).name if uri else "built-in data"
        if self.target:
            return f"{self.target} from {data}"
        return data

    @property
    def compiled(self) -> Variants:
        """The variants with those that were left out, and by what one was chosen."""
        return Variants(variants=self.variants, left_out=self.left_out, choice=self.choice)

    @property
    def chosen(self) -> Variant:
        """The variant that serves."""
        return next(variant for variant in self.variants if variant.chosen)


@dataclass(frozen=True)
class Verified:
    """A package whose bytes are the ones that were packaged. Nothing of it was imported or
    opened yet."""

    path: Path
    manifest: Manifest
    info: PackageInfo
    unreadable: Mapping[str, str]
    """Variants whose files are no ONNX, with what is wrong."""


def verify(path: Path, trust: Trust | None = None) -> Verified:
    """Reads a package as data: plain files, inside its folder, of the recorded sizes and sums,
    signed where that is required, with graphs that name no file elsewhere. No code of it runs, and
    no code that it names is imported.

    Raises:
        BrokenArtifact: what is wrong with it. UsageError: the public keys cannot be read.
    """
    trust = trust if trust is not None else Trust.from_environment()
    path = Path(path)
    if not path.is_dir():
        state = "is no folder" if path.exists() else "does not exist"
        raise BrokenArtifact(f"{path} {state}. Give the folder that 'package' made")
    manifest = artifact.read_manifest(path)
    if manifest.kind != "package":
        raise BrokenArtifact(
            f"{path} is a {manifest.kind}, not a package. Give the folder that 'package' made"
        )
    # From the cheapest check to the dearest, and nothing of a file's content is trusted before the
    # manifest is: plain names and sizes, who signed, then the sum of every byte.
    there = contents.files_in(path)
    _check_names(path, manifest, there)
    trust.check(path)
    artifact.verify(path)
    info = read_info(path)
    if info.family != manifest.family:
        raise BrokenArtifact(
            f"{path}: {INFO} says family {info.family!r}, the manifest {manifest.family!r}"
        )
    return Verified(path, manifest, info, check_graphs(path, manifest, info.variants))


def signed(path: Path) -> Verified:
    """A verified package, signed where a private key is named: one that was reused may be older
    than the key.

    Raises:
        BrokenArtifact: what is wrong with it, or no signature that counts here. UsageError: a key
        cannot be used.
    """
    verified = verify(path, Trust())
    signing.sign(verified.path)
    Trust.from_environment().check(verified.path)
    return verified


def _check_names(path: Path, manifest: Manifest, there: dict[str, int]) -> None:
    for name in there:
        if name not in manifest.files and name not in OWN:
            raise BrokenArtifact(
                f"{path}/{name} is not in the manifest: added after the artifact was made"
            )
    for name in (INFO, GOLDEN, EVALUATION):
        if name not in manifest.files:
            raise BrokenArtifact(f"{path} is no whole package: its manifest lists no {name}")
        if there.get(name, 0) > DOCUMENT_BYTES:
            raise BrokenArtifact(
                f"{path}/{name} has {there[name]:,} bytes; at most {DOCUMENT_BYTES:,} are read"
            )


class Package:
    """An opened package: `package.predict([{"age": 3}])`."""

    def __init__(
        self,
        path: Path | Verified,
        *,
        threads: int | None = None,
        trust: Trust | None = None,
        device: str | Place = CPU,
    ) -> None:
        """Verifies a package, or takes a verified one, and opens its chosen variant on a device;
        where that does not open, the next one: `variant` is what serves.

        Raises:
            BrokenArtifact: incomplete, changed, or not a package.
            UsageError: its family is code from outside that `trust` does not name; None: the
                environment's.
        """
        if trust is None:
            trust = Trust.from_environment()
        verified = path if isinstance(path, Verified) else verify(path, trust)
        self.path, self.manifest, self.info = verified.path, verified.manifest, verified.info
        self.host: Host = trust.family(self.info.family).open(self.path / "assets")
        opened = open_best(
            self.path / "graphs", self.info.variants, verified.unreadable, device, threads
        )
        self.run: Runtime = opened.run
        self.variant, self.passed_over = opened.variant, opened.passed_over

    @property
    def place(self) -> Place:
        """Where its graphs compute."""
        place: Place = getattr(self.run, "place", CPU_PLACE)
        return place

    def parse(self, body: Any) -> BaseModel:
        """One request from JSON; pydantic's ValidationError names the bad field."""
        return self.host.Request.model_validate(body)

    def predict(self, bodies: Sequence[Any]) -> list[BaseModel]:
        """Answers JSON bodies."""
        return self.host.predict(self.run, [self.parse(body) for body in bodies])

    def explain(self, body: Any) -> Explanation | None:
        """Why the answer to one JSON body is what it is."""
        if isinstance(self.host, Explains):
            return self.host.explain(self.run, self.parse(body))
        return None

    def evaluation(self) -> Evaluation:
        """The evaluation on the test split."""
        return Evaluation.model_validate_json((self.path / EVALUATION).read_text())

    def golden(self) -> dict[str, Any]:
        """One real example and its answer: `{"request": …, "response": …}`."""
        golden: dict[str, Any] = json.loads((self.path / GOLDEN).read_text())
        return golden


def read_info(path: Path) -> PackageInfo:
    """A package's own description, without opening its graphs.

    Raises:
        BrokenArtifact: it is missing, or says what no package says.
    """
    file = Path(path) / INFO
    try:
        return PackageInfo.model_validate_json(contents.read_text(file, DOCUMENT_BYTES))
    except (OSError, UnicodeDecodeError):
        raise BrokenArtifact(f"{path} is not a package: {INFO} is missing or unreadable") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "JSON"
        said = first["msg"].removeprefix("Value error, ")
        raise BrokenArtifact(
            f"{path} is not a package: {INFO} is missing or unreadable ({where}: {said})"
        ) from None
