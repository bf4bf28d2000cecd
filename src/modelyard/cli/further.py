"""`modelyard export PACKAGE --variant NAME`: further variants of a package that exists."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from modelyard.errors import UsageError

console = Console(highlight=False)

Subject = Annotated[
    str,
    typer.Argument(
        metavar="FAMILY|PACKAGE",
        help="For the stage a family; with --variant a package's folder or a run's id.",
        show_default=False,
    ),
]
Names = Annotated[
    list[str] | None,
    typer.Option(
        "--variant",
        help="Make this variant of the PACKAGE, such as onnx-int8. May be repeated.",
    ),
]
Into = Annotated[
    Path | None,
    typer.Option("--into", help="With --variant: folder to write. None: the package itself."),
]


def with_variants(stage: Any) -> Any:
    """The stage's command, which with --variant makes further variants of a package instead."""

    def command(**values: Any) -> None:
        names, into = values.pop("variant"), values.pop("into")
        if names:
            add(values["family"], names, values["features"], into, values["settings"])
            return
        # Typer makes what the stage requires optional here, so the requirement is checked by hand.
        missing = [f"--{name}" for name in ("features", "model", "graphs") if values[name] is None]
        if missing:
            raise UsageError(
                f"export needs {', '.join(missing)}: the stage's folders. "
                "For further variants of a package type: modelyard export PACKAGE --variant onnx-int8"
            )
        stage(**values)

    paragraphs = [stage.__doc__, "With --variant: makes further variants of a package."]
    command.__doc__ = "\n\n".join(paragraphs)
    parameters = [_optional(one) for one in stage.__signature__.parameters.values()]
    for name, annotation in (("variant", Names), ("into", Into)):
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter(name, kind, default=None, annotation=annotation))
    # Typer reads a command's options off its signature and annotations.
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


def add(
    reference: str, names: list[str], features: Path | None, into: Path | None, pairs: Any
) -> None:
    """Makes variants of a package, and shows its table."""
    from modelyard.cli import options
    from modelyard.cli.compiled import show_variants
    from modelyard.judging.evaluation import Evaluation
    from modelyard.packages.package import EVALUATION, verify
    from modelyard.packages.trust import Trust
    from modelyard.registry.versions import resolve
    from modelyard.settings.family import parse_assignments
    from modelyard.settings.family import resolve as resolve_settings
    from modelyard.stages.further import add_variants
    from modelyard.stages.run import Run

    path = resolve(reference).resolve()
    package = verify(path)
    if into is None and not _is_own(reference, package.info.run):
        raise UsageError(
            f"{reference} is a registered version, which stays as it is. Give --into FOLDER, or a run's id"
        )
    family = Trust.from_environment().family(package.info.family)
    options.entry(package.info.family)
    wanted = {"export": {"variants": list(names)}}
    given = parse_assignments(pairs or [])
    if others := sorted(set(given) - {"export"}):
        raise UsageError(f"--set {others[0]}: of a finished package only export.… can be set")
    layers = (("config", package.info.config), ("--set", given), ("config", wanted))
    config = resolve_settings(family.Config, *layers)  # type: ignore[arg-type]
    run = Run.of(package.info.family, config.model_dump(mode="json"), id=package.info.run)
    target = path if into is None else into
    info = add_variants(run, package, features or _features_of(path, package.info.run), target)
    unit = Evaluation.model_validate_json((target / EVALUATION).read_text()).unit
    show_variants(console, info, unit)
    console.print(
        f"[green]✓[/] {info.version}, {info.chosen.name} serves: {target}", soft_wrap=True
    )


def _is_own(reference: str, run: str) -> bool:
    """Whether it names a folder or a run, not what a registry holds."""
    return Path(reference).expanduser().exists() or reference == run


def _features_of(package: Path, run: str) -> Path:
    """Those of the run that made the package.

    Raises:
        UsageError: they are not here.
    """
    from modelyard.pipeline.local import find_run

    if (package.parent / "features" / "manifest.json").is_file():
        return package.parent / "features"
    try:
        found = find_run(run).outputs().get("features")
    except UsageError:
        found = None
    if found is None:
        raise UsageError(
            f"the features of run {run} are not here. Variants are judged on its validation split: "
            "give their folder with --features"
        )
    return found


def _optional(parameter: inspect.Parameter) -> inspect.Parameter:
    """A folder of the stage may be left out; the first argument may be a package."""
    if parameter.name == "family":
        return parameter.replace(annotation=Subject)
    if parameter.default is not inspect.Parameter.empty:
        return parameter
    metadata = parameter.annotation.__metadata__
    return parameter.replace(default=None, annotation=Annotated[Path | None, *metadata])
