"""Packages by name and version, and which one serves: MLflow's model registry.

A reference to a package is what a person types: `tabular` (the champion), `tabular@3` (a version),
a run's id, or a folder.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict

from modelyard.errors import BrokenArtifact, UsageError, choices
from modelyard.home import home, registered_name, slug, tracking_uri
from modelyard.packages.package import signed, verify
from modelyard.registry import direct
from modelyard.registry.tracking import client, database, run_of, server
from modelyard.registry.version import CHAMPION, DIGEST, VERSION, Version
from modelyard.store import artifact
from modelyard.store.artifact import MANIFEST

if TYPE_CHECKING:
    from modelyard.stages.run import Run

AUDIT = "modelyard.champion."
"""Prefix of a registered name's tags, followed by the time: who made which version champion, and
why."""


class Champion(BaseModel):
    """The package that serves now, on this machine."""

    model_config = ConfigDict(frozen=True)

    path: Path
    version: str
    package_version: str


class Change(BaseModel):
    """The champion changed."""

    model_config = ConfigDict(frozen=True)

    when: datetime
    by: str
    before: str | None
    after: str
    back: bool
    """It went back to a version that had served before."""
    why: str


def model_name(run: Run) -> str:
    """Under which name the packages of a run are registered."""
    return registered_name(run.name, run.config.data.uri, run.config.registry.name)


def register(package: Path, run: Run) -> str:
    """Uploads a package and makes it a version; the same package is the same version however often
    it comes.

    Raises:
        BrokenArtifact: it is incomplete or was changed.
        Unavailable: the registry does not answer.
    """
    made, name = signed(package), model_name(run)
    manifest, info = made.manifest, made.info
    if (known := find(name, manifest.digest)) is not None:
        return known.version
    mlflow = client()
    run_id = run_of(mlflow, run)
    folder = f"package-{manifest.digest[:12]}"
    with server():
        _make_name(mlflow, name, info.title[:1000])
        mlflow.log_artifacts(run_id, str(package), folder)
        source = f"{mlflow.get_run(run_id).info.artifact_uri}/{folder}"
        tags = {
            DIGEST: manifest.digest,
            VERSION: info.version,
            "modelyard.run": info.run,
            "modelyard.family": info.family,
            "modelyard.metric": info.gate.metric,
            "modelyard.value": f"{info.gate.value:.6g}",
        }
        # The version last: a kill before leaves files that nothing refers to.
        version = mlflow.create_model_version(
            name, source, run_id, tags=tags, description=info.gate.reason[:1000]
        )
    return str(version.version)


def champion(name: str) -> Champion | None:
    """The champion of a registered name, its package on this machine; None where there is none
    yet."""
    version = direct.find(name, CHAMPION) or _champion_of(list_versions(name))
    if version is None:
        return None
    return Champion(
        path=fetch(version), version=version.version, package_version=version.package_version
    )


def set_champion(
    name: str, version: str, why: str = "promoted by hand", *, back: bool = False
) -> None:
    """Makes a version the champion, and notes who did so, when and why; `back` says that it was one
    before.

    Raises:
        UsageError: no such name or version.
    """
    chosen = get(slug(name), version)
    champion = _champion_of(list_versions(chosen.name))
    before = champion.version if champion else None
    with _open() as mlflow:
        # The alias first: it decides what serves. A kill in between leaves a change that nobody
        # noted, which `previous` allows for.
        mlflow.set_registered_model_alias(chosen.name, CHAMPION, chosen.version)
        if before != chosen.version:
            change = Change(
                when=datetime.now(UTC),
                by=_who(),
                before=before,
                after=chosen.version,
                back=back,
                why=why,
            )
            mlflow.set_registered_model_tag(
                chosen.name, f"{AUDIT}{change.when:%Y%m%dT%H%M%S%f}", change.model_dump_json()
            )


def changes(name: str) -> list[Change]:
    """Every change of the champion, oldest first."""
    with _open() as mlflow:
        tags = mlflow.get_registered_model(name).tags
    marks = sorted(tag for tag in tags if tag.startswith(AUDIT))
    return [Change.model_validate_json(tags[mark]) for mark in marks]


def previous(name: str, version: str) -> str | None:
    """The version that served before this one became champion; None where none did, or no one
    noted it."""
    promoted = [change for change in changes(name) if change.after == version and not change.back]
    if promoted:
        return promoted[-1].before
    return None


def _who() -> str:
    """`ada@laptop`; in a container, whose user has no name, its number."""
    known = os.environ.get("USER") or os.environ.get("LOGNAME") or str(os.getuid())
    return f"{known}@{socket.gethostname()}"


def resolve(reference: str) -> Path:
    """The package that a person means: `tabular`, `tabular@3`, a run's id, or a folder.

    Raises:
        UsageError: nothing goes by that name; it says what there is and what to type.
    """
    folder = Path(reference).expanduser()
    for place in (folder, folder / "package"):
        if (place / "package.json").is_file():
            return place
    if folder.is_absolute() or reference.startswith((".", "~")):
        raise UsageError(f"{reference} is no package: it holds no package.json. {_what_to_type()}")
    if _is_plain(reference):
        packages = sorted(home().glob(f"*/{reference}/package"))
        if packages:
            return packages[0]
    name, at, version = reference.partition("@")
    if at:
        return fetch(get(slug(name), version))
    if (found := champion(slug(name))) is not None:
        return found.path
    if versions := list_versions(slug(name)):
        numbers = ", ".join(version.version for version in versions)
        newest = versions[0].version
        raise UsageError(
            f"{name} has no champion. Versions: {numbers}. Type: modelyard promote {name}@{newest}"
        )
    raise UsageError(
        f"{choices('package', reference, names())}, a run's id, or a package's folder. {_what_to_type()}"
    )


def followed(reference: str) -> str | None:
    """The registered name whose champion a person means by `tabular` or `tabular@champion`; None for
    a version, a run or a folder, which stay what they are."""
    name, _, version = reference.partition("@")
    if version not in ("", CHAMPION) or reference.startswith((".", "~", "/")):
        return None
    for place in (Path(reference), Path(reference) / "package"):
        if (place / "package.json").is_file():
            return None
    if _is_plain(name) and list(home().glob(f"*/{name}/package")):
        return None
    return slug(name)


def _champion_of(versions: list[Version]) -> Version | None:
    for version in versions:
        if version.champion:
            return version
    return None


def names() -> list[str]:
    """All registered names."""
    if _is_empty():
        return []
    with _open() as mlflow:
        return _names(mlflow)


def list_versions(name: str) -> list[Version]:
    """All versions of a name, newest first; none where nothing was registered."""
    if _is_empty():
        return []
    with _open() as mlflow:
        if name not in _names(mlflow):
            return []
        aliases = mlflow.get_registered_model(name).aliases
        return _search(mlflow, f"name = '{name}'", aliases.get(CHAMPION))


def get(name: str, version: str) -> Version:
    """One version; `champion` stands for the one that serves.

    Raises:
        UsageError: no such name or version.
    """
    if (known := direct.find(name, version)) is not None:
        return known
    versions = list_versions(name)
    if not versions:
        raise UsageError(f"{choices('registered name', name, names())}. {_what_to_type()}")
    for registered in versions:
        is_serving = version == CHAMPION and registered.champion
        if is_serving or registered.version == version:
            return registered
    raise UsageError(
        choices(f"{name}: version", version, [registered.version for registered in versions])
    )


def find(name: str, digest: str) -> Version | None:
    """The version that holds the package with this digest; None also where MLflow is not
    installed."""
    if (known := direct.find_digest(name, digest)) is not None:
        return known
    if importlib.util.find_spec("mlflow") is None:
        return None
    # The oldest: a package that was registered twice is what it was first.
    for version in reversed(list_versions(name)):
        if version.tags.get(DIGEST) == digest:
            return version
    return None


def set_tag(version: Version, tag: str, value: str) -> None:
    """Notes something on a version."""
    with _open() as mlflow:
        mlflow.set_model_version_tag(version.name, version.version, tag, value)


def fetch(version: Version) -> Path:
    """A version's package on this machine: where the registry keeps it, or a download kept by its
    digest.

    Raises:
        BrokenArtifact: the registry's folder is gone, or what came is not what was registered.
    """
    place = urlsplit(version.source)
    if place.scheme in ("", "file"):
        folder = Path(unquote(place.path))
        if not (folder / MANIFEST).is_file():
            raise BrokenArtifact(
                f"{version.name} version {version.version}: its package is gone from {folder}"
            )
        return folder
    digest = version.tags[DIGEST]
    kept = home() / "mlflow" / "downloads" / digest[:12]
    if not (kept / MANIFEST).is_file():
        with _open() as mlflow, artifact.create(kept) as work:
            folder = Path(
                mlflow.download_artifacts(version.mlflow_run, Path(place.path).name, str(work))
            )
            # MLflow makes a folder in the one that it is given.
            for entry in folder.iterdir():
                entry.rename(work / entry.name)
            folder.rmdir()
            if verify(work).manifest.digest != digest:
                raise BrokenArtifact(
                    f"{version.name} version {version.version}: another package lies in its place"
                )
    return kept


@contextmanager
def _open() -> Iterator[Any]:
    mlflow = client()
    with server():
        yield mlflow


def _search(mlflow: Any, condition: str, serving: str | None) -> list[Version]:
    found = _all_pages(functools.partial(mlflow.search_model_versions, condition))
    # Others may have registered models of their own under the name.
    versions = [_version(registered, serving) for registered in found if DIGEST in registered.tags]
    return sorted(versions, key=lambda version: -int(version.version))


def _all_pages(search: Callable[..., Any]) -> list[Any]:
    """All that a search of MLflow finds; it answers at most 1,000 at a time."""
    found: list[Any] = []
    token = None
    while True:
        page = search(max_results=1000, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _version(registered: Any, serving: str | None) -> Version:
    return Version(
        name=registered.name,
        version=str(registered.version),
        package_version=registered.tags.get(VERSION, ""),
        source=registered.source,
        created=datetime.fromtimestamp(registered.creation_timestamp / 1000, UTC),
        tags=dict(registered.tags),
        champion=str(registered.version) == str(serving),
        mlflow_run=registered.run_id,
    )


def _make_name(mlflow: Any, name: str, description: str) -> None:
    from mlflow.exceptions import MlflowException

    if name in _names(mlflow):
        return
    try:
        mlflow.create_registered_model(name, description=description)
    except MlflowException as error:
        # Another run may have made it in this very moment.
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _names(mlflow: Any) -> list[str]:
    return [model.name for model in _all_pages(mlflow.search_registered_models)]


def _is_empty() -> bool:
    """Known without importing MLflow: on a laptop that registered nothing there is no database."""
    file = database(tracking_uri())
    return file is not None and not file.is_file()


def _is_plain(reference: str) -> bool:
    return all(character.isalnum() or character in "-_" for character in reference)


def _what_to_type() -> str:
    return "Type: modelyard run FAMILY, or modelyard runs"
