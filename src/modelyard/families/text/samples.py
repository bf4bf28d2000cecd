"""The built-in texts: docstrings of Python's standard library, by the area of their module."""

from __future__ import annotations

import csv
import inspect
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

AREAS = {
    "code": "ast copy dataclasses dis enum functools importlib inspect pickle pickletools tokenize"
    " types typing",
    "concurrency": "asyncio concurrent multiprocessing queue selectors subprocess threading",
    "files": "_pyio fileinput gzip ntpath os pathlib shelve shutil tarfile tempfile zipfile",
    "formats": "configparser csv email html json mailbox mimetypes plistlib tomllib xml",
    "networking": "ftplib http imaplib ipaddress smtplib socket ssl urllib wsgiref xmlrpc",
    "numbers": "_pydecimal calendar datetime _pydatetime fractions heapq random statistics",
    "testing": "bdb doctest logging pdb pstats timeit trace traceback tracemalloc unittest",
}
"""Modules and packages that Python 3.11 and 3.12 have, by class."""
DOCSTRING = re.compile(r'(?:\A|:\n)\s*r?"""(.+?)"""', re.DOTALL)
"""At the beginning of a module, class or function. Parsing 300 files would take ten seconds."""
NEXT = re.compile(r"\n\s*(?:async def|def|class) ")
"""Where the code that a docstring belongs to ends."""
DEEDS = {
    "raises": re.compile(r"^\s+raise\b", re.MULTILINE),
    "returns": re.compile(r"^\s+return +[^ ]", re.MULTILINE),
    "yields": re.compile(r"^\s+yield\b", re.MULTILINE),
    "catches": re.compile(r"^\s+except\b", re.MULTILINE),
    "loops": re.compile(r"^\s+(?:for|while)\b", re.MULTILINE),
}
"""What the code below a docstring does: its further labels."""
SHORTEST = 40
"""Characters of a docstring that is taken."""


def write_sample(
    raw: Path, count: int | None, seed: int, labels: Literal["one", "many"] = "one"
) -> None:
    """Writes `docstrings.csv`: `text,area`, in a random order, at most `count` texts. With many
    labels, `text,labels`: the area and what the code below the docstring does, between `|`."""
    library = Path(sysconfig.get_path("stdlib"))
    found: dict[str, str] = {}
    for area, modules in AREAS.items():
        for module in modules.split():
            for text, code in _docstrings(library, module):
                label = area
                if labels == "many":
                    label = "|".join([area, *_deeds(code)])
                # The first of equal ones: many methods are documented in the same words.
                found.setdefault(text, label)
    rows = list(found.items())
    order = np.random.default_rng(seed).permutation(len(rows))[:count]
    with (raw / "docstrings.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "labels" if labels == "many" else "area"])
        writer.writerows(rows[place] for place in order)


def _deeds(code: str) -> list[str]:
    return [name for name, pattern in DEEDS.items() if pattern.search(code)]


def _docstrings(library: Path, module: str) -> Iterator[tuple[str, str]]:
    """Docstrings of a module, each with the code below it."""
    folder = library / module
    if folder.is_dir():
        files = sorted(folder.rglob("*.py"))
    else:
        files = [library / f"{module}.py"]
    for file in files:
        if not file.is_file():
            continue
        source = file.read_text(encoding="utf-8")
        for found in DOCSTRING.finditer(source):
            text = inspect.cleandoc(found[1])
            if len(text) < SHORTEST:
                continue
            after = NEXT.search(source, found.end())
            end = after.start() if after else len(source)
            yield text, source[found.end() : end]
