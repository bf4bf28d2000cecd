"""Tables for people: the families, and a family's settings."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from modelyard.cli.options import entry
from modelyard.family import load, names
from modelyard.settings.listing import settings_of, usual

console = Console(highlight=False)


def families_table() -> None:
    """The families that come with modelyard."""
    table = Table()
    table.add_column("family", style="bold")
    table.add_column("what")
    for name in names():
        table.add_row(name, title_of(name))
    console.print(table)
    console.print(
        "settings: [bold]modelyard families NAME[/]    your own: [bold]modelyard new NAME[/]"
    )


def title_of(name: str) -> str:
    """The title of a family of ours, read from its source: to import it builds its config, which
    takes ten milliseconds each."""
    spec = importlib.util.find_spec(f"modelyard.families.{name}")
    source = ""
    if spec is not None and spec.origin:
        source = Path(spec.origin).read_text()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id="Entry"), args=[ast.Constant(value=str(title)), *_]):
                return title
    # An entry of another form, or one that computes its title.
    return load(name).title


def settings_table(name: str, everything: bool) -> None:
    """A family's own settings and the others that people change, or all: name, default, meaning."""
    family = entry(name)
    every = settings_of(family.Config)
    shown = every if everything else usual(every)
    table = Table(title=f"{name}: {family.title}", title_justify="left", show_lines=False)
    table.add_column("setting", no_wrap=True, style="bold")
    table.add_column("default")
    table.add_column("meaning")
    for setting in shown:
        table.add_row(setting.name, escape(setting.default), escape(setting.meaning))
    console.print(table)
    if len(shown) < len(every):
        console.print(f"{len(every) - len(shown)} more: [bold]modelyard families {name} --all[/]")
    console.print(f"change one: [bold]modelyard run {name} --set NAME=VALUE[/]")
