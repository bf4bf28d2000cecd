"""Charts and their values files, linted and rendered by the helm that `make helm` installs."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHARTS = tuple(
    name for name in ("model", "platform") if (ROOT / "charts" / name / "Chart.yaml").is_file()
)
KUBERNETES = ("1.30", "1.37")
"""The oldest version that objects are checked against, and the newest that kubernetes-validate
knows."""

Object = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A chart with one of its values files."""

    chart: str
    file: str

    @property
    def folder(self) -> Path:
        return ROOT / "charts" / self.chart

    @property
    def values(self) -> Path:
        return self.folder / "ci" / f"{self.file}.yaml"

    def __str__(self) -> str:
        return f"{self.chart}-{self.file}"


CASES = [
    Case(chart, file.stem)
    for chart in CHARTS
    for file in sorted((ROOT / "charts" / chart / "ci").glob("*.yaml"))
]


def binary() -> str | None:
    """The helm beside this Python, or on the PATH."""
    beside = Path(sys.prefix) / "bin" / "helm"
    return str(beside) if beside.exists() else shutil.which("helm")


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs helm, without a cluster and without a person's own plug-ins and repositories."""
    program = binary()
    assert program is not None
    with tempfile.TemporaryDirectory() as home:
        environment = {"PATH": os.environ["PATH"], "HOME": home, "KUBECONFIG": os.devnull}
        command = [program, *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, env=environment, check=False, timeout=60
        )


def template(
    case: Case, *extra: str | Path, kubernetes: str = "1.30.0"
) -> subprocess.CompletedProcess[str]:
    """What `helm template` answers."""
    place = ["--namespace", "models", "--kube-version", kubernetes]
    return helm("template", "payments", case.folder, *place, "--values", case.values, *extra)


@functools.cache
def text(case: Case, *extra: str) -> str:
    """The rendered chart as YAML."""
    done = template(case, *extra)
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def _parsed(case: Case, *extra: str) -> str:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return json.dumps([one for one in yaml.load_all(text(case, *extra), loader) if one])


def objects(case: Case, *extra: str) -> list[Object]:
    """The rendered objects; the caller may change them."""
    found: list[Object] = json.loads(_parsed(case, *extra))
    return found


def notes(case: Case, folder: Path, *extra: str) -> str:
    """NOTES.txt for a person who installs the chart: `helm template` leaves it out, so a copy
    shows it as an object."""
    chart = folder / case.chart
    shutil.copytree(case.folder, chart)
    shutil.move(chart / "templates" / "NOTES.txt", chart / "notes.txt")
    shown = 'kind: Notes\ntext: |\n  {{- tpl (.Files.Get "notes.txt") . | nindent 2 }}\n'
    (chart / "templates" / "notes.yaml").write_text(shown)
    place = [
        "--namespace",
        "models",
        "--kube-version",
        "1.30.0",
        "--show-only",
        "templates/notes.yaml",
    ]
    done = helm("template", "payments", chart, *place, "--values", case.values, *extra)
    assert done.returncode == 0, done.stderr
    return str(yaml.safe_load(done.stdout)["text"])


def label(one: Object) -> str:
    """`Deployment/payments`."""
    return f"{one['kind']}/{one['metadata']['name']}"
