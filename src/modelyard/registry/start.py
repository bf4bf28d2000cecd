"""Brings the model that a run starts from: a champion, a package or a model folder, here or
behind a URI."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.errors import Unavailable, UsageError
from modelyard.home import home
from modelyard.settings.continual import CHAMPION
from modelyard.store import artifact
from modelyard.store.artifact import MANIFEST, Manifest
from modelyard.store.base import CARRIED, FOLDER, RECORD, WEIGHTS, Base, carry

if TYPE_CHECKING:
    from modelyard.stages.run import Run

START = "continual.start"


def digest(run: Run) -> str:
    """Digest of the model that the run starts from, empty without one: part of the features'
    key."""
    found = located(run, run.config.continual.start, START)
    if found is not None:
        return artifact.read_manifest(found).digest
    return ""


def bring(run: Run, features: Path) -> Base | None:
    """Brings the model that the run starts from into `features/base`; None where the run starts
    from scratch.

    Raises:
        UsageError: nothing is there, it is of another family, or it carries no weights.
        BrokenArtifact: it is incomplete or was changed. Unavailable: its store does not answer.
    """
    found = located(run, run.config.continual.start, START)
    if found is None:
        return None
    manifest = artifact.verify(found)
    _check(run, found, manifest)
    package = manifest.kind == "package"
    into = Path(features) / FOLDER
    carry(found / CARRIED if package else found, into)
    shutil.copytree(found / "assets", into / "assets")
    base = Base(
        start=str(run.config.continual.start),
        version=_version(found, manifest),
        digest=manifest.digest,
        run=manifest.run,
    )
    artifact.write_json(into / RECORD, base)
    return base


def _check(run: Run, found: Path, manifest: Manifest) -> None:
    start = f"continual.start = {run.config.continual.start!r}"
    if manifest.kind not in ("package", "model"):
        raise UsageError(f"{start} is a {manifest.kind}. Give a package, or a model's folder")
    if manifest.family != run.name:
        raise UsageError(f"{start} is of family {manifest.family!r}, and this run of {run.name!r}")
    if manifest.kind == "package" and f"{CARRIED}/{WEIGHTS}" not in manifest.files:
        raise UsageError(
            f"{start}: package {_version(found, manifest)} has no weights to start from. Build one that has: "
            "--set continual.start=null --set continual.keep=true, or --set continual.memory=300"
        )
    if manifest.kind == "model" and WEIGHTS not in manifest.files:
        raise UsageError(f"{start} holds no {WEIGHTS}: a model of this kind cannot be trained on")


def _version(found: Path, manifest: Manifest) -> str:
    if manifest.kind != "package":
        return manifest.digest[:12]
    from modelyard.packages.package import read_info

    return read_info(found).version


def located(run: Run, reference: str | None, setting: str) -> Path | None:
    """The folder of the package or model that a setting names, on this machine; None where it names
    none, or a champion that is not there yet."""
    from modelyard.registry import versions as registry

    if reference is None:
        return None
    if reference == CHAMPION:
        champion = registry.champion(registry.model_name(run))
        if champion is not None:
            return champion.path
        return None
    if "://" in reference:
        return _downloaded(reference, setting)
    folder = Path(reference).expanduser()
    if (folder / MANIFEST).is_file():
        return folder
    return registry.resolve(reference)


def _downloaded(uri: str, setting: str) -> Path:
    """A package or model behind an fsspec URI, kept in the home folder by its digest."""
    import fsspec

    try:
        files, root = fsspec.core.url_to_fs(uri)
        files.invalidate_cache()
        with files.open(f"{root}/{MANIFEST}", "rb") as stream:
            text = stream.read(artifact.MANIFEST_BYTES).decode()
        # The manifest says which package it is: one that was downloaded before is not downloaded
        # again.
        manifest = artifact.parse_manifest(text, f"{uri}/{MANIFEST}")
        kept = home() / "bases" / manifest.digest[:12]
        if not (kept / MANIFEST).is_file():
            with artifact.create(kept) as work:
                _download(files, root, list(manifest.files), work)
                artifact.write_text(work / MANIFEST, text)
                # Before the folder gets its name: what did not arrive whole is never found there.
                artifact.verify(work)
    except FileNotFoundError:
        raise UsageError(
            f"{setting} = {uri!r}: no package or model is there (no {MANIFEST})"
        ) from None
    except (ImportError, ValueError) as error:
        raise UsageError(f"{setting} = {uri!r}: {error}") from None
    except OSError as error:
        raise Unavailable(f"{setting} = {uri!r}: {type(error).__name__}: {error}") from None
    return kept


def _download(files: Any, root: str, names: list[str], into: Path) -> None:
    for name in names:
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        files.get_file(f"{root}/{name}", str(target))
