"""Uploads the compiled pipelines to Kubeflow Pipelines and schedules monitoring: register.py PLAN.

Their steps run the image that the plan names, wherever they were compiled for. A pipeline whose
bytes are there already is left alone; a schedule is replaced by the one of the plan. So it may run
as often as it likes.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from modelyard.errors import ModelyardError, Unavailable, UsageError, choices
from modelyard.family import names
from modelyard.launch.manifest import IMAGE
from modelyard.pipeline import pipelines

if TYPE_CHECKING:
    from kfp import Client

PREFIX = "modelyard-"
"""In front of every schedule's name: others are never touched."""
PAUSE = 5.0
"""Seconds between two tries to reach Kubeflow Pipelines."""
ADVICE = (
    "Set register.host to the address of its API, or register.enabled=false where there is none"
)


def with_image(file: Path, image: str) -> tuple[str, str]:
    """Name and text of a compiled pipeline whose steps, and the training nodes that they start,
    run an image."""
    spec, *rest = yaml.safe_load_all(file.read_text())
    for executor in spec["deploymentSpec"]["executors"].values():
        container = executor["container"]
        container["image"] = image
        for variable in container.get("env", []):
            if variable["name"] == IMAGE:
                variable["value"] = image
    return spec["pipelineInfo"]["name"], yaml.safe_dump_all([spec, *rest], sort_keys=True)


def upload(client: Client, compiled: Path, image: str, namespace: str | None) -> tuple[str, str]:
    """Ids of the pipeline and of the version with these bytes, uploaded where they are missing."""
    name, text = with_image(compiled, image)
    sum_ = hashlib.sha256(text.encode()).hexdigest()[:12]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / compiled.name
        file.write_text(text)
        return _uploaded(client, file, name, sum_, namespace)


def _uploaded(
    client: Client, file: Path, name: str, sum_: str, namespace: str | None
) -> tuple[str, str]:
    pipeline = _pipeline(client, name, namespace)
    if pipeline is None:
        pipeline = client.upload_pipeline(
            str(file), name, f"modelyard {sum_}", namespace
        ).pipeline_id
    for version in client.list_pipeline_versions(pipeline, page_size=100).pipeline_versions or []:
        if sum_ in (version.display_name, (version.description or "").removeprefix("modelyard ")):
            return pipeline, version.pipeline_version_id
    version = client.upload_pipeline_version(
        str(file), sum_, pipeline, description=f"modelyard {sum_}"
    )
    print(f"{name} {sum_}")
    return pipeline, version.pipeline_version_id


def _pipeline(client: Client, name: str, namespace: str | None) -> str | None:
    # 1 is "equals", as kfp's own client writes it
    equal = {"predicates": [{"operation": 1, "key": "display_name", "stringValue": name}]}
    found = client.list_pipelines(filter=json.dumps(equal), namespace=namespace).pipelines or []
    return found[0].pipeline_id if found else None


def chosen(families: list[str]) -> list[Path]:
    """The compiled pipelines of the families; of all and the generic ones where none is named.

    Raises:
        UsageError: there is no such family.
    """
    known = names()
    for family in families:
        if family not in known:
            raise UsageError(f"register.families: {choices('family', family, known)}")
    files = [
        pipelines.of_family(family, kind)
        for family in families or known
        for kind in pipelines.KINDS
    ]
    return files if families else [*files, *map(pipelines.generic, pipelines.KINDS)]


def nested(settings: dict[str, Any]) -> dict[str, Any]:
    """Dotted settings as a config: {"monitor.log": "s3://x"} to {"monitor": {"log": "s3://x"}}."""
    config: dict[str, Any] = {}
    for path, value in settings.items():
        *sections, name = path.split(".")
        place = config
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value
    return config


def schedule(
    client: Client, name: str, wanted: dict[str, Any], plan: dict[str, Any], experiment: str
) -> None:
    """Makes the recurring run of a plan's schedule, then removes the ones of the same name that
    it replaces."""
    job, family = PREFIX + name, wanted["family"]
    before = [one.recurring_run_id for one in _jobs(client, experiment) if one.display_name == job]
    pipeline, version = upload(
        client, pipelines.of_family(family, "monitoring"), plan["image"], plan["namespace"] or None
    )
    config = nested(wanted.get("settings", {}))
    # A pod's size is the pipeline's to ask for, before the step that reads the settings is there.
    size = {
        name: str(amount)
        for name, amount in config.get("cluster", {}).items()
        if name in ("cpu", "memory")
    }
    client.create_recurring_run(
        experiment,
        job,
        cron_expression=wanted["cron"],
        pipeline_id=pipeline,
        version_id=version,
        params={"family": family, "config": config, **size},
        no_catchup=True,
        enabled=wanted.get("enabled", True),
        service_account=plan.get("account"),
    )
    for old in before:
        client.delete_recurring_run(old)
    print(f"{job}: {family} at {wanted['cron']}")


def unschedule(client: Client, kept: set[str], experiment: str) -> None:
    """Removes the schedules that the plan no longer has."""
    for one in _jobs(client, experiment):
        if one.display_name.startswith(PREFIX) and one.display_name not in kept:
            client.delete_recurring_run(one.recurring_run_id)
            print(f"{one.display_name}: removed")


def _jobs(client: Client, experiment: str) -> list[Any]:
    return client.list_recurring_runs(experiment_id=experiment, page_size=100).recurring_runs or []


def connected(minutes: float) -> Client:
    """A client of Kubeflow Pipelines, which may be starting: it is tried for so many minutes.

    Raises:
        Unavailable: it does not answer by then.
    """
    began = time.monotonic()
    while True:
        try:
            return pipelines.connect(None, ADVICE)
        except Unavailable as error:
            waited = time.monotonic() - began
            if waited + PAUSE > minutes * 60:
                raise Unavailable(f"tried for {waited / 60:.1f} minutes: {error}") from None
            time.sleep(PAUSE)


def register(plan: dict[str, Any]) -> None:
    """Carries a plan out.

    Raises:
        UsageError: a family is unknown; Unavailable: Kubeflow Pipelines does not answer.
    """
    if token := os.environ.get("KFP_TOKEN_FILE"):
        os.environ["KFP_TOKEN"] = Path(token).read_text().strip()
    files = chosen(plan["families"])
    client = connected(plan["waitMinutes"])
    for file in files:
        upload(client, file, plan["image"], plan["namespace"] or None)
    experiment = client.create_experiment(
        plan["experiment"], namespace=plan["namespace"] or None
    ).experiment_id
    for name, wanted in plan["schedules"].items():
        schedule(client, name, wanted, plan, experiment)
    unschedule(client, {PREFIX + name for name in plan["schedules"]}, experiment)


if __name__ == "__main__":
    try:
        register(json.loads(Path(sys.argv[1]).read_text()))
    except ModelyardError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
