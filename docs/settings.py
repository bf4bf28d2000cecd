"""Writes docs/settings.md from the models of the settings: `make docs`."""

from __future__ import annotations

from pathlib import Path

from modelyard.family import load, names
from modelyard.settings.listing import OWN, markdown, settings_of, shared

PAGE = Path(__file__).with_name("settings.md")
INTRODUCTION = """# Settings

Written from the code by `make docs`. A setting is changed by `--set NAME=VALUE`, or in a block of its family in
`params.yaml`. `modelyard families NAME` shows a family's own and the few others that people change.
"""


def page() -> str:
    """The page: what all families have, then what each has of its own."""
    parts = [INTRODUCTION, "## All families\n", markdown(shared()), ""]
    common = {(one.name, one.default) for one in shared()}
    for name in names():
        entry = load(name)
        settings = settings_of(entry.Config)
        own = [
            one
            for one in settings
            if one.name.startswith(OWN) or (one.name, one.default) not in common
        ]
        parts += [
            f"## `{name}`\n",
            f"{entry.title[0].upper()}{entry.title[1:]}.\n",
            markdown(own),
            "",
        ]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
