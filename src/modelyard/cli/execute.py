"""Runs pipelines and stages for the command line, and shows how they get on."""

from __future__ import annotations

import importlib.util
import logging
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import typer
from rich.console import Console
from rich.markup import escape

from modelyard import errors
from modelyard.cli import options
from modelyard.cli.places import shown
from modelyard.cli.progress import StageLines
from modelyard.errors import Interrupted, MissingExtra, ModelyardError
from modelyard.pipeline import local

console = Console(highlight=False)


def run_pipeline(
    family: str,
    *,
    data: str | None,
    target: str | None,
    rev: str | None,
    assignments: list[str] | None,
    params: Path,
    nodes: int,
    gpus: int,
    kind: Literal["training", "monitoring"] = "training",
    fresh: bool = False,
) -> None:
    """Starts a run and follows it to its end; shows the finished one that it would repeat, unless
    `fresh`."""
    from modelyard.pipeline.unchanged import finished
    from modelyard.settings.family import portable
    from modelyard.sources import is_packed, local_data
    from modelyard.stages.run import Run, check_requirements
    from modelyard.store.artifact import now

    config = options.settings(
        family, assignments=assignments, params=params, data=data, target=target, rev=rev
    )
    taken = options.from_params(family, params, config)
    if taken:
        pairs = ", ".join(f"{name}={value}" for name, value in taken.items())
        console.print(f"[dim]from {shown(params)}: {escape(pairs)}[/]", soft_wrap=True)
    run = Run(options.entry(family), config)
    check_requirements(run)
    check_pipeline_extras()
    check_gpus(gpus, nodes)
    # Monitoring reads the traffic: the training data may be gone by then.
    if kind == "training":
        data_path = local_data(config.data)
        # A typing error in a local file's name or columns is found now, not by the first stage.
        if data_path is not None and not is_packed(data_path):
            run.reader.check(data_path)
    record = local.RunRecord(
        id=local.new_id(),
        kind=kind,
        family=family,
        config=absolute_data(portable(config)),
        nodes=nodes,
        gpus_per_node=gpus,
        created=now(),
    )
    known = None if fresh else finished(record)
    if known is None:
        follow(local.RunFolder.new(record))
    else:
        _show_unchanged(known)


def _show_unchanged(folder: local.RunFolder) -> None:
    from modelyard.cli.show import result_table

    record = folder.record
    console.print(f"[bold]{record.family}[/] · run {record.id} · {shown(folder.path)}")
    console.print(
        "unchanged since that run: data, settings and code are the same. "
        "To run it again: [bold]--fresh[/]"
    )
    result_table(folder, record.seconds)


def check_gpus(gpus: int, nodes: int) -> None:
    """Raises UsageError for GPUs that this machine lacks: its train step would say so too, after
    the steps before it."""
    from modelyard.cost.meters import visible_gpus

    # GPUs of other nodes cannot be seen from here; without torch the family's extra is missing, of
    # which the stage says more.
    trains_here = nodes == 1 and importlib.util.find_spec("torch") is not None
    if trains_here and len(visible_gpus()) < gpus:
        from modelyard.training import devices

        devices.count(gpus)


def resume_pipeline(run_id: str | None) -> None:
    """Executes a run again; its stages take what is finished and still valid."""
    folder = local.find_run(run_id)
    record = folder.record
    if record.status == "running":
        raise errors.UsageError(f"run {record.id} is being executed by another process")
    check_pipeline_extras()
    options.entry(record.family)
    follow(folder)


def follow(folder: local.RunFolder) -> None:
    """Executes a run, a line a stage, and ends with its table or its error."""
    # "running" first: who is killed from here on leaves a run that `record` calls interrupted.
    record = folder.record.model_copy(update={"status": "running", "began": time.time()})
    folder.write(record)
    console.print(f"[bold]{record.family}[/] · run {record.id} · {shown(folder.path)}")
    lines = StageLines(console)
    failed, code = _consume(folder, lines)
    # A process that is killed reports no failure, only its exit code.
    status: local.Status = "failed"
    if code == 0 and not failed:
        status = "finished"
    update = {
        "status": status,
        "headlines": lines.headlines,
        "seconds": round(lines.seconds, 1),
    }
    folder.write(record.model_copy(update=update))
    local.link_outputs(folder)
    if status == "finished":
        _write_back(folder, record)
    if status == "failed":
        _explain_failure(folder, failed, code)
    from modelyard.cli.show import result_table

    result_table(folder, lines.seconds)


