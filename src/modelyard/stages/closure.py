"""The code that an output follows from: a module, all it imports of its own kind, and the libraries
that compute.

Found by reading import statements, those within functions too, so that nothing heavy is imported to
ask. What a stage's key covers is the closure of the stage and of the family's modules that it uses:
an edit of a page, a command or another family changes no key, an edit of code that computes always
does.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

_TYPES_ONLY = re.compile(r"^if TYPE_CHECKING:\n(?:[ \t]+[^\n]*\n|\n)+", re.M)
_FROM = re.compile(
    r"^[ \t]*from[ \t]+(?P<module>\.*[\w.]*)[ \t]+import[ \t]+(?P<names>\([^)]*\)|[^\n]*)", re.M
)
_IMPORT = re.compile(r"^[ \t]*import[ \t]+(?P<names>[\w., \t]+)", re.M)
_COMMENT = re.compile(r"#[^\n]*")

ASIDE = ("modelyard.cli", "modelyard.launch", "modelyard.serving")
"""What starts, carries and answers, and decides nothing of what a stage writes."""

DISTRIBUTIONS = {"sklearn": "scikit-learn", "PIL": "pillow", "xgboost": "xgboost-cpu"}
"""Libraries whose distribution has another name than their import."""

NOT_COMPUTING = frozenset(
    {
        "dvc",
        "fsspec",
        "jinja2",
        "kfp",
        "kubernetes",
        "markupsafe",
        "matplotlib",
        "mlflow",
        "optuna",
        "psutil",
        "pydantic",
        "rich",
        "typer",
        "yaml",
    }
)
"""Libraries that show or carry results. Another version of them makes no other numbers."""


def code_digest(modules: Iterable[str]) -> str:
    """sha256 (12 digits) of the closure of `modules`: their sources, and the versions of the
    libraries they import."""
    content = hashlib.sha256()
    sources, libraries = closure(modules)
    # Each part ends with a zero byte: else two different lists of parts could read the same.
    for name, file in sorted(sources.items()):
        content.update(f"{name}\0".encode() + file.read_bytes() + b"\0")
    for library in sorted(libraries):
        content.update(f"{library}=={library_version(library)}\0".encode())
    return content.hexdigest()[:12]


def closure(modules: Iterable[str]) -> tuple[dict[str, Path], set[str]]:
    """Files by module that `modules` import, themselves included, and the computing libraries among
    their imports.

    Followed are modules of modelyard and of the packages of `modules`; a package's own `__init__`
    only where it is imported by name.
    """
    waiting = list(modules)
    own = {module.partition(".")[0] for module in waiting} | {"modelyard"}
    sources: dict[str, Path] = {}
    libraries: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module in sources or module.startswith(ASIDE):
            continue
        file = _file_of(module)
        if file is None:
            continue
        sources[module] = file
        for name in _imports(file, module):
            top = name.partition(".")[0]
            if top in own:
                waiting.append(name)
            elif top not in NOT_COMPUTING:
                libraries.add(top)
    return sources, {library for library in libraries if library_version(library)}


@functools.cache
def library_version(library: str) -> str:
    """The installed version of an imported library; empty for the standard library's and for
    what is not installed."""
    try:
        return importlib.metadata.version(DISTRIBUTIONS.get(library, library))
    except importlib.metadata.PackageNotFoundError:
        return ""


@functools.cache
def _file_of(module: str) -> Path | None:
    """The module's source, found without importing its parents' contents."""
    top, *rest = module.split(".")
    # Of the top package only: for an inner module Python would run the packages above it.
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        return None
    if spec.submodule_search_locations is None:
        if not rest:
            return Path(spec.origin)
        return None
    for folder in spec.submodule_search_locations:
        place = Path(folder).joinpath(*rest)
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if file.is_file():
                return file
    return None


@functools.cache
def _imports(file: Path, module: str) -> tuple[str, ...]:
    """Names of modules that a source imports; a name imported from a package may be one of its
    modules."""
    text = _COMMENT.sub("", _TYPES_ONLY.sub("", file.read_text()))
    return tuple(dict.fromkeys([*_imported(text), *_imported_from(text, file, module)]))


def _imported(text: str) -> Iterator[str]:
    for match in _IMPORT.finditer(text):
        for name in match["names"].split(","):
            yield name.split(" as ")[0].strip()


def _imported_from(text: str, file: Path, module: str) -> Iterator[str]:
    for match in _FROM.finditer(text):
        base = match["module"]
        if base.startswith("."):
            base = _absolute(base, module, is_package=file.name == "__init__.py")
        # Libraries are told by their top name: only in our own packages is it worth a look.
        is_walked = base.partition(".")[0] in ("modelyard", module.partition(".")[0])
        parts = match["names"].strip("()").split(",")
        names = [part.split(" as ")[0].strip() for part in parts]
        # A comma may stand behind the last one.
        names = [name for name in names if name]
        modules = 0
        for name in names:
            inner = f"{base}.{name}"
            if is_walked and name.isidentifier() and _file_of(inner) is not None:
                modules += 1
                yield inner
        # `from package import module` runs the package too, but what it says of itself is not what
        # is used.
        are_all_modules = 0 < modules == len(names)
        if not are_all_modules:
            yield base


def _absolute(relative: str, module: str, *, is_package: bool) -> str:
    name = relative.lstrip(".")
    parts = module.split(".")
    if is_package:
        parts.append("__init__")
    parents = parts[: len(parts) - (len(relative) - len(name))]
    return ".".join([*parents, name]).rstrip(".")
