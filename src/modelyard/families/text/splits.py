"""Splits that files are named as."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from modelyard.kit.splits import SPLIT_NAMES
from modelyard.store.files import File

SPLITS = SPLIT_NAMES | {"testa": "validation", "testb": "test"}


def split_of(file: File) -> str | None:
    """The split that a file's name says: `train.conll`, `eng.testa`, `dev-v2.0.json`."""
    name = PurePosixPath(file.name).name.lower()
    for part in re.split(r"[^a-z]+", name):
        if part in SPLITS:
            return SPLITS[part]
    return None
