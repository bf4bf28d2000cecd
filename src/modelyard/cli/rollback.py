"""rollback: the champion before this one serves again, in the registry and on the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from modelyard.registry.version import Version
    from modelyard.release.noted import Release


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(rich_help_panel="Use")(rollback)


def rollback(
    family: Annotated[
        str,
        typer.Argument(
            metavar="FAMILY", help="A family, or the name its models are registered under."
        ),
    ],
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="VERSION", help="Which version. None: the one that served before."
        ),
    ] = None,
    why: Annotated[
        str, typer.Option("--why", help="The reason, for those who look it up later.")
    ] = "by hand",
) -> None:
    """Go back to the version that served before, in the registry and in its release.

    [bold]modelyard rollback tabular --why 'approves too much'[/]
    """
    from rich.console import Console

    from modelyard.home import slug
    from modelyard.registry import versions as registry
    from modelyard.release.noted import release_of

    console, name = Console(highlight=False, soft_wrap=True), slug(family)
    now, target = _versions(name, to)
    console.print(f"serves now    {line_of(now)}")
    release = release_of(now) or release_of(target)
    if release is not None:
        # The release first: where it fails, the registry still names what serves.
        _go_back(release, target, name)
    registry.set_champion(name, target.version, why, back=True)
    console.print(f"serves again  {line_of(registry.get(name, target.version))}")
    console.print(f"to undo: [bold]modelyard rollback {name} --to {now.version}[/]", style="dim")


def _versions(name: str, to: str | None) -> tuple[Version, Version]:
    """What serves, and what shall.

    Raises:
        UsageError: there is nothing to go back to.
    """
    from modelyard.errors import UsageError
    from modelyard.registry import versions as registry

    versions = registry.list_versions(name)
    if not versions:
        registry.get(name, "champion")  # says which names there are
    now = next((version for version in versions if version.champion), None)
    there = ", ".join(version.version for version in versions)
    if now is None:
        raise UsageError(
            f"{name} has no champion to go back from. Type: modelyard promote {name}@{versions[0].version}"
        )
    wanted = to or _before(now)
    if wanted is None:
        raise UsageError(
            f"{name} version {now.version} has no predecessor that served: nothing to go back to. "
            f"Versions: {there}. Type: modelyard rollback {name} --to VERSION"
        )
    if wanted == now.version:
        raise UsageError(f"{name} version {wanted} serves already. Versions: {there}")
    return now, registry.get(name, wanted)


def _before(now: Version) -> str | None:
    """The version that served before: as the changes tell, or the deployment that made this one
    champion."""
    from modelyard.registry import versions as registry
    from modelyard.stages.deploy import DEPLOYMENT, Deployment

    noted = registry.previous(now.name, now.version)
    if noted is None and DEPLOYMENT in now.tags:
        return Deployment.model_validate_json(now.tags[DEPLOYMENT]).previous
    return noted


def _go_back(release: Release, target: Version, name: str) -> None:
    """The release serves the target's package; only then does the registry change."""
    from modelyard.registry import versions as registry
    from modelyard.release.noted import RELEASE
    from modelyard.release.release import Releaser

    settings = release.settings.model_copy(update={"namespace": release.namespace})
    releaser = Releaser(settings, typer.echo)
    made = releaser.back_to(registry.fetch(target), name)
    registry.set_tag(target, RELEASE, made.model_dump_json())
    typer.echo(f"release       {made.called} revision {made.revision}, {made.uri}")


def line_of(version: Version) -> str:
    """A version for people."""
    metric = version.tags.get("modelyard.metric", "metric")
    value = version.tags.get("modelyard.value", "?")
    called = f"{version.name} version {version.version}"
    return f"{called}, package {version.package_version}, {metric} {value}"
