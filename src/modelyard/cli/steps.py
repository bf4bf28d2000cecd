"""Every stage as a command, made from the stage's own signature."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Annotated, Any

import typer

from modelyard.cli.further import with_variants
from modelyard.cli.options import PARAMS, FamilyName, Params, Set

STAGES = ("ingest", "features", "train", "evaluate", "export", "package", "deploy")
FOLDER = Path(__file__).resolve().parents[1] / "stages"


def register(app: typer.Typer) -> None:
    """Adds the stages. Their source is parsed, not imported, so that help answers at once."""
    for name in STAGES:
        command = _command(name)
        if name == "export":
            command = with_variants(command)
        app.command(name, rich_help_panel="Stages, one by one")(command)


def _command(name: str) -> Any:
    function = _definition(name)
    paragraphs = (ast.get_docstring(function) or "").split("\n\n")
    help_text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)

    def command(**values: Any) -> None:
        from modelyard.cli.execute import run_stage

        run_stage(name, values)

    command.__doc__ = help_text
    command.__signature__ = inspect.Signature(_parameters(function))  # type: ignore[attr-defined]
    annotations = {}
    for parameter in _parameters(function):
        annotations[parameter.name] = parameter.annotation
    command.__annotations__ = annotations
    return command


def _definition(name: str) -> ast.FunctionDef:
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {function.name: function for function in functions}[name]


def _parameters(function: ast.FunctionDef) -> list[inspect.Parameter]:
    # Without `run`, a stage's first argument.
    arguments = function.args.args[1:]
    required = len(arguments) - len(function.args.defaults)
    parameters = [_parameter("family", FamilyName)]
    for number, argument in enumerate(arguments):
        annotation = ast.unparse(argument.annotation) if argument.annotation else ""
        words = "Folder to write" if annotation.startswith("Out") else "Folder to read"
        option = typer.Option(
            f"--{argument.arg}", help=f"{words}: the {argument.arg}.", show_default=False
        )
        if number < required:
            parameters.append(_parameter(argument.arg, Annotated[Path, option]))
        else:
            parameters.append(_parameter(argument.arg, Annotated[Path | None, option], None))
    parameters.append(_parameter("settings", Set, None))
    parameters.append(_parameter("params", Params, PARAMS))
    return parameters


def _parameter(
    name: str, annotation: Any, default: Any = inspect.Parameter.empty
) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )
