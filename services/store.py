"""Puts a package into BentoML's model store, where `bentoml build` takes it from:

    python services/store.py runs/…/package

prints its tag, for `bentoml build services --arg model=TAG`.
"""

import shutil
import sys
from pathlib import Path

import bentoml
from bentoml.exceptions import NotFound

from modelyard.errors import ModelyardError
from modelyard.home import slug
from modelyard.serving.launch import check
from modelyard.store.artifact import read_manifest


def store(package: Path) -> str:
    """The tag of a package in the store: put there, unless it is there already.

    Raises:
        ModelyardError: what is wrong with the package.
    """
    info = check(package)
    tag = f"{slug(info.family)}:{read_manifest(package).digest[:12]}"
    try:
        bentoml.models.get(tag)
    except NotFound:
        labels = {"family": slug(info.family), "version": info.version, "run": info.run}
        with bentoml.models.create(tag, labels=labels, metadata=info.metrics) as model:
            # In a folder of its own: BentoML writes a file next to it.
            shutil.copytree(package, Path(model.path) / "package")
    return tag


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("which package? Type: python services/store.py runs/…/package")
    try:
        print(store(Path(sys.argv[1])))
    except ModelyardError as error:
        sys.exit(f"error: {error}")
