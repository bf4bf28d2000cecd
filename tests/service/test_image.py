"""The server's image, as far as it can be told without building it: what it installs runs from a read-only root."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker" / "server" / "Dockerfile").read_text()


def test_the_base_is_an_argument_of_a_fixed_version():
    (base,) = re.findall(r"^ARG BASE=(\S+)$", TEXT, re.MULTILINE)
    assert re.search(r":\d+\.\d+\.\d+-slim", base)
    assert re.findall(r"^FROM (\S+)", TEXT, re.MULTILINE) == ["${BASE}", "${BASE}"]


def test_it_runs_as_a_number_that_is_not_root_and_installs_what_serves_alone():
    assert re.findall(r"^USER (\S+)$", TEXT, re.MULTILINE) == ["10001:10001"]
    assert re.findall(r"'\.\[(\w+)\]'", TEXT) == ["serve"]


def test_all_that_is_copied_from_the_repository_is_there():
    copied = [words.split()[:-1] for words in re.findall(r"^COPY (?!--from)(.+)$", TEXT, re.MULTILINE)]
    assert [name for names in copied for name in names if not (ROOT / name).exists()] == []
