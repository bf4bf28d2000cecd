"""The form of a pipeline's page: what a person fills in, and what of it each step reads.

Kubeflow's cache answers a step whose parameters are those of an earlier one. So the first step, which
is never cached, reads the form once and hands each step no more than what its result follows from.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping
from typing import Any

from modelyard import events
from modelyard.errors import ModelyardError, UsageError
from modelyard.family import Entry, load
from modelyard.settings.carried import carried, received
from modelyard.settings.continual import CHAMPION
from modelyard.settings.family import FamilyConfig, merge, portable, resolve
from modelyard.stages import STAGES, TRAINING
from modelyard.stages.run import Run, Stage, code_version

STEP = "prepare"
FIELDS = ("data", "target", "model", "name")
"""Settings that the form asks for by a name of their own."""
SEARCH = "search"
"""What the steps around trials are handed and sized by."""
AMOUNTS = ("cpu", "memory")
CLUSTER = "cluster"
"""Section that says where a training job runs: read by a training on several nodes only."""


def prepare(
    family: str,
    fields: Mapping[str, str],
    settings: Mapping[str, Any],
    nodes: int,
    gpus: int,
    image: str,
    cpu: str = "",
    memory: str = "",
) -> dict[str, Any]:
    """What each step is handed, by its name, the GPUs of the training step's own pod, and the size
    of each step's pod.

    On an error that a person can fix: one line and exit code 2.
    """
    from modelyard.parent import die_with_parent

    die_with_parent()
    try:
        config = configured(load(family), fields, settings)
        run = Run.of(family, config.model_dump(mode="json"), nodes=nodes, gpus_per_node=gpus)
        return handed(run, image) | sized(run, cpu, memory)
    except ModelyardError as error:
        events.emit("failed", STEP, kind=type(error).__name__, message=str(error))
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(error.exit_code)


def configured(
    entry: Entry[Any], fields: Mapping[str, str], settings: Mapping[str, Any]
) -> FamilyConfig:
    """The config that a form asks for; its own fields go over `settings`.

    Raises:
        UsageError: an unknown or invalid setting, or a field that the family does not have.
    """
    own: dict[str, Any] = {}
    for field, text in received(fields).items():
        if not text:
            continue
        path = path_of(entry, field)
        if path is None:
            raise UsageError(
                f"{field} = {text!r}: family {entry.name!r} has no such setting. Leave it empty"
            )
        section, name = path
        own[section] = {**own.get(section, {}), name: text}
    found: FamilyConfig = resolve(entry.Config, ("config", received(settings)), ("config", own))
    return found


def filled(entry: Entry[Any], config: FamilyConfig) -> dict[str, Any]:
    """The form for a config: its fields, and in `settings` what else differs from the defaults."""
    changed = _changed(portable(config), portable(entry.Config()))
    fields: dict[str, Any] = {}
    for field in FIELDS:
        path = path_of(entry, field)
        if path is None:
            continue  # the family's form has no such field
        fields[field] = ""
        if isinstance(changed.get(path[0], {}).get(path[1]), str):
            fields[field] = changed[path[0]].pop(path[1])
    settings = {name: value for name, value in changed.items() if value != {}}
    return {**carried(fields), "settings": carried(settings)}


def handed(run: Run, image: str = "") -> dict[str, Any]:
    """What each step of a run is handed, and `gpus` and `gpu_resource`.

    Both are texts, since Kubeflow's driver leaves out a resource whose amount is any other type. With
    several nodes the step's own pod has no GPU: the pods of the training job have them.
    """
    whole = portable(run.config)
    gpus = run.gpus_per_node if run.nodes == 1 else 0
    found: dict[str, Any] = {"gpus": str(gpus), "gpu_resource": run.config.cluster.gpu_resource}
    for name, stage in STAGES.items():
        found[name] = _for_stage(run, stage, whole) | {"image": image}
    found[SEARCH] = {
        "family": run.name,
        "config": carried(whole),
        "code": code_version(run.entry),
    }
    return found


def sized(run: Run, cpu: str = "", memory: str = "") -> dict[str, str]:
    """`ingest_cpu`, `ingest_memory` and so on of each step: what the form says of all, else what the
    family says of each."""
    asked = {"cpu": cpu, "memory": memory}
    found = {}
    for step in (*STAGES, SEARCH):
        # The pods of a training job are the nodes; the step's own only follows them.
        follows = step == "train" and run.nodes > 1
        size = run.config.size("job" if follows else step)
        for amount in AMOUNTS:
            found[f"{step}_{amount}"] = asked[amount] or size[amount]
    return found


def _for_stage(run: Run, stage: Stage, whole: dict[str, Any]) -> dict[str, Any]:
    config = whole
    if stage.cached and stage.name != "package":  # the package records all settings
        config = _read(run, stage, whole)
    made: dict[str, Any] = {
        "family": run.name,
        "config": carried(config),
        "code": code_version(run.entry),
    }
    if stage.outside is not None:
        state = stage.outside(run)
        # What nobody can tell never was the same: a text of its own keeps the cache from answering.
        made["outside"] = secrets.token_hex(16) if state is None else state
    if stage.name == "train":
        made |= {"nodes": run.nodes, "gpus_per_node": run.gpus_per_node}
    return made


def _read(run: Run, stage: Stage, whole: dict[str, Any]) -> dict[str, Any]:
    """The sections that a stage reads and those that its inputs follow from: how a model is built
    stands in the settings that it was trained with."""
    sections = set(stage.reads) | {"continual", "compress"}
    for earlier in TRAINING:
        if earlier.name == stage.name:
            break
        sections |= set(earlier.reads)
    if run.config.continual.wanted or run.config.compress.wanted:
        sections |= {"model", "training"}  # which say whether a model can be trained on
    if stage.name == "train" and run.nodes > 1:
        sections.add(CLUSTER)
    config = {name: value for name, value in whole.items() if name in sections}
    if stage.name == "features":
        config = merge(run.config.for_features(), config)
        # Which champion that is follows from the name that the model is registered under.
        name = whole.get("registry", {}).get("name")
        follows = CHAMPION in (run.config.continual.start, run.config.compress.teacher)
        if name and follows:
            config = merge({"registry": {"name": name}}, config)
    try:
        resolve(run.entry.Config, ("config", config))
    except UsageError:
        return whole  # what it reads does not go together with the defaults of the rest
    return config


def path_of(entry: Entry[Any], field: str) -> tuple[str, str] | None:
    """Section and name of the setting behind a field of the form; None where the family has none."""
    known = {
        "data": "data.uri",
        "target": entry.Config.shortcuts.get("target", ""),
        "model": "model.kind",
        "name": "registry.name",
    }
    section, _, name = known[field].partition(".")
    field_of_section = entry.Config.model_fields.get(section)
    if field_of_section is None:
        return None
    default = field_of_section.get_default(call_default_factory=True)
    if hasattr(default, name):
        return section, name
    return None


def _changed(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The values that differ from the defaults, in their sections."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        old = defaults.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            inner = _changed(value, old)
            if inner:
                found[name] = inner
        elif value != old:
            found[name] = value
    return found