def _write_back(folder: local.RunFolder, record: local.RunRecord) -> None:
    """Saves next to the user's data what they may want to edit."""
    from modelyard.stages.run import Run

    uri, rev = record.config["data"].get("uri"), record.config["data"].get("rev")
    features = folder.outputs().get("features")
    if features is None or not uri:
        return
    # Data of a revision, or from elsewhere, are not the user's files here.
    is_revision = bool(rev or record.data_rev)
    if is_revision or not Path(uri).exists():
        return
    reader = Run.of(record.family, record.config).reader
    for file in reader.write_back(features, Path(uri)):
        console.print(f"wrote    {shown(file)}: the inferred schema; edit it and run again")


def _consume(folder: local.RunFolder, lines: StageLines) -> tuple[dict[str, Any] | None, int]:
    failed, code = None, 1
    with lines, _stop_on_sigterm():
        for event in local.execute(folder):
            lines.show(event)
            if event["event"] == "failed":
                failed = event
            elif event["event"] == "ended":
                code = event["code"]
    return failed, code


@contextmanager
def _stop_on_sigterm() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does: its processes get the signal and may save."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        console.print("stopped. To continue: [bold]modelyard resume[/]")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _explain_failure(folder: local.RunFolder, failed: dict[str, Any] | None, code: int) -> None:
    again = f"modelyard resume {folder.path.name}"
    # By name: the error was raised in another process, and its class may be one of a family's own.
    kinds = {kind.__name__ for kind in _subclasses(ModelyardError)}
    if failed and failed["kind"] in kinds:
        console.print(
            f"after fixing it: [bold]{again}[/]; changed settings need a new run", style="dim"
        )
        kind = Interrupted if failed["kind"] == Interrupted.__name__ else ModelyardError
        raise kind(f"{failed['stage']}: {failed['message']}")
    problem = f"the run's process ended with code {code}"
    if failed:
        console.print(failed.get("traceback", failed["message"]), markup=False, style="dim")
        problem = f"{failed['stage']} stopped with {failed['kind']}: {failed['message']}"
    Console(stderr=True, soft_wrap=True).print(
        f"[bold red]bug or broken environment:[/] {escape(problem)}\n"
        f"log: {shown(folder.log)}\nthen: {again}"
    )
    raise typer.Exit(1)


def run_stage(name: str, values: dict[str, Any]) -> None:
    """Runs one stage in this process."""
    from modelyard.stages import STAGES
    from modelyard.stages.run import Run

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    family, assignments, params = values.pop("family"), values.pop("settings"), values.pop("params")
    config = options.settings(family, assignments=assignments, params=params)
    options.entry(family)
    headline = STAGES[name](Run.of(family, config.model_dump(mode="json")), **values)
    console.print(f"[green]✓[/] {name:<9} {escape(headline)}", soft_wrap=True)
    for output in STAGES[name].outputs:
        console.print(f"  wrote {shown(Path(values[output]))}", style="dim")


def absolute_data(config: dict[str, Any]) -> dict[str, Any]:
    """The config with a local `data.uri` made absolute: a run can then be resumed from any
    folder."""
    uri = config["data"].get("uri")
    if uri and "://" not in uri:
        config["data"]["uri"] = str(Path(uri).expanduser().absolute())
    return config


def check_pipeline_extras() -> None:
    """Raises MissingExtra, before any work, for what the steps of a pipeline need in
    addition to the family."""
    import importlib.util

    needs = {"kfp": "pipeline", "matplotlib": "card", "jinja2": "card", "mlflow": "track"}
    for module, extra in needs.items():
        if importlib.util.find_spec(module) is None:
            raise MissingExtra("running a pipeline", extra)


def _subclasses(kind: type[Exception]) -> Iterable[type[Exception]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _subclasses(child)
