"""Where a cluster's pods fetch packages from: `<base>/<name>/<digest>/`, whole or not at all.

The manifest is written last: a folder without one is no package, and every file's sum stands in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from modelyard.errors import BrokenArtifact, MissingExtra, ModelyardError, Unavailable, UsageError
from modelyard.packages.package import verify
from modelyard.store import artifact
from modelyard.store.artifact import MANIFEST, SIGNATURE
from modelyard.store.uploads import differing, put


def publish(package: Path, base: str | None, name: str) -> str:
    """Copies a package below `base`; returns its URI. One that is there, whole, stays.

    Raises:
        UsageError: no base is set, or no right to write there; Unavailable: the store does not
            answer; BrokenArtifact: not all of it arrived.
    """
    if not base:
        raise UsageError(
            "a release needs a place from which its pods fetch the package. Type: --set serve.packages=s3://BUCKET"
        )
    manifest = verify(package).manifest
    uri = f"{base.rstrip('/')}/{name}/{manifest.digest}"
    fs, root = _open(uri)
    try:
        _upload(fs, root, package, manifest)
    except ModelyardError:
        raise
    except PermissionError as error:
        raise UsageError(
            f"{uri}: no permission ({error}). Check serve.packages and its credentials"
        ) from None
    except Exception as error:  # every store has its own exceptions
        raise Unavailable(
            f"{uri}: {type(error).__name__}: {error}. Check serve.packages"
        ) from error
    return uri


def read_values(uri: str | None) -> dict[str, Any]:
    """The values of a release from a YAML file or URI; none for None.

    Raises:
        UsageError: nothing is there, or it holds no mapping.
    """
    if uri is None:
        return {}
    fs, path = _open(uri)
    try:
        values = yaml.safe_load(fs.cat_file(path))
    except FileNotFoundError:
        raise UsageError(f"serve.values_file {uri}: there is no such file") from None
    except yaml.YAMLError as error:
        raise UsageError(f"serve.values_file {uri} is not YAML: {error}") from None
    if not isinstance(values, dict):
        raise UsageError(
            f"serve.values_file {uri} must hold names with values, seen {type(values).__name__}"
        )
    return values


def _upload(fs: Any, root: str, package: Path, manifest: artifact.Manifest) -> None:
    there = f"{root}/{MANIFEST}"
    names = sorted(manifest.files)
    own = [MANIFEST]
    if (package / SIGNATURE).is_file():
        names.append(SIGNATURE)
        own.append(SIGNATURE)
    sizes = {name: (package / name).stat().st_size for name in names}
    # The manifest is compared by content: it holds the sum of every other file.
    is_whole = not differing(fs, root, sizes)
    if is_whole and all(_is_same(fs, root, package, name) for name in own):
        return
    # Without its manifest it is no package while files are replaced.
    if fs.exists(there):
        fs.rm_file(there)
    put(fs, root, {name: package / name for name in names})
    wrong = differing(fs, root, sizes)
    if wrong:
        raise BrokenArtifact(
            f"{root}/{wrong[0]} did not arrive whole ({len(wrong)} files differ). Run the step again"
        )
    fs.pipe_file(there, (package / MANIFEST).read_bytes())


def _is_same(fs: Any, root: str, package: Path, name: str) -> bool:
    there = f"{root}/{name}"
    return bool(fs.exists(there) and fs.cat_file(there) == (package / name).read_bytes())


def _open(uri: str) -> tuple[Any, str]:
    import fsspec

    try:
        fs, root = fsspec.core.url_to_fs(uri)
    except ImportError:
        raise MissingExtra(uri, "data") from None
    except ValueError as error:
        raise UsageError(
            f"{uri}: {error}. Known: s3://, gs://, abfs://, file://, or a path"
        ) from None
    return fs, str(root).rstrip("/")
