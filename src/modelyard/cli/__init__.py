"""The command line: `modelyard`. Imports late, so that help answers at once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from modelyard.errors import ModelyardError


def main() -> None:
    """Runs the command line; a ModelyardError, and what the machine refuses, becomes one line and
    exit code 2."""
    from modelyard.cli.app import app
    from modelyard.errors import ModelyardError, refusal

    try:
        app()
    except ModelyardError as error:
        _fail(error)
    except OSError as error:
        refused = refusal(error)
        if refused is None:
            raise
        _fail(refused)
    except KeyboardInterrupt:
        # 128 and SIGINT's number, as shells report a program that Ctrl-C ended.
        sys.exit(130)


def _fail(error: ModelyardError) -> NoReturn:
    from rich.console import Console

    Console(stderr=True, soft_wrap=True, highlight=False).print(
        f"[bold red]error:[/] {_escape(str(error))}"
    )
    sys.exit(error.exit_code)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
