"""Skeletons of a new family: small torch models that run, and keep the contract, as they are
written."""

from __future__ import annotations

import importlib.util
import keyword
import re
from pathlib import Path
from string import Template

from modelyard import __version__, families
from modelyard.errors import UsageError
from modelyard.family import names
from modelyard.store import artifact

SUFFIX = ".tmpl"
FAMILY, CLASSIFIER, IMAGE = "template", "classifier", "image"
"""Folders of templates: of a family, of one on the kit's classifier of files, and of what makes its
image."""


def create(name: str, into: Path, classifier: bool = False) -> list[Path]:
    """Writes the family `name` to the folder `into / name`, whole or not at all; returns its files.
    Of numbers in a table, or a `classifier` of files.

    Inside `modelyard/families` it is found by its name, elsewhere as `name:Entry` with `into` on
    the Python path.

    Raises:
        UsageError: not a usable name, a taken one, or something is there already. Nothing is
        overwritten.
    """
    folder = Path(into) / name
    _check(name, folder)
    family = family_name(name, into)
    texts = render(name, family)
    if classifier:
        test = f"test_{name}.py"
        texts = render(name, family, CLASSIFIER) | {test: texts[test]}
    with artifact.create(folder) as work:
        for file, text in texts.items():
            (work / file).write_text(text)
    return [folder / file for file in texts]


def create_image(name: str, into: Path) -> list[Path]:
    """Writes what makes an image of the family in the folder `into / name`; returns the files. A
    list of its packages that is there already stays.

    Raises:
        UsageError: there is no such folder, it is part of modelyard itself, or it has a Dockerfile.
    """
    folder = Path(into) / name
    family = family_name(name, into)
    if ":" not in family:
        raise UsageError(
            f"family {name!r} is part of modelyard here, and so of the images that `make images` builds"
        )
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder. Type: modelyard new {name} --image")
    if (folder / "Dockerfile").exists():
        raise UsageError(
            f"{folder / 'Dockerfile'} exists and is left as it is. Remove it to get another"
        )
    texts = render(name, family, IMAGE)
    missing = [folder / file for file in texts if not (folder / file).exists()]
    for file in missing:
        file.write_text(texts[file.name])
    return missing


def family_name(name: str, into: Path) -> str:
    """What `load` and the command line call a family that was created in `into`."""
    own = [Path(path).resolve() for path in families.__path__]
    if Path(into).resolve() in own:
        return name
    return f"{name}:{class_name(name)}"


def class_name(name: str) -> str:
    """`flat_rent` to `FlatRent`."""
    return "".join(part.title() for part in name.split("_"))


def render(name: str, family: str, templates: str = FAMILY) -> dict[str, str]:
    """The files of a folder of templates: text by file name."""
    # What differs between a family of one's own and one that joins modelyard's.
    entry = "FAMILY"
    if ":" in family:
        entry = class_name(name)
    words = {
        "name": name,
        "Class": class_name(name),
        "entry": entry,
        "title": name.replace("_", " "),
        "family": family,
        "version": __version__,
    }
    texts = {}
    for template in sorted((Path(__file__).parent / templates).glob(f"*{SUFFIX}")):
        file = template.name.removesuffix(SUFFIX).replace("NAME", name)
        texts[file] = Template(template.read_text()).substitute(words)
    return texts


def _check(name: str, folder: Path) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise UsageError(
            f"family {name!r}: a name is lower-case letters, digits and _, a letter first. Like: flat_rent"
        )
    if keyword.iskeyword(name):
        raise UsageError(f"family {name!r} is a Python keyword. Like: {name}_model")
    if name in names():
        raise UsageError(
            f"family {name!r} comes with modelyard. Choose another name; taken: {', '.join(names())}"
        )
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder} exists and is left as it is. Choose another name, or remove it")
    if not folder.parent.is_dir():
        raise UsageError(f"{folder.parent} is not a folder. Type: mkdir -p {folder.parent}")
    if family_name(name, folder.parent) != name and importlib.util.find_spec(name) is not None:
        raise UsageError(
            f"family {name!r}: Python has a module of that name, which would be taken for it"
        )
