"""The command line: `modelyard`. Imports late, so that help answers at once."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line; a ModelyardError becomes one line and exit code 2."""
    from modelyard.cli.app import app
    from modelyard.errors import ModelyardError

    try:
        app()
    except ModelyardError as error:
        from rich.console import Console

        Console(stderr=True, soft_wrap=True, highlight=False).print(
            f"[bold red]error:[/] {_escape(str(error))}"
        )
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
