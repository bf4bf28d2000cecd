"""Options that several commands share, and how they become a run's settings."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from modelyard.family import Entry
    from modelyard.settings.family import FamilyConfig

FamilyName = Annotated[
    str,
    typer.Argument(
        metavar="FAMILY",
        help="Which family: see [bold]modelyard families[/]; or your own, package.module:entry.",
        show_default=False,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="NAME=VALUE",
        help="A setting, e.g. model.kind=xgboost. May be repeated.",
    ),
]
Params = Annotated[
    Path,
    typer.Option(
        "--params", help="YAML with a block of settings for each family; --set goes over it."
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        "-d",
        help="Your data: a file, a folder, s3://…, git+URL#path. None: a built-in sample.",
    ),
]
Target = Annotated[
    str | None, typer.Option("--target", "-t", help="Column to predict, where the family has one.")
]
Rev = Annotated[str | None, typer.Option("--rev", help="Git revision of the data.")]
PARAMS = Path("params.yaml")


def entry(name: str) -> Entry[Any]:
    """Loads a family; modules in the working folder count."""
    from modelyard.family import load

    import_from_here()
    return load(name)


def import_from_here() -> None:
    """Makes modules in the working folder importable: a console script has its own folder in `sys.path`
    instead, `python -m` has ""."""
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))


def settings(
    name: str,
    *,
    assignments: list[str] | None = None,
    params: Path = PARAMS,
    data: str | None = None,
    target: str | None = None,
    rev: str | None = None,
) -> FamilyConfig:
    """Resolves a family's config: defaults < params.yaml < --set and the shortcuts --data,
    --target, --rev."""
    from modelyard.errors import UsageError
    from modelyard.settings.family import parse_assignments, read_params, resolve

    if params != PARAMS and not params.is_file():
        raise UsageError(f"--params {params}: there is no such file")
    family = entry(name)
    shortcuts = {"data": "data.uri", "rev": "data.rev", **family.Config.shortcuts}
    given = {"data": data, "target": target, "rev": rev}
    pairs = list(assignments or [])
    for option, value in given.items():
        if value is None:
            continue
        if option not in shortcuts:
            raise UsageError(
                f"--{option}: family {name!r} has no such setting. Type: modelyard families {name}"
            )
        pairs.append(f"{shortcuts[option]}={_quoted(value)}")
    config: FamilyConfig = resolve(
        family.Config,
        ("params.yaml", read_params(params, name)),
        ("--set", parse_assignments(pairs)),
    )
    return config


def from_params(name: str, params: Path, config: FamilyConfig) -> dict[str, Any]:
    """The settings of `config` that params.yaml changes, by dotted name: not those that the command
    line changes again."""
    from modelyard.errors import UsageError
    from modelyard.settings.family import flat, read_params, resolve

    defaults = flat(type(config)().model_dump(mode="json"))
    whole = config.model_dump(mode="json")
    resolved = flat(whole)
    found = {}
    # One setting at a time: of those that the command line overrides some may no longer be valid.
    for layer in _one_by_one(read_params(params, name)):
        (setting,) = flat(layer)
        if resolved.get(setting) == defaults.get(setting):
            continue
        # Over the config it changes nothing where it stands; what the command line changed need not
        # go together with it.
        with suppress(UsageError):
            if resolve(type(config), ("config", whole), ("params.yaml", layer)) == config:
                found[setting] = resolved.get(setting)
    return found


def _one_by_one(values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each setting of a layer as one of its own."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            for inner in _one_by_one(value):
                yield {name: inner}
        else:
            yield {name: value}


def _quoted(text: str) -> str:
    """A YAML string: a column called `1` or `yes` stays a name."""
    import json

    return json.dumps(text)
