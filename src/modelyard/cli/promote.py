"""promote: a registered version becomes the champion by hand, in the registry and on the
cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from modelyard.cli.rollback import line_of

if TYPE_CHECKING:
    from modelyard.registry.version import Version
    from modelyard.release.noted import Release


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(rich_help_panel="Use")(promote)


def promote(
    package: Annotated[str, typer.Argument(metavar="FAMILY@VERSION", show_default=False)],
) -> None:
    """Make a registered version the champion by hand.

    Where a release serves the model, it becomes the champion once it serves there.

    [bold]modelyard promote tabular@3[/]
    """
    from rich.console import Console

    from modelyard.errors import UsageError
    from modelyard.home import slug
    from modelyard.registry import versions as registry
    from modelyard.release.noted import serving_release

    name, at, version = package.partition("@")
    if not at or not version:
        raise UsageError(f"{package!r} names no version. Type: modelyard promote tabular@3")
    target = registry.get(slug(name), version)
    if (release := serving_release(target.name)) is not None:
        _bring(release, target)
    registry.set_champion(target.name, target.version)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{line_of(registry.get(target.name, target.version))} is champion")


def _bring(release: Release, target: Version) -> None:
    """The release serves the version, as a deploy brings it; only then does the registry
    change.

    Raises:
        ModelyardError: it does not serve there; what served before does so again.
    """
    from modelyard.errors import ModelyardError
    from modelyard.registry import versions as registry
    from modelyard.release.noted import FAILED, RELEASE, disagreement
    from modelyard.release.release import Releaser

    settings = release.settings.model_copy(update={"namespace": release.namespace})
    releaser = Releaser(settings, typer.echo)
    # What a deploy left half done goes first: helm refuses an upgrade of a release that is locked.
    releaser.mend()
    if differs := disagreement(target.name, releaser.called, releaser.serves()):
        typer.echo(differs)
    try:
        made = releaser.bring(registry.fetch(target), target.name)
    except ModelyardError as error:
        registry.set_tag(target, FAILED, str(error)[:4000])
        raise
    registry.set_tag(target, RELEASE, made.model_dump_json())
