"""Data behind an fsspec URI: `s3://`, `gs://`, `https://`, `memory://`, …"""

from __future__ import annotations

import functools
import posixpath
from typing import Any
from urllib.parse import unquote, urlsplit

from modelyard.errors import BadData, MissingExtra, ModelyardError, Unavailable, UsageError, choices
from modelyard.sources.transfer import Destination, Entry, FileInfo, copy_all, wanted

THREADS = 32
"""Objects that are fetched at once: each waits for the store."""
_NO_CREDENTIALS = ("NoCredentialsError", "DefaultCredentialsError", "ClientAuthenticationError")


def fetch_remote(uri: str, target: Destination) -> dict[str, FileInfo]:
    """Downloads an object, or all objects below a prefix.

    Raises:
        UsageError: unknown scheme, nothing there, no permission; MissingExtra: its package is
            missing; Unavailable: the store doesn't answer.
    """
    fs, root = open_store(uri)
    try:
        return copy_all(_entries(fs, root, uri), target, THREADS)
    except ModelyardError:
        raise
    except FileNotFoundError as error:
        if isinstance(error.__cause__, OSError):  # how fsspec's http tells that no one answers
            raise Unavailable(
                f"data.uri {uri!r} does not answer: {describe(error.__cause__)}"
            ) from error
        raise UsageError(f"data.uri {uri!r}: nothing is there") from None
    except PermissionError as error:
        raise UsageError(
            f"data.uri {uri!r}: no permission ({describe(error)}). {_credentials(uri)}"
        ) from None
    except Exception as error:  # every store has its own exceptions
        if type(error).__name__ in _NO_CREDENTIALS:
            raise UsageError(f"data.uri {uri!r}: no credentials. {_credentials(uri)}") from error
        raise Unavailable(f"data.uri {uri!r}: {type(error).__name__}: {describe(error)}") from error


def listing(uri: str) -> dict[str, dict[str, Any]]:
    """What the store says of an object, or of all below a prefix, by path; empty when it does
    not say."""
    try:
        fs, root = open_store(uri)
        # A web server has no listing: the page is the object.
        if urlsplit(uri).scheme in ("http", "https"):
            return {root: fs.info(root)}
        found: dict[str, dict[str, Any]] = fs.find(root, detail=True)
    except ModelyardError:
        raise
    except Exception as error:  # every store has its own exceptions
        raise Unavailable(f"data.uri {uri!r}: {type(error).__name__}: {describe(error)}") from error
    return found


def open_store(uri: str) -> tuple[Any, str]:
    """The store behind a URI, and the path in it.

    Raises:
        UsageError: an unknown scheme; MissingExtra: its package is missing.
    """
    import fsspec

    scheme = uri.partition("://")[0]
    try:
        fs, root = fsspec.core.url_to_fs(uri, **_options(scheme))
    except ImportError as error:
        if scheme in ("s3", "s3a"):
            raise MissingExtra(f"data.uri {scheme}://", "data") from error
        raise UsageError(
            f"data.uri {scheme}:// needs a package of its own: {describe(error)}"
        ) from error
    except ValueError:
        known = ["s3", "gs", "abfs", "http", "https", "memory", "file", "git+https"]
        raise UsageError(f"data.uri {uri!r}: {choices('scheme', scheme, known)}") from None
    fs.invalidate_cache()  # a listing that this process made earlier may be old
    return fs, str(root)


def _options(scheme: str) -> dict[str, Any]:
    """As many connections as objects are fetched at once: by itself botocore has ten."""
    import fsspec

    if scheme not in ("s3", "s3a"):
        return {}
    own = fsspec.config.conf.get(scheme, {}).get("config_kwargs", {})
    return {"config_kwargs": {"max_pool_connections": THREADS, **own}}


def _entries(fs: Any, root: str, uri: str) -> list[Entry]:
    if urlsplit(uri).scheme in ("http", "https"):
        name = posixpath.basename(unquote(urlsplit(uri).path)) or "data"
        return [_entry(fs, root, name, fs.info(root))]
    found: dict[str, dict[str, Any]] = fs.find(root, detail=True)
    # An object whose name ends in a slash is how a console draws an empty folder.
    infos = {path: info for path, info in found.items() if not path.endswith("/")}
    if not infos:
        if fs.exists(root):
            raise BadData("the folder holds no files", file=uri)
        raise FileNotFoundError(root)
    base = root.rstrip("/")
    entries = []
    for path, info in infos.items():
        # An object that was named itself has no name below it.
        name = path[len(base) :].lstrip("/") or posixpath.basename(path)
        if wanted(name):
            entries.append(_entry(fs, path, name, info))
    return entries


def _entry(fs: Any, path: str, name: str, info: dict[str, Any]) -> Entry:
    size = int(info.get("size") or 0)
    # One request, where opening makes two.
    read = functools.partial(fs.cat_file, path)
    return Entry(name, size, functools.partial(fs.open, path, "rb"), read)


def _credentials(uri: str) -> str:
    if uri.startswith("s3"):
        return "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL for MinIO and the like"
    return "Set the store's own environment variables: see docs/data.md"


def describe(error: BaseException) -> str:
    """The first line of an error's own words, or its kind where it has none."""
    return (str(error) or type(error).__name__).strip().splitlines()[0][:200]
