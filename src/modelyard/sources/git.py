"""Data at a revision of a Git repository, in Git itself or tracked by DVC.

Git finds the revision; DVC reads the files, from its cache or remote where Git holds only their
record.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib.util
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.credentials import redact
from modelyard.errors import BadData, MissingExtra, ModelyardError, Unavailable, UsageError
from modelyard.settings.uri import GitAddress
from modelyard.sources.gitcommand import GitError, explained, git
from modelyard.sources.transfer import Destination, Entry, FileInfo, copy_all, wanted

Files = dict[str, FileInfo]


@dataclass(frozen=True)
class Checkout:
    """A repository at a commit."""

    label: str
    """What the person calls it."""
    root: Path
    commit: str
    """40 hexadecimal digits."""
    clone: bool
    """Its work tree is ours and stands at the commit; else files are read from Git's objects."""


def fetch_git(address: GitAddress, rev: str | None, target: Destination) -> tuple[Files, str]:
    """Fetches a path of a repository elsewhere. Returns the files and the commit.

    Raises:
        UsageError: no such repository, revision or path, or no access; Unavailable: it doesn't
        answer.
    """
    folder = Path(address.url.removeprefix("file://"))
    # A work tree on this machine: its DVC cache may hold what no remote has.
    if address.url.startswith("file://") and (folder / ".git").exists():
        return fetch_local_git(folder / address.path, rev or "HEAD", target)
    with _cloned(address.url, rev) as checkout:
        return _fetch(checkout, address.path, target), checkout.commit


def fetch_local_git(path: Path, rev: str, target: Destination) -> tuple[Files, str]:
    """Fetches what a local path was at a revision of the repository it lies in, whatever the
    work tree holds."""
    path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow a tracked link
    near = next(parent for parent in path.parents if parent.is_dir())
    try:
        root = Path(git("-C", str(near), "rev-parse", "--show-toplevel"))
    except GitError as error:
        if "not a git repository" not in str(error):
            raise explained(str(path), error) from None
        raise UsageError(
            f"data.rev {rev!r}: {path} lies in no Git repository. Leave data.rev out"
        ) from None
    inside = (near.resolve() / path.relative_to(near)).relative_to(root.resolve()).as_posix()
    checkout = Checkout(str(root), root, resolve(root, rev, str(root)), clone=False)
    return _fetch(checkout, inside, target), checkout.commit


@contextmanager
def _cloned(url: str, rev: str | None) -> Iterator[Checkout]:
    label = redact(url)
    with tempfile.TemporaryDirectory(prefix="modelyard-git-", ignore_cleanup_errors=True) as folder:
        root = Path(folder) / "repository"
        try:
            # All commits and names, so that any revision resolves; contents only of the one checked
            # out.
            git("clone", "--quiet", "--no-checkout", "--filter=blob:none", "--", url, str(root))
            commit = resolve(root, rev or "HEAD", label)
            git("-C", str(root), "checkout", "--quiet", "--detach", commit)
        except GitError as error:
            raise explained(label, error) from None
        yield Checkout(label, root, commit, clone=True)


def resolve(root: Path, rev: str, label: str) -> str:
    """The commit that a branch, tag or commit names; a branch of the origin counts."""
    for name in (rev, f"refs/remotes/origin/{rev}"):
        try:
            # An annotated tag is an object of its own; `^{commit}` is what it points to.
            commit = name + "^{commit}"
            return git(
                "-C", str(root), "rev-parse", "--verify", "--quiet", "--end-of-options", commit
            )
        except GitError:
            continue
    names = _names(root)
    near = difflib.get_close_matches(rev, names, n=5, cutoff=0.4) or names[:5]
    hint = "The repository has no branch and no tag"
    if near:
        hint = f"Near: {', '.join(near)}"
    raise UsageError(f"data.rev {rev!r} is no branch, tag or commit of {label}. {hint}")


def _names(root: Path) -> list[str]:
    """Branches and tags, the newest first."""
    order = ("--sort=-creatordate", "--format=%(refname)")
    kinds = ("refs/heads", "refs/tags", "refs/remotes")  # not refs/stash, refs/notes
    listing = git("-C", str(root), "for-each-ref", *order, *kinds)
    names: dict[str, None] = {}
    for reference in listing.splitlines():
        name = reference.split("/", 2)[2].removeprefix("origin/")  # refs/remotes/origin/main
        if name != "HEAD":
            names[name] = None
    return list(names)


def _fetch(checkout: Checkout, path: str, target: Destination) -> Files:
    if importlib.util.find_spec("dvc") is None:
        raise MissingExtra("data from a Git repository", "data")
    where = f"{path!r} in {checkout.label} at {checkout.commit[:7]}"
    if path.endswith(".dvc"):
        raise UsageError(f"{where} is DVC's record. Name the data: {path.removesuffix('.dvc')!r}")
    from dvc.api import DVCFileSystem

    rev = None if checkout.clone else checkout.commit
    # `subrepos`: a DVC project may lie in a folder of the repository.
    fs = DVCFileSystem(repo=str(checkout.root), rev=rev, subrepos=True)
    with _explaining(where, absent=f"no {where}"):
        entries = _entries(fs, "/" + path, where)
    with _explaining(where, absent=_lost(where)):
        return copy_all(entries, target)


@contextmanager
def _explaining(where: str, absent: str) -> Iterator[None]:
    try:
        yield
    except ModelyardError:
        raise
    except FileNotFoundError:
        raise UsageError(absent) from None
    except Exception as error:  # DVC passes on what each store's own library raises
        # DVC wraps the error of the store, which knows that nothing is there.
        if isinstance(error.__cause__, FileNotFoundError):
            raise UsageError(_lost(where)) from None
        lines = str(error.__cause__ or error).strip().splitlines() or ["no message"]
        raise Unavailable(
            f"{where}: DVC could not read it: {type(error).__name__}: {redact(lines[0])[:200]}"
        ) from error


def _lost(where: str) -> str:
    return f"{where} is tracked by DVC, but neither its cache nor its remote has it. Type there: dvc push"


def _entries(fs: Any, root: str, where: str) -> list[Entry]:
    infos: dict[str, dict[str, Any]] = fs.find(root, detail=True)
    if not infos:
        # Raises FileNotFoundError where there is no such path at all.
        fs.info(root)
        raise BadData("the folder holds no files", file=where)
    entries = []
    for path, info in infos.items():
        # A file that was named itself has no name below it.
        name = path[len(root) + 1 :] or path.rpartition("/")[2]
        if wanted(name):
            size = int(info.get("size") or 0)
            entries.append(Entry(name, size, functools.partial(_open, fs, path, info)))
    return entries


def _open(fs: Any, path: str, info: dict[str, Any]) -> Any:
    """A file of DVC's file system, from its cache or remote at once: DVC's own way first asks the
    repository, and the stores whether they have it, which for a small file takes longest."""
    entry = info.get("dvc_info", {}).get("entry")
    if entry is not None and "fs_info" not in info:
        # None of it is in DVC's public interface: where another version has it elsewhere, its own way
        # still works.
        with contextlib.suppress(AttributeError, KeyError):
            storages = info["repo"].index.data["repo"].storage_map[entry.key]
            for storage in (storages.cache, storages.remote):
                place = storage.get(entry) if storage else None
                if place is not None:
                    store, where = place
                    with contextlib.suppress(FileNotFoundError):
                        return store.open(where, "rb")
    return fs.open(path, "rb")
