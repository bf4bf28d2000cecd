"""Uploads the compiled pipelines to Kubeflow Pipelines and schedules monitoring: register.py PLAN.

Their steps run the image that the plan names, wherever they were compiled for. A pipeline whose
bytes are the newest version already is left alone, and so is a schedule that is as the plan wants it.
So it may run as often as it likes. `register.py PLAN --remove` removes the release's schedules.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from schedules import Schedules, Wanted, check_cron

from modelyard.errors import ModelyardError, Unavailable, UsageError, choices
from modelyard.family import load, names
from modelyard.pipeline import pipelines
from modelyard.settings.carried import carried
from modelyard.settings.family import resolve
from modelyard.settings.uri import is_remote
from modelyard.stages.run import code_version

if TYPE_CHECKING:
    from kfp import Client

OURS = ("release ", "modelyard ")
"""How the descriptions of our versions begin; the second is what earlier charts wrote."""
PAUSE = 2.0
"""Seconds between two tries to reach Kubeflow Pipelines."""
ADVICE = (
    "Set register.host to the address of its API, or register.enabled=false where there is none"
)


@dataclass(frozen=True)
class Compiled:
    """A compiled pipeline with the image that its steps run."""

    name: str
    about: str
    """What it does, in its own words."""
    text: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]


def with_image(file: Path, image: str) -> Compiled:
    """A compiled pipeline whose steps, and the training nodes that they start, run an image, unless its
    form names another."""
    spec, *rest = pipelines.with_image(file, image)
    info = spec["pipelineInfo"]
    text = yaml.safe_dump_all([spec, *rest], sort_keys=True)
    return Compiled(info["name"], info.get("description", ""), text)


def upload(client: Client, compiled: Compiled, plan: dict[str, Any]) -> tuple[str, str]:
    """Ids of the pipeline and of its newest version, which has these bytes: uploaded where it has not."""
    namespace = plan["namespace"] or None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{compiled.name}.yaml"
        file.write_text(compiled.text)
        pipeline = _pipeline(client, compiled.name, namespace)
        if pipeline is None:
            made = client.upload_pipeline(str(file), compiled.name, compiled.about, namespace)
            pipeline = str(made.pipeline_id)
        versions = _versions(client, pipeline)
        same = [one for one in versions if one.display_name.startswith(compiled.digest)]
        # The page takes the newest, so that going back to an old one is to make it again.
        if same and same[-1] is versions[-1]:
            return pipeline, same[-1].pipeline_version_id
        name = f"{compiled.digest}-{len(same) + 1}" if same else compiled.digest
        about = (
            f"release {plan['owner']}, chart {plan['chart']}, image {plan['image']}, "
            f"code {code_version()}"
        )
        version = client.upload_pipeline_version(str(file), name, pipeline, description=about)
    print(f"{compiled.name} {name}")
    return pipeline, version.pipeline_version_id


def _versions(client: Client, pipeline: str) -> list[Any]:
    """The versions of a pipeline, the newest last."""
    found: list[Any] = []
    token = ""
    while True:
        page = client.list_pipeline_versions(pipeline, page_token=token, page_size=100)
        found += page.pipeline_versions or []
        token = page.next_page_token or ""
        if not token:
            return sorted(found, key=lambda one: str(one.created_at or ""))


def _pipeline(client: Client, name: str, namespace: str | None) -> str | None:
    # 1 is "equals", as kfp's own client writes it
    equal = {"predicates": [{"operation": 1, "key": "display_name", "stringValue": name}]}
    found = client.list_pipelines(filter=json.dumps(equal), namespace=namespace).pipelines or []
    return found[0].pipeline_id if found else None


def check_pipelines(client: Client, wanted: list[Compiled], namespace: str | None) -> None:
    """Refuses to add versions to a pipeline of the same name that somebody else made.

    Raises:
        UsageError: there is one.
    """
    for compiled in wanted:
        pipeline = _pipeline(client, compiled.name, namespace)
        if pipeline is None:
            continue
        descriptions = [str(one.description or "") for one in _versions(client, pipeline)]
        if descriptions and not any(
            text.startswith(OURS) or text == compiled.about for text in descriptions
        ):
            raise UsageError(
                f"pipeline {compiled.name!r} is there and not made by this chart. Rename it on the "
                "page, or leave its family out of register.families and register.schedules"
            )


def check_family(where: str, family: str) -> None:
    """Refuses a family that the image does not hold: modelyard's, or one's own as module:entry.

    Raises:
        UsageError: the value, by its name among the chart's.
    """
    known = names()
    if ":" not in family:
        if family not in known:
            raise UsageError(f"{where}: {choices('family', family, known)}")
        return
    try:
        load(family)
    except UsageError as error:
        raise UsageError(f"{where}: {error}. Set image.repository to one that holds it") from None


def chosen(families: list[str]) -> list[Path]:
    """The compiled pipelines of the families; of all and the generic ones where none is named.

    Raises:
        UsageError: there is no such family.
    """
    for family in families:
        check_family("register.families", family)
    files = pipelines.of_families(
        [(family, kind) for family in families or names() for kind in pipelines.KINDS]
    )
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


def check_schedules(plan: dict[str, Any]) -> None:
    """Refuses a plan with a schedule that could not run, before anything is touched.

    Raises:
        UsageError: the value, by its name among the chart's, what was seen, what is allowed.
    """
    for name, wanted in plan["schedules"].items():
        where = f"register.schedules.{name}"
        check_family(f"{where}.family", wanted["family"])
        check_cron(f"{where}.cron", wanted["cron"])
        settings = nested(wanted.get("settings", {}))
        try:
            config = resolve(load(wanted["family"]).Config, ("config", settings))
        except UsageError as error:
            raise UsageError(f"{where}.settings: {error}") from None
        log = config.monitor.log
        if log is not None and not is_remote(log):
            raise UsageError(
                f"{where}.settings.monitor.log = {log!r} is no address that a pod reaches. "
                "Write s3://BUCKET/FOLDER, where the service writes its log"
            )


def wanted_schedule(
    client: Client, name: str, wanted: dict[str, Any], plan: dict[str, Any]
) -> Wanted:
    """A schedule of the plan, its pipeline uploaded."""
    family = wanted["family"]
    compiled = with_image(pipelines.of_family(family, "monitoring"), plan["image"])
    pipeline, version = upload(client, compiled, plan)
    config = nested(wanted.get("settings", {}))
    title = f"{plan['owner'].rpartition('/')[2]}-{name}"
    # Verdicts and reports say which schedule they are of.
    config["monitor"] = {"schedule": title, **config.get("monitor", {})}
    # A pod's size is the pipeline's to ask for, before the step that reads the settings is there.
    size = {
        name: str(amount)
        for name, amount in config.get("cluster", {}).items()
        if name in ("cpu", "memory")
    }
    return Wanted(
        name=name,
        title=title,
        cron=wanted["cron"],
        pipeline=pipeline,
        version=version,
        content=compiled.digest,
        parameters={"family": family, "settings": carried(config), **size},
        enabled=wanted.get("enabled", True),
        account=plan.get("account"),
    )


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
            if waited < PAUSE:
                print(f"trying for {minutes:g} minutes: {error}", flush=True)
            if waited + PAUSE > minutes * 60:
                raise Unavailable(f"tried for {waited / 60:.1f} minutes: {error}") from None
            time.sleep(PAUSE)


def register(plan: dict[str, Any]) -> None:
    """Carries a plan out.

    Raises:
        UsageError: a value is wrong; Unavailable: Kubeflow Pipelines does not answer.
    """
    files = chosen(plan["families"])
    check_schedules(plan)
    client = connected(plan["waitMinutes"])
    compiled = [with_image(file, plan["image"]) for file in files]
    # A schedule may be of a family whose other pipelines are not wanted.
    scheduled = [
        with_image(pipelines.of_family(one["family"], "monitoring"), plan["image"])
        for one in plan["schedules"].values()
    ]
    check_pipelines(client, [*compiled, *scheduled], plan["namespace"] or None)
    for one in compiled:
        upload(client, one, plan)
    wanted = [wanted_schedule(client, name, one, plan) for name, one in plan["schedules"].items()]
    schedules_of(client, plan).follow(wanted)


def remove(plan: dict[str, Any]) -> None:
    """Removes the release's schedules. An uninstall goes on without Kubeflow Pipelines too."""
    try:
        client = connected(min(plan["waitMinutes"], 0.5))
    except Unavailable as error:
        print(f"the schedules of release {plan['owner']} are left: {error}")
        return
    schedules_of(client, plan).remove()
    print("left: pipelines and their versions, runs and their artifacts")


def schedules_of(client: Client, plan: dict[str, Any]) -> Schedules:
    """The release's schedules."""
    experiment = client.create_experiment(
        plan["experiment"], namespace=plan["namespace"] or None
    ).experiment_id
    settle = float(plan.get("settleSeconds", 15))
    return Schedules(client, experiment, plan["owner"], settle)


def main(arguments: list[str]) -> None:
    """Carries out the plan in the file that the first argument names."""
    if token := os.environ.get("KFP_TOKEN_FILE"):
        os.environ["KFP_TOKEN"] = Path(token).read_text().strip()
    plan = json.loads(Path(arguments[0]).read_text())
    act = remove if "--remove" in arguments else register
    act(plan)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ModelyardError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
