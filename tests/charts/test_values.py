"""Values are named, documented, typed, and refused when they are wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.charts.helm import CASES, CHARTS, ROOT, Case, helm, template
from tests.charts.values_table import defaults, readme, values, with_table

each_chart = pytest.mark.parametrize("chart", CHARTS)


def schema(chart: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "charts" / chart / "values.schema.json").read_text())
    return found


def at(chart: str, path: tuple[str, ...]) -> dict[str, Any]:
    """The schema of a value."""
    whole = schema(chart)
    part = whole
    for name in path:
        part = part["properties"][name]
        if "$ref" in part:
            part = whole["definitions"][part["$ref"].rpartition("/")[2]]
    return part


def groups(chart: str, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of all mappings with fixed keys."""
    if "properties" in at(chart, path):
        yield path
        for name in at(chart, path)["properties"]:
            yield from groups(chart, (*path, name))


def stated(chart: str, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of all that is no mapping with fixed keys."""
    if "properties" not in at(chart, path):
        yield path
        return
    for name in at(chart, path)["properties"]:
        yield from stated(chart, (*path, name))


def given(chart: str, value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The same paths in values.yaml."""
    if isinstance(value, dict) and "properties" in at(chart, path):
        for name, one in value.items():
            yield from given(chart, one, (*path, name))
    else:
        yield path


def put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = value


def refusal(chart: str, given: dict[str, Any], folder: Any) -> str:
    """What helm says to values."""
    file = folder / "values.json"
    file.write_text(json.dumps(given))
    done = helm(
        "template", "x", ROOT / "charts" / chart, "--kube-version", "1.30.0", "--values", file
    )
    assert done.returncode != 0
    return done.stderr


@each_chart
def test_a_misspelt_value_is_refused_by_its_name_wherever_it_stands(chart, tmp_path):
    wrong: dict[str, Any] = {}
    places = list(groups(chart))
    for number, path in enumerate(places):
        put(wrong, (*path, f"misspelt{number}"), 1)
    said = refusal(chart, wrong, tmp_path)
    missed = [
        path for n, path in enumerate(places) if f"property misspelt{n} is not allowed" not in said
    ]
    assert missed == []
    assert len(places) > 15


@each_chart
def test_a_value_of_the_wrong_type_is_refused_by_its_path(chart, tmp_path):
    wrong: dict[str, Any] = {}
    places = list(stated(chart))
    for path in places:
        put(wrong, path, {"!": [{}]})
    said = refusal(chart, wrong, tmp_path)
    assert [
        path for path in places if not re.search(rf"- {re.escape('.'.join(path))}(\.!)?: ", said)
    ] == []


@each_chart
def test_no_object_of_the_schema_takes_unknown_keys(chart):
    def open_ones(part: Any, path: str) -> Iterator[str]:
        if isinstance(part, dict):
            if part.get("type") == "object" and part.get("additionalProperties") is not False:
                yield path
            for name, one in part.items():
                yield from open_ones(one, f"{path}.{name}")
        elif isinstance(part, list):
            for number, one in enumerate(part):
                yield from open_ones(one, f"{path}[{number}]")

    assert list(open_ones(schema(chart), "$")) == []


@each_chart
def test_schema_and_values_have_the_same_keys(chart):
    optional = {path for path in stated(chart) if path[-1] == "ephemeral-storage"}
    assert set(stated(chart)) - optional == set(given(chart, defaults(chart)))


@each_chart
def test_every_value_says_what_it_means(chart):
    assert [one.path for one in values(chart) if not one.comment] == []


@each_chart
def test_the_readme_shows_the_values_as_they_are(chart):
    assert readme(chart).read_text() == with_table(chart), (
        "type: python -m tests.charts.values_table"
    )


BAD = [
    ("model", "image.tag=latest", "image.tag"),
    ("model", "image.digest=sha256:abc", "image.digest"),
    ("model", "package.uri=s3://key:secret@bucket/x", "package.uri"),
    ("model", "package.sha256=abc", "package.sha256"),
    ("model", "canary.weight=101", "canary.weight"),
    ("model", "canary.mode=header", "canary.mode"),
    ("model", "resources.limits.memory=much", "resources.limits.memory"),
    ("model", "resources.limits=null", "limits is required"),
    ("model", "security.runAsUser=0", "security.runAsUser"),
    ("model", "gpu.resource=gpu", "gpu.resource"),
    ("model", "predictions.kind=disk", "predictions.kind"),
    ("model", "replicaCount=0", "replicaCount"),
    ("model", "service.port=70000", "service.port"),
    ("model", "podLabels.bad label=x", "bad label"),
    ("model", "networkPolicy.cidrs={10.0.0.0/99}", "networkPolicy.cidrs.0"),
    ("model", "networkPolicy.cidrs={fd00::/129}", "networkPolicy.cidrs.0"),
    ("platform", "register.host=pipelines", "register.host"),
    ("platform", "register.schedules.a.family=tabular", "cron is required"),
    ("platform", "register.schedules.a.cron=hourly", "register.schedules.a.cron"),
    ("platform", "register.schedules.a.crom=x", "crom"),
    ("platform", "trainingRuntimes.big.gpus=8", "gpus"),
    ("platform", "trainingRuntimes.Big.cpu=8", "Big"),
    ("platform", "access.deployTo={Models}", "access.deployTo.0"),
    ("platform", "access.deployTo=models", "access.deployTo"),
    ("platform", "alerts.errorShare=2", "alerts.errorShare"),
    ("platform", "security.runAsUser=0", "security.runAsUser"),
]
MISFITS = [
    ("model", "default", "package.uri=", "package names 0 sources"),
    ("model", "default", "package.claimName=packages", "package names 2 sources"),
    ("model", "canary", "canary.package.uri=", "canary.package names 0 sources"),
    ("model", "canary", "gateway.enabled=false", "canary.mode is gateway"),
    ("model", "canary-replicas", "autoscaling.enabled=true", "the share would change"),
    ("model", "canary-replicas", "canary.weight=95", "at most 90"),
    ("model", "full", "keda.enabled=true", "two controllers"),
    ("model", "full", "gateway.parents=null", "gateway.parents"),
    ("model", "full", "autoscaling.minReplicas=99", "autoscaling.minReplicas is 99, more than"),
    ("model", "keda", "keda.minReplicas=99", "keda.minReplicas is 99, more than"),
    ("model", "default", "termination.graceSeconds=5", "killed before they heard of it"),
    ("model", "default", "server.env.MODELYARD_QUEUE=x", "set by the chart already"),
    ("model", "default", "server.env.MODELYARD_TOKEN=x", "auth.existingSecret"),
    ("model", "full", "predictions.claim.accessMode=ReadWriteOnce", "more than one pod writes"),
    ("model", "keda", "keda.query=", "none would ever start"),
    ("model", "keda", "keda.prometheusAddress=", "keda.prometheusAddress"),
    ("model", "keda", "predictions.uri=", "predictions.uri is empty"),
    ("platform", "default", "reports.enabled=true", "reports.enabled needs reports.uri"),
    ("platform", "full", "reports.claimName=x", "give one"),
    ("platform", "full", "register.enabled=false", "nothing would schedule"),
    ("platform", "training-only", "mlflow.enabled=true", "mlflow.externalUri is set"),
    ("platform", "default", "quota.enabled=true", "quota.hard"),
    ("platform", "external", "access.deployTo={models}", "no role would be made"),
    (
        "platform",
        "default",
        "trainingRuntimes.x.cpu=1,trainingRuntimes.x.memory=1Gi,trainingRuntimes.x.gpuCount=2",
        "gpuR",
    ),
]


@pytest.mark.parametrize(("chart", "assignment", "said"), BAD)
def test_a_value_that_is_not_allowed_is_refused(chart, assignment, said):
    done = template(next(case for case in CASES if case.chart == chart), "--set", assignment)
    assert done.returncode != 0
    assert said in done.stderr


@pytest.mark.parametrize(("chart", "file", "assignment", "said"), MISFITS)
def test_values_that_do_not_fit_together_are_refused_with_the_reason(chart, file, assignment, said):
    done = template(Case(chart, file), "--set", assignment)
    assert done.returncode != 0
    assert said in done.stderr
