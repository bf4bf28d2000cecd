"""Keys that sign packages."""

from __future__ import annotations

import subprocess
from pathlib import Path


def keys_in(folder: Path, name: str) -> tuple[Path, Path]:
    """A pair of keys, made as the documentation says."""
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ed25519", "-out", private],
        check=True,
        capture_output=True,
    )
    subprocess.run(
        ["openssl", "pkey", "-in", private, "-pubout", "-out", public],
        check=True,
        capture_output=True,
    )
    return private, public
