"""doctor: what works, on this machine, on a cluster, for a run, and what to type where something
does not."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from modelyard import __version__
from modelyard.cli.options import PARAMS
from modelyard.doctor.finding import Finding

if TYPE_CHECKING:
    from modelyard.pipeline.local import RunFolder

MARKS = {"ok": "[green]✓[/]", "off": "[dim]–[/]", "warn": "[yellow]![/]", "bad": "[red]✗[/]"}

WIDTH = 32
"""Columns to which what was looked at is filled up, unless a longer one is among it."""
ROLES = {
    "pipeline": ("kfp", "run pipelines here and on Kubeflow"),
    "serve": ("uvicorn", "serve models"),
    "track": ("mlflow", "track runs, keep the registry"),
    "monitor": ("evidently", "draw drift reports"),
    "data": ("dvc", "data from Git and DVC"),
    "torch": ("torch", "train neural networks"),
}


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(rich_help_panel="Look")(doctor)


def doctor(
    run: Annotated[
        str | None,
        typer.Argument(
            help="A run's id, or the name of a served model's release.", show_default=False
        ),
    ] = None,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Look over the cluster of this kubeconfig.")
    ] = False,
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace", "-n", help="Where to look. None: the kubeconfig's.", show_default=False
        ),
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Put right what a stopped deploy left in a release.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Diagnose this machine, a cluster or a run: what fails, why, and what to type.

    [bold]modelyard doctor[/]  this machine
    [bold]modelyard doctor --cluster[/]  the cluster: what is installed, free, missing, refused
    [bold]modelyard doctor RUN[/]  a run: why it failed, or why it does not proceed
    [bold]modelyard doctor RELEASE --fix[/]  a served model: what a stopped deploy left goes
    """
    found: list[Finding] = []
    if run is not None:
        found += _run(run, namespace, fix)
    if cluster:
        found += _cluster(namespace, fix)
    if run is None and not cluster:
        for check in CHECKS:
            found += check()
    broken = any(finding.level == "bad" for finding in found)
    if as_json:
        findings = [finding.as_json() for finding in found]
        typer.echo(json.dumps({"broken": broken, "findings": findings}, indent=1))
    else:
        _print(found)
    raise typer.Exit(1 if broken else 0)


def _print(found: list[Finding]) -> None:
    """A line for what was found, and one below it for what to type: whole, so that it can be copied."""
    console = Console(highlight=False, soft_wrap=True)
    # Fixes and causes are long: with one long name no column of theirs fits a terminal.
    width = max((len(finding.what) for finding in found), default=0)
    if width > WIDTH:
        width = 0
    for finding in found:
        what = finding.what.ljust(width)
        console.print(f"{MARKS[finding.level]}  {escape(what)}  {escape(finding.seen)}")
        if finding.fix:
            console.print(f"   [dim]→ {escape(finding.fix)}[/]")


def _run(run: str, namespace: str | None, fix: bool) -> list[Finding]:
    """A run on this machine where there is one of this id, else one on the cluster, or a
    release."""
    from modelyard.pipeline import local

    if any(folder.path.name == run for folder in local.all_runs(None)):
        return _local_run(local.find_run(run))
    from modelyard.doctor.clusterrun import found, is_cluster_id
    from modelyard.doctor.run import run_findings

    if is_cluster_id(run):
        return run_findings(found(run, namespace))
    from modelyard.release.look import release_findings

    return release_findings(run, namespace, _say, fix=fix) + run_findings(found(run, namespace))


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _local_run(folder: RunFolder) -> list[Finding]:
    what, status = f"run {folder.path.name}", folder.record.status
    if status == "finished":
        return [Finding("ok", what, f"finished, in {folder.path}")]
    if status == "running":
        return [Finding("ok", what, f"runs on this machine; its log is {folder.log}")]
    said = folder.failure or f"its process ended; log: {folder.log}"
    return [Finding("bad", what, f"{status}: {said}", f"modelyard resume {folder.path.name}")]


def _cluster(namespace: str | None, fix: bool) -> list[Finding]:
    from modelyard.doctor.cluster import cluster_findings
    from modelyard.doctor.inspect import Reader
    from modelyard.errors import UsageError
    from modelyard.release.look import release_findings

    try:
        reader = Reader(namespace)
    except UsageError as error:
        return [Finding("bad", "Kubernetes", str(error), "export KUBECONFIG=FILE")]
    deploys_to = {space or reader.namespace for space in _deploys_to()}
    rows = cluster_findings(reader, _named_secrets(), deploys_to)
    return rows + release_findings(None, namespace, _say, fix=fix)


def _named_secrets() -> set[str]:
    """Secrets that the `cluster` sections of params.yaml refer to."""
    from modelyard.family import names
    from modelyard.settings.family import read_params

    found: set[str] = set()
    for name in names():
        section = read_params(PARAMS, name).get("cluster") or {}
        for reference in (section.get("env_from_secrets") or {}).values():
            secret, _, _ = reference.partition("/")
            found.add(secret)
        found.update(section.get("image_pull_secrets") or [])
    return found


def _deploys_to() -> set[str]:
    """Namespaces of the releases in params.yaml; empty for the one that it leaves open."""
    from modelyard.family import names
    from modelyard.settings.family import read_params

    found = set()
    for name in names():
        section = read_params(PARAMS, name).get("serve") or {}
        if section.get("release"):
            found.add(str(section.get("namespace") or ""))
    return found


def _python() -> list[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    return [Finding("ok", "modelyard", f"{__version__} on Python {version}")]


def _extras() -> list[Finding]:
    rows = []
    for extra, (module, purpose) in ROLES.items():
        if importlib.util.find_spec(module) is not None:
            rows.append(Finding("ok", extra, purpose))
        else:
            fix = f"pip install 'modelyard[{extra}]'"
            rows.append(Finding("off", extra, f"not installed ({purpose})", fix))
    return rows


def _families() -> list[Finding]:
    from modelyard.errors import ModelyardError
    from modelyard.family import names
    from modelyard.stages.run import Run, check_requirements

    rows = []
    for name in names():
        try:
            check_requirements(Run.of(name))
            rows.append(Finding("ok", f"family {name}", "ready"))
        except ModelyardError as error:
            rows.append(Finding("off", f"family {name}", str(error)))
    return rows


def _home() -> list[Finding]:
    from modelyard.credentials import redact
    from modelyard.home import home, tracking_uri

    folder = home()
    existing = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = shutil.disk_usage(existing).free / 1e9
    seen = f"{folder}, {free:.0f} GB free"
    if os.access(existing, os.W_OK) and free > 1:
        runs = Finding("ok", "runs", seen)
    else:
        fix = "export MODELYARD_HOME=FOLDER"
        runs = Finding("bad", "runs", f"{seen}: not writable, or full", fix)
    return [runs, Finding("ok", "tracking", redact(tracking_uri()))]


def _kubeflow() -> list[Finding]:
    from modelyard.errors import ModelyardError

    if not os.environ.get("KFP_HOST"):
        return [Finding("off", "kubeflow", "KFP_HOST is not set: pipelines run on this machine")]
    from modelyard.pipeline.pipelines import connect

    try:
        connect(None)
    except ModelyardError as error:
        return [Finding("bad", "kubeflow", str(error))]
    return [Finding("ok", "kubeflow", f"answers at {os.environ['KFP_HOST']}")]


CHECKS: tuple[Callable[[], list[Finding]], ...] = (_python, _extras, _families, _home, _kubeflow)
