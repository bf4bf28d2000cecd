"""Where a laptop keeps what runs leave: one folder, `runs/` here or MODELYARD_HOME.

<family>/<run id>/    a run: run.json, events.jsonl, log.txt, its artifacts, links to package and card
mlflow.db, mlflow/    tracking and registry, unless MLFLOW_TRACKING_URI says where
predictions/<family>/ what services logged
examples/             a large example of a package, for curl
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from pathlib import Path

VARIABLE = "MODELYARD_HOME"
IMAGE = "MODELYARD_IMAGE"
"""Environment variable with the image of a step's own pod."""
CHECKPOINTS = "MODELYARD_CHECKPOINTS"
"""Environment variable with a place for checkpoints that outlives a step's pod."""
REUSE = "MODELYARD_REUSE"
"""Environment variable: the folder of finished stages that may be taken instead of run again."""
RUN_ID = "MODELYARD_RUN_ID"
NO_RUN = "local"
"""Id of a stage that runs by itself, outside a pipeline's run."""


def home() -> Path:
    """The folder, absolute; not created here."""
    return Path(os.environ.get(VARIABLE) or "runs").resolve()


def predictions(family: str) -> Path:
    """Folder of a family's prediction log."""
    return home() / "predictions" / slug(family)


def slug(family: str) -> str:
    """A family's name as a file, pipeline or registry name: `my_pkg.mod:Family` to
    `my_pkg-mod-family`."""
    if ":" not in family:
        return family
    return family.replace(":", "-").replace(".", "-").lower()


def registered_name(family: str, uri: str | None, name: str | None) -> str:
    """What a family's packages are registered as: the `name` that settings give, or `tabular` for the
    built-in data and `tabular-customers` for a person's `customers.csv`, so that two tables are two
    models."""
    if name:
        return name
    family, uri = slug(family), uri or ""
    path = uri.partition("#")[2] or uri  # git+URL#PATH
    stem = path.rstrip("/").rpartition("/")[2].partition(".")[0].lower()
    data = re.sub(r"[^a-z0-9]+", "-", stem).strip("-")
    if not stem.isascii() and re.search("[a-z]", data) is None:
        # Of `клиенты_2026` and `заказы_2026` the same would be left. macOS writes é as two signs.
        digest = hashlib.sha256(unicodedata.normalize("NFC", stem).encode()).hexdigest()
        data = f"{data}-{digest[:8]}".strip("-")
    if data in ("", family):
        return family
    return f"{family}-{data}"


def tracking_uri() -> str:
    """MLflow's tracking and registry server; a SQLite file in the home by default."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home() / 'mlflow.db'}"


def source_root() -> Path:
    """Where `charts/model/`, `components/`, `pipelines/` and `services/` lie: the checkout, or
    inside the wheel."""
    package = Path(__file__).resolve().parent
    return package / "_adapters" if is_installed() else package.parents[1]


def is_installed() -> bool:
    """Whether this is the wheel, and not a checkout."""
    return not (Path(__file__).resolve().parents[2] / "pipelines" / "training.py").is_file()
