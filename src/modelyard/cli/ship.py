"""The commands `serve`, `predict`, `monitor` and `submit`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from modelyard.cli.jobs import Gpus, Nodes
from modelyard.cli.options import (
    PARAMS,
    Data,
    FamilyName,
    Params,
    Rev,
    Set,
    Target,
    import_from_here,
)

PANEL = "Use"
MODULE_CLASS = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
"""A family from outside modelyard; no URI and no path of Windows, which have slashes."""
Package = Annotated[
    str,
    typer.Argument(
        metavar="PACKAGE",
        help="A family (its champion), FAMILY@VERSION, a run's id, or a package's folder.",
        show_default=False,
    ),
]


Families = Annotated[
    list[str] | None,
    typer.Option(
        "--family",
        metavar="MODULE:CLASS",
        help="A family from outside modelyard that the package may name: its code "
        "is imported. May be repeated. Also MODELYARD_FAMILIES.",
    ),
]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (serve, predict, monitor, sign):
        app.command(rich_help_panel=PANEL)(command)
    app.command(rich_help_panel="Cluster")(submit)


def serve(
    package: Package,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 3000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    workers: Annotated[int, typer.Option(min=1, help="Processes that answer.")] = 1,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="DEVICE",
            help="auto (a GPU where one can be used), cpu, cuda, or cuda:N. Also MODELYARD_DEVICE.",
            show_default=False,
        ),
    ] = None,
    family: Families = None,
) -> None:
    """Serve a model over HTTP and log its answers. A name's next champion takes over by itself.

    Settings are environment variables: docs/serving.md."""
    from modelyard.registry.versions import followed, resolve
    from modelyard.serving.launch import serve as start

    allow(family, package)
    raise typer.Exit(start(resolve(package), host, port, workers, device, followed(package)))


def predict(
    package: Package,
    json_text: Annotated[
        str | None, typer.Option("--json", "-j", help="One example, or a list of them.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            "-f",
            help="Examples: .csv, .xlsx, .parquet, .jsonl or .json; a picture, or a folder of them.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write answers here (.jsonl, .csv, .parquet)."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Add the reasons for each answer.")
    ] = False,
    family: Families = None,
) -> None:
    """Answer examples without a server.

    With neither --json nor --file: the package's own example."""
    from modelyard.cli.answer import answer

    allow(family, package)
    answer(package, json_text, file, out, explain)


def monitor(
    package: Package,
    settings: Set = None,
    verdict: Annotated[
        Path | None, typer.Option(help="Folder for verdict.json and report.html.")
    ] = None,
    family: Families = None,
) -> None:
    """Compare production requests with the test data: which columns drifted.

    [bold]modelyard monitor tabular --set monitor.window_hours=1[/]
    """
    from modelyard.cli.watch import watch

    allow(family, package)
    watch(package, settings, verdict)


def sign(
    package: Package,
    key: Annotated[
        Path | None,
        typer.Option(
            help="PEM file with the Ed25519 private key. Also MODELYARD_SIGNING_KEY_FILE.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Sign a package, for servers that ask for a signature: docs/deploy.md."""
    from modelyard.errors import UsageError
    from modelyard.packages import signing
    from modelyard.packages.package import verify
    from modelyard.packages.trust import Trust
    from modelyard.registry.versions import resolve

    verified = verify(resolve(package), Trust())
    if not signing.sign(verified.path, key):
        raise UsageError(f"no key to sign with. Type: modelyard sign {package} --key FILE")
    typer.echo(f"signed {verified.info.version} in {verified.path}")


def allow(families: list[str] | None, reference: str = "") -> None:
    """Names families for this process and the workers that it starts; modules in the working
    folder count. Who asks for the champion of `flat_rent:FlatRent` has named that family."""
    named = list(families or [])
    # `flat_rent:FlatRent@champion` is imported too, and is no MODULE:CLASS as a whole.
    asked = reference.partition("@")[0]
    if MODULE_CLASS.fullmatch(asked):
        named.append(asked)
    if not named:
        return
    from modelyard.packages.trust import FAMILIES

    # By the environment, which the server's worker processes inherit.
    known = os.environ.get(FAMILIES)
    if known:
        named.append(known)
    os.environ[FAMILIES] = ",".join(named)
    import_from_here()


def submit(
    family: FamilyName,
    host: Annotated[
        str | None,
        typer.Option(help="Kubeflow Pipelines' address. Also KFP_HOST; token in KFP_TOKEN."),
    ] = None,
    data: Data = None,
    target: Target = None,
    rev: Rev = None,
    upload: Annotated[
        str | None,
        typer.Option(
            "--upload",
            metavar="URI",
            help="Bring local --data below s3://BUCKET/FOLDER, and train on it there.",
        ),
    ] = None,
    settings: Set = None,
    params: Params = PARAMS,
    nodes: Nodes = 1,
    gpus: Gpus = 0,
    image: Annotated[
        str | None,
        typer.Option(help="Image of the steps and training nodes. None: the compiled pipeline's."),
    ] = None,
    experiment: Annotated[str, typer.Option(help="Kubeflow experiment.")] = "modelyard",
    monitoring: Annotated[
        bool, typer.Option("--monitoring", help="The monitoring pipeline instead.")
    ] = False,
    follow: Annotated[bool, typer.Option(help="Wait and show the steps.")] = True,
    cache: Annotated[bool, typer.Option(help="Let Kubeflow reuse finished steps.")] = True,
    start_limit: Annotated[
        float,
        typer.Option(min=0, help="Minutes that a step may fail to start; then the run is ended."),
    ] = 30.0,
) -> None:
    """Send a family's pipeline to Kubeflow Pipelines and follow it."""
    from modelyard.cli.cluster import submit_pipeline
    from modelyard.cli.options import settings as resolve

    config = resolve(family, assignments=settings, params=params, data=data, target=target, rev=rev)
    submit_pipeline(
        family,
        config,
        host=host,
        nodes=nodes,
        gpus=gpus,
        experiment=experiment,
        kind="monitoring" if monitoring else "training",
        follow=follow,
        cache=cache,
        start_limit=start_limit,
        upload=upload,
        image=image,
    )
