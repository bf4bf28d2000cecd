"""The commands `follow`, `logs` and `cancel`: a run after it was started, on a cluster or here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from modelyard.kubernetes.kubeflow import Kubeflow

PANEL = "Cluster"
Run = Annotated[str, typer.Argument(metavar="RUN", help="A run's id.", show_default=False)]
Host = Annotated[
    str | None, typer.Option(help="Kubeflow Pipelines' address. Also KFP_HOST; token in KFP_TOKEN.")
]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (follow, logs, cancel):
        app.command(rich_help_panel=PANEL)(command)


def follow(
    run: Run,
    host: Host = None,
    limit: Annotated[
        float, typer.Option("--start-limit", min=0, help="Minutes that a step may fail to start.")
    ] = 30.0,
) -> None:
    """Follow a run on a cluster to its end; Ctrl-C leaves it running."""
    from modelyard.cli.following import follow as follow_run

    follow_run(run, Console(highlight=False), host=host, limit=limit)


def logs(
    run: Run,
    step: Annotated[
        str | None, typer.Argument(help="Only this step's.", show_default=False)
    ] = None,
    host: Host = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Lines of Kubeflow's launcher and of Argo too.")
    ] = False,
) -> None:
    """Print the log of a run, step by step."""
    from modelyard.pipeline import local

    for folder in local.all_runs():
        if folder.path.name == run:
            typer.echo(folder.log.read_text(errors="replace"), nl=False)
            return
    _cluster_logs(run, step, host, everything)


def cancel(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run's id.", show_default=False)
    ] = None,
    host: Host = None,
    stuck: Annotated[
        bool,
        typer.Option("--stuck", help="All runs of the namespace of which a step cannot start."),
    ] = False,
    limit: Annotated[
        float, typer.Option("--start-limit", min=0, help="With --stuck: minutes that it may take.")
    ] = 30.0,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="With --stuck: where the runs are.")
    ] = None,
) -> None:
    """End a run on a cluster, or those that cannot go on."""
    from modelyard.errors import UsageError
    from modelyard.kubernetes.kubeflow import Kubeflow

    # Exactly one of the two.
    if stuck == (run is not None):
        raise UsageError("type either modelyard cancel RUN or modelyard cancel --stuck")
    kubeflow = Kubeflow(host)
    if run is None:
        _cancel_stuck(kubeflow, namespace, limit)
        return
    kubeflow.terminate(run)
    typer.echo(f"run {run} is being ended. What it leaves: modelyard doctor {run}")


def _cancel_stuck(kubeflow: Kubeflow, namespace: str | None, limit: float) -> None:
    from modelyard.doctor.inspect import Reader
    from modelyard.doctor.stuck import end, stuck_steps
    from modelyard.errors import Unavailable, UsageError

    reader = Reader(namespace)
    found = stuck_steps(reader, limit)
    pods = f"/api/v1/namespaces/{reader.namespace}/pods"
    if pods in reader.denied:
        raise Unavailable(reader.denied[pods])
    ended = set()
    for stuck in found:
        # Two steps of one run: Kubeflow refuses to end it a second time.
        if stuck.run in ended:
            continue
        ended.add(stuck.run)
        try:
            end(stuck, kubeflow, reader)
        except UsageError as error:  # others are stuck too
            typer.echo(f"run {stuck.run} could not be ended: {error}", err=True)
        else:
            typer.echo(f"run {stuck.run} is being ended: {stuck.reason}")
    if not found:
        typer.echo(
            f"no step in namespace {reader.namespace} has waited for {limit:g} minutes for what "
            "does not pass by itself"
        )


def _cluster_logs(run: str, step: str | None, host: str | None, everything: bool) -> None:
    from modelyard.doctor.clusterrun import found
    from modelyard.errors import UsageError, choices
    from modelyard.kubernetes.words import own_lines

    cluster = found(run, host=host)
    cluster.look()
    # A step that ran side by side with itself, as trials do, stands there several times.
    names = list(dict.fromkeys(seen.name for seen in cluster.steps))
    if not names:
        raise UsageError(
            f"run {run} has no step yet, or nobody knows it. Type: modelyard doctor {run}"
        )
    if step is not None and step not in names:
        raise UsageError(choices("step", step, names))
    for seen in cluster.steps:
        if step not in (None, seen.name):
            continue
        for number, attempt in enumerate(seen.tries, 1):
            again = f", try {number}" if len(seen.tries) > 1 else ""
            log = cluster.log(attempt, tail=100_000)
            typer.echo(f"== {seen.name}{again}: {attempt.state.lower()}")
            if not log:
                typer.echo("(its log is gone)")
                continue
            lines = log.splitlines() if everything else own_lines(log)
            typer.echo("\n".join(lines))


def package_of(run: str) -> str:
    """What a run on a cluster registered, as `explain` and `serve` take it.

    Raises:
        UsageError: nothing, as far as its logs say.
    """
    from modelyard.doctor.clusterrun import found
    from modelyard.errors import UsageError

    cluster = found(run)
    cluster.look()
    package = cluster.package()
    if package is None:
        raise UsageError(
            f"run {run} registered nothing, or its log is gone. Type: modelyard doctor {run}"
        )
    return package


def cluster_runs(host: str | None = None) -> None:
    """Prints the newest runs on a cluster, the newest last."""
    from rich.markup import escape
    from rich.table import Table

    from modelyard.kubernetes.kubeflow import Kubeflow
    from modelyard.kubernetes.steps import moment

    table = Table()
    for column in ("run", "name", "status", "time", "began"):
        table.add_column(column, no_wrap=column == "run")
    for record in reversed(Kubeflow(host).runs()):
        began, ended = moment(record.get("created_at")), moment(record.get("finished_at"))
        took = f"{(ended - began).total_seconds():.0f} s" if began and ended else ""
        when = f"{began:%Y-%m-%d %H:%M}" if began else ""
        name, state = escape(str(record.get("display_name"))), str(record.get("state", "")).lower()
        table.add_row(record["run_id"], name, state, took, when)
    Console(highlight=False).print(table)
