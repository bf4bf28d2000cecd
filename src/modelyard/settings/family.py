"""Typed settings: a family's defaults < params.yaml < `--set section.field=value`."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from modelyard.errors import UsageError, choices
from modelyard.settings.base import NumberAsWritten
from modelyard.settings.base import Settings as Settings
from modelyard.settings.cluster import ClusterSettings
from modelyard.settings.compress import CompressSettings
from modelyard.settings.continual import ContinualSettings
from modelyard.settings.cost import CostSettings
from modelyard.settings.export import ExportSettings
from modelyard.settings.monitor import MonitorSettings
from modelyard.settings.renamed import table_of, translated
from modelyard.settings.serve import ServeSettings
from modelyard.settings.training import TrainingSettings as TrainingSettings

if TYPE_CHECKING:
    from modelyard.settings.search import Range

C = TypeVar("C", bound="FamilyConfig")


DateOrder = Literal["auto", "day_first", "month_first"]
"""How dates such as 01/02/2026 are read; `auto`: as a day above 12 in the column shows."""


class DataSettings(Settings):
    """Which data the run starts from."""

    uri: str | None = None
    """A file or folder, `s3://…` or another fsspec URI, or `git+URL#path` for a Git repository
    with DVC. None: the family's small built-in data."""
    rev: str | None = None
    """Git revision (branch, tag, commit) of `uri` when it lies in a Git repository."""
    sha256: dict[str, Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")]] = Field(
        default_factory=dict
    )
    """Expected sha256 by relative file name; a mismatch stops the run. Empty: record, don't
    compare."""
    split_seed: int = 0
    """Another number draws other splits, where they are drawn. The same examples stay in the same
    split whatever `seed` is, and when the data grow: a champion is judged on what it did not
    learn from."""
    plain_files: int = Field(default=1_000, ge=1)
    """A data set of more files than these is kept as shards: tar files, with an index."""
    shard_megabytes: float = Field(default=256.0, gt=0)
    """Size of a full shard."""
    labels: str | None = None
    """Folder or fsspec URI of a prediction log: its requests whose label came are examples too, next
    to the data. The service logs whole requests with MODELYARD_LOG_REQUESTS=on."""
    labels_days: float = Field(default=31.0, gt=0)
    """Only labels of the last so many days are used."""
    most_labels: int = Field(default=100_000, ge=1)
    """Requests with a label that are used at most, those with the newest labels."""

    @field_validator("uri")
    @classmethod
    def _none_for_empty(cls, uri: str | None) -> str | None:
        # A pipeline's form sends an empty text for a field that is left open.
        return uri or None


class GateSettings(Settings):
    """The condition a model must meet to be packaged, judged on the test split."""

    metric: str = "auto"
    """Metric the gate and the registry compare by; `auto` takes the family's main metric."""
    threshold: float | None = None
    """Least value (or largest, for an error) allowed. None: no absolute bound."""
    over_baseline: float = Field(default=0.0, ge=0)
    """By how much the metric must beat the baseline's, in the metric's own unit."""
    beyond_chance: bool = False
    """Whether the 95 % interval of the gain over the baseline must lie above `over_baseline` too.
    Without, such a model passes, and is said to be no better than its baseline beyond chance."""


class EvaluationSettings(Settings):
    """How long judging takes."""

    seconds: float = Field(default=900.0, gt=0)
    """Longest that judging the trained model on a split takes, where the family can judge part of a
    split; the variants, the package and the champion are judged on the same rows as it was. How
    many that were is written next to each metric."""


class RegistrySettings(Settings):
    """Where the package is registered."""

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Registered model name: letters, digits, dot, dash, underscore. None: the family's name."""
    margin: float = Field(default=0.0, ge=0)
    """A challenger must beat the champion by more than this, in the gate metric's unit."""
    most_lost: float = Field(default=0.02, ge=0)
    """Where labelled requests came with the data (data.labels), a challenger must beat the champion
    on their test rows, and may be worse on those of the data by this share of the metric."""


