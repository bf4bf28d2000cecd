"""The commands that README, docs and messages tell people to type."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from modelyard.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        ROOT / "README.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "charts").glob("*/README.md"),
        *(ROOT / "src").rglob("README.md"),
    ]
)
MISUSED = typer.BadParameter.__base__
"""What Typer raises for an option or argument that it does not know."""

_HINT = re.compile(r"\bmodelyard ([a-z-]+)([^.;:\n]*)")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


@dataclass(frozen=True)
class Documented:
    """One command line of a page."""

    page: Path
    line: int
    words: list[str]
    """Without `modelyard` itself."""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}: modelyard {shlex.join(self.words)}"


def on_page(page: Path) -> Iterator[Documented]:
    """The lines of code blocks that begin with `modelyard`, with or without a prompt."""
    within = False
    text = page.read_text(encoding="utf-8").replace("\\\n", " \x00")
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip().startswith("```"):
            within = not within
            continue
        typed = line.replace("\x00", "").strip().removeprefix("$ ")
        if within and typed.startswith("modelyard "):
            yield Documented(page, number, shlex.split(typed, comments=True)[1:])


def commands() -> dict[str, Any]:
    """Typer's commands by name."""
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    return dict(root.commands)


def parsed(words: list[str]) -> dict[str, Any]:
    """The command's arguments as the command line reads them; nothing runs.

    Raises:
        KeyError: no such command.
        MISUSED: the command does not know them.
    """
    context = commands()[words[0]].make_context(words[0], list(words[1:]))
    params: dict[str, Any] = context.params
    return params


def hints() -> Iterator[tuple[str, str, list[str]]]:
    """Where a message of the source names a command, which, and the options behind it."""
    for file in sorted((ROOT / "src").rglob("*.py")):
        for text in _texts(ast.parse(file.read_text(encoding="utf-8"))):
            for command, rest in _HINT.findall(text):
                yield str(file.relative_to(ROOT)), command, _OPTION.findall(rest)


def _texts(tree: ast.Module) -> Iterator[str]:
    """Strings of the source, with X for what an f-string fills in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