class FamilyConfig(Settings):
    """All parameters of a run. A family subclasses it and narrows `features` and `model`.

    What depends only on the settings is here too: it is known before anything of the family is
    imported.
    """

    # Listing the families needs no validator of each: it is built when a config is first made.
    model_config = ConfigDict(defer_build=True)

    shortcuts: ClassVar[Mapping[str, str]] = {}
    """CLI options that stand for a setting: `{"target": "features.target"}` gives `--target`."""
    renamed: ClassVar[Mapping[str, str]] = {}
    """Settings that an earlier release called otherwise: old dotted name (or section) to that of
    today. A family's own table is read together with this one."""
    search_space: ClassVar[Mapping[str, Range]] = {}
    """What `modelyard tune` may change, by dotted name: see `modelyard.settings.search`."""
    resources: ClassVar[Mapping[str, str]] = {"cpu": "2", "memory": "8Gi", "shm": "2Gi"}
    """What a training pod asks for on a cluster; `shm` is the size of /dev/shm."""
    sizes: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "ingest": {"cpu": "500m", "memory": "2Gi"},
        "package": {"cpu": "1", "memory": "4Gi"},
        "deploy": {"cpu": "1", "memory": "4Gi"},
        "monitor": {"cpu": "1", "memory": "4Gi"},
        "search": {"cpu": "500m", "memory": "2Gi"},
        "job": {"cpu": "500m", "memory": "2Gi"},
    }
    """What pods of other stages ask for; a stage that is not here asks for what training does.
    `search` are the steps around trials, `job` is the one that follows a training on several nodes."""

    @classmethod
    def size(cls, step: str) -> dict[str, str]:
        """`cpu` and `memory` of a step's pod on a cluster."""
        training = {amount: cls.resources[amount] for amount in ("cpu", "memory")}
        return {**training, **cls.sizes.get(step, {})}

    @classmethod
    def debug(cls) -> Self:
        """A config whose run takes seconds on a CPU, offline. The contract's checks run it."""
        return cls()

    def requires(self) -> Mapping[str, str]:
        """What this config needs besides the core: import name to the wheel's extra that brings it.

        For example `{"lightgbm": "tabular"}`; checked before a stage starts.
        """
        return {}

    def for_search(self) -> Self:
        """This config for a trial of a search, which the validation split judges: without what
        would train on that split."""
        return self

    def for_features(self) -> Mapping[str, Mapping[str, Any]]:
        """Settings of other sections than `data`, `features` and `seed` that `features` reads, by
        section: the stage is handed no others, and does not run again for them.

        For example the checkpoint whose tokenizer reads the texts.
        """
        return {}

    def refuses_warm_start(self) -> str:
        """Why this config's model cannot be trained on from an earlier one; empty: it can."""
        return ""

    data: DataSettings = DataSettings()
    """Where the data comes from."""
    features: Settings = Settings()
    """From raw data to model inputs."""
    model: Settings = Settings()
    """Which model, and its hyper-parameters."""
    training: TrainingSettings = TrainingSettings()
    """How it is trained, where it is a torch model."""
    continual: ContinualSettings = ContinualSettings()
    """Whether it starts from an earlier model, and what it keeps for later ones."""
    compress: CompressSettings = CompressSettings()
    """What training does to make the model small and fast."""
    gate: GateSettings = GateSettings()
    """What the model must reach."""
    evaluation: EvaluationSettings = EvaluationSettings()
    """How long judging takes."""
    export: ExportSettings = ExportSettings()
    """How the model is compiled."""
    registry: RegistrySettings = RegistrySettings()
    """Where the package is registered."""
    monitor: MonitorSettings = MonitorSettings()
    """When traffic counts as drifted."""
    cost: CostSettings = CostSettings()
    """What an hour of each resource costs."""
    cluster: ClusterSettings = ClusterSettings()
    """How training runs on a cluster, where it is a job of its own."""
    serve: ServeSettings = ServeSettings()
    """Which release on a cluster serves the champion."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of every random choice of the run."""


Source = Literal["params.yaml", "--set", "config"]


def resolve(cls: type[C], *layers: tuple[Source, Mapping[str, Any]]) -> C:
    """Merges the layers over the defaults, later ones winning, and validates once.

    Raises:
        UsageError: an unknown or invalid field: its dotted name, the value seen, what is allowed.
    """
    # From the dumped defaults: a family may give a whole section as a default, and one field set
    # must not undo it.
    values: dict[str, Any] = cls().model_dump(mode="json")
    table = table_of(cls)
    layers = tuple((source, translated(table, layer)) for source, layer in layers)
    for _, layer in layers:
        values = merge(values, layer)
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        raise UsageError(_explain(cls, error, layers)) from None


def portable(config: FamilyConfig) -> dict[str, Any]:
    """The config as JSON without nulls: a Kubeflow parameter cannot hold one.

    Raises:
        UsageError: a setting is null though its default is not, so that leaving it out would change
        it.
    """
    values = config.model_dump(mode="json", exclude_none=True)
    if type(config).model_validate(values) != config:
        raise UsageError(
            "a setting is null whose default is not null: a pipeline cannot carry that. Give it a value"
        )
    return values


class PlainYaml(yaml.SafeLoader):
    """YAML in which only `true` and `false` are truth values, as YAML 1.2 has it: a class may be
    called `yes`, `no` or `on`. Settings that are truth values take these words all the same.

    A number stays a text where Python would write it otherwise, and so does a date: `1.10` may be a
    tag, `0123456` a commit and `007` a class. Settings that are numbers read the text themselves.
    """


def _number_as_written(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    is_whole = node.tag == _INT
    value = loader.construct_yaml_int(node) if is_whole else loader.construct_yaml_float(node)
    is_named = not is_whole and not math.isfinite(value)  # `.inf`: no setting reads that by itself
    if is_named or str(value) == node.value:
        return value
    return NumberAsWritten(node.value, value)


_BOOL, _INT = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:int"
_FLOAT, _TIME = "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp"


def _resolvers_without(*tags: str) -> dict[str, list[tuple[str, Any]]]:
    """SafeLoader's rules for plain words, by their first character, without those of these tags."""
    kept = {}
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items():
        kept[first] = [(tag, pattern) for tag, pattern in known if tag not in tags]
    return kept


# Assigned first: `add_implicit_resolver` copies SafeLoader's rules into a class that has none of
# its own.
PlainYaml.yaml_implicit_resolvers = _resolvers_without(_BOOL, _TIME)
PlainYaml.add_implicit_resolver(
    _BOOL, re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
PlainYaml.add_constructor(_INT, _number_as_written)
PlainYaml.add_constructor(_FLOAT, _number_as_written)


def parse_assignments(pairs: Iterable[str]) -> dict[str, Any]:
    """`["model.kind=mlp", "seed=3"]` to a nested mapping; values are read as YAML, mappings in
    braces only."""
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set {pair!r} has no '='. Type: --set model.kind=mlp")
        try:
            value = yaml.load(text, PlainYaml) if text else ""  # noqa: S506 - a safe loader
        except yaml.YAMLError:
            value = text
        if isinstance(value, Mapping) and not text.lstrip().startswith("{"):
            value = text  # a sentence with a colon, such as a prompt: blanks at its end count
        nested: Any = value
        for part in reversed(name.strip().split(".")):
            nested = {part: nested}
        values = merge(values, nested)
    return values


def read_params(path: Path, family: str) -> dict[str, Any]:
    """The family's block of a params.yaml; nothing when the file or the block is absent."""
    if not path.is_file():
        return {}
    try:
        content = yaml.load(path.read_text(), PlainYaml) or {}  # noqa: S506 - a safe loader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not YAML: {error}") from None
    block = content.get(family, {}) if isinstance(content, dict) else None
    if not isinstance(block, dict):
        raise UsageError(f"{path}: {family!r} must hold sections such as 'model:', seen {block!r}")
    return block


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted name."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def config_hash(config: FamilyConfig, sections: Iterable[str] | None = None) -> str:
    """sha256 of the canonical JSON of the config, or of only the named sections."""
    values = config.model_dump(mode="json")
    if sections is not None:
        values = {name: values[name] for name in sorted(sections)}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`, section by section."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = merge(old, value)
        merged[key] = value
    return merged


def _explain(
    cls: type[FamilyConfig],
    error: ValidationError,
    layers: tuple[tuple[Source, Mapping[str, Any]], ...],
) -> str:
    first = error.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    name, source = ".".join(path), _origin(path, layers)
    if not path:
        return f"settings that do not go together: {first['msg'].removeprefix('Value error, ')}"
    if first["type"] == "extra_forbidden":
        value = first["input"]
        while isinstance(value, Mapping) and value:  # of a section that is unknown too
            last, value = next(iter(value.items()))
            name = f"{name}.{last}"
        problem = choices("setting", name, _field_names(cls))
        return f"{source}: {problem}. `modelyard families FAMILY --all` explains them"
    return f"{source}: setting '{name}' = {first['input']!r}: {first['msg']}"


def _origin(path: list[str], layers: tuple[tuple[Source, Mapping[str, Any]], ...]) -> str:
    """The source that set a value last; the last one of all where none did."""
    for source, layer in reversed(layers):
        node: Any = layer
        for part in path:
            node = node.get(part) if isinstance(node, Mapping) else None
        if node is not None:
            return str(source)
    if layers:
        return str(layers[-1][0])
    return "config"


def _field_names(cls: type[BaseModel], prefix: str = "") -> list[str]:
    names: list[str] = []
    for name, field in cls.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            names += _field_names(inner, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return names
