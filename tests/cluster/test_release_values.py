"""What a release is given: its values, and a package in the place that its pods fetch from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from modelyard.errors import Unavailable, UsageError
from modelyard.release.smoke import selector
from modelyard.release.store import publish
from modelyard.release.values import candidate_name, candidate_values, chart_of, wanted_values
from modelyard.settings.serve import ServeSettings
from modelyard.store import artifact
from tests.charts.helm import CASES, Object, binary, helm
from tests.cluster.yard import RELEASE

pytestmark = pytest.mark.skipif(binary() is None, reason="helm is not installed. Type: make helm")


def test_the_very_values_render_a_deployment_with_that_package(yard, tmp_path):
    built = yard.runs["many"]
    values = wanted_values(built.run.config.serve, "s3://models/x", "ab" * 32)
    (tmp_path / "values.json").write_text(json.dumps(values))
    done = helm(
        "template",
        RELEASE,
        chart_of(built.run.config.serve),
        "--values",
        tmp_path / "values.json",
        "--kube-version",
        "1.30.0",
    )
    assert done.returncode == 0, done.stderr
    deployment = next(
        one for one in yaml.safe_load_all(done.stdout) if one and one["kind"] == "Deployment"
    )
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["template"]["spec"]["initContainers"][0]["args"][::2] == [
        "s3://models/x",
        "ab" * 32,
    ]


def test_values_of_the_settings_go_over_those_of_the_file(tmp_path):
    (tmp_path / "values.yaml").write_text(
        "replicaCount: 4\npackage: {credentialsSecret: store, sizeLimit: 1Gi}\n"
    )
    settings = ServeSettings(
        values_file=str(tmp_path / "values.yaml"), values={"package": {"sizeLimit": "3Gi"}}
    )
    assert wanted_values(settings, "s3://m/x", "d") == {
        "replicaCount": 4,
        "package": {
            "credentialsSecret": "store",
            "sizeLimit": "3Gi",
            "uri": "s3://m/x",
            "sha256": "d",
        },
    }
    strict = settings.model_copy(update={"tolerance": 0.0})
    assert wanted_values(strict, "s3://m/x", "d")["tests"] == {"tolerance": 0.0}
    own = strict.model_copy(update={"values": {"tests": {"tolerance": 0.5, "enabled": False}}})
    assert wanted_values(own, "s3://m/x", "d")["tests"] == {
        "tolerance": 0.5,
        "enabled": False,
    }
    with pytest.raises(UsageError, match="there is no such file"):
        wanted_values(ServeSettings(values_file=str(tmp_path / "none.yaml")), "s3://m/x", "d")


def test_a_package_that_arrived_in_part_is_sent_again_and_a_whole_one_stays(yard, tmp_path):
    package, base = yard.runs["few"].package, f"file://{tmp_path}"
    there = Path(publish(package, base, "x").removeprefix("file://"))
    assert artifact.verify(there).digest == there.name
    written = (there / "golden.json").stat().st_mtime_ns
    publish(package, base, "x")
    assert (there / "golden.json").stat().st_mtime_ns == written
    (there / "golden.json").write_text("{")
    publish(package, base, "x")
    assert artifact.verify(there).digest == there.name


def test_a_place_that_cannot_be_written_leaves_no_package(yard, tmp_path):
    (tmp_path / "store").write_text("a file, not a folder")
    with pytest.raises(Unavailable, match="Check serve.packages"):
        publish(yard.runs["few"].package, f"file://{tmp_path}/store", "x")
    with pytest.raises(UsageError, match="--set serve.packages=s3://BUCKET"):
        publish(yard.runs["few"].package, None, "x")


FULL = [case for case in CASES if case.chart == "model"]
TRAFFIC = ("HTTPRoute", "HorizontalPodAutoscaler", "ScaledObject", "ServiceMonitor")


def rendered(name: str, values: dict, folder: Path) -> list[Object]:
    """What helm makes of values for a release of this name."""
    file = folder / f"{name}.json"
    file.write_text(json.dumps(values))
    chart = chart_of(ServeSettings())
    done = helm("template", name, chart, "--values", file, "--kube-version", "1.30.0")
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def selectors(things: list[Object]) -> list[dict[str, str]]:
    """By what the objects of a release choose pods or Services."""
    found = []
    for one in things:
        spec = one.get("spec", {})
        for choice in (spec.get("selector"), spec.get("podSelector")):
            if choice:
                found.append(choice.get("matchLabels", choice))
    return found


@pytest.mark.parametrize("case", FULL, ids=str)
def test_nothing_of_a_release_selects_its_candidate_whatever_its_values(case, tmp_path):
    """Neither by the labels of its pods nor by those of its Service; and the other way round."""
    values = {"podLabels": {"team": "risk"}} | yaml.safe_load(case.values.read_text())
    for release in ("payments", "p" * 45):
        own = candidate_values(values, release, None, set())
        things, tried = rendered(release, values, tmp_path), candidate_name(release)
        candidate = rendered(tried, own, tmp_path)
        for choosing, chosen in ((things, candidate), (candidate, things)):
            labels = [
                place.get("metadata", {}).get("labels", {})
                for one in chosen
                for place in (one, one.get("spec", {}).get("template", {}))
            ]
            for choice in selectors(choosing):
                assert [one for one in labels if choice.items() <= one.items()] == []
        names = {(one["kind"], one["metadata"]["name"]) for one in things}
        both = names & {(one["kind"], one["metadata"]["name"]) for one in candidate}
        assert {kind for kind, _ in both} <= {"ServiceAccount"}
        assert [one["kind"] for one in candidate if one["kind"] in TRAFFIC] == []
        (deployment,) = [one for one in candidate if one["kind"] == "Deployment"]
        assert deployment["spec"]["replicas"] == 1
        wanted = dict(part.split("=") for part in selector(tried).split(","))
        assert wanted.items() <= deployment["metadata"]["labels"].items()


def pod(things: list[Object]) -> Object:
    return next(
        one["spec"]["template"]["spec"]
        for one in things
        if one["kind"] == "Deployment"
        and one["metadata"]["labels"]["app.kubernetes.io/component"] == "stable"
    )


def test_a_candidate_is_the_very_pod_that_will_serve_but_for_its_log_of_predictions(tmp_path):
    case = next(one for one in FULL if one.file == "gpu")
    values = yaml.safe_load(case.values.read_text()) | {"predictions": {"enabled": False}}
    values["termination"] = {"drainSeconds": 0}
    own = candidate_values(values, "payments", values, set())
    mine, other = (
        json.dumps(pod(rendered(name, given, tmp_path)), sort_keys=True)
        for name, given in (("payments-candidate", own), ("payments", values))
    )
    assert mine.replace("payments-candidate", "payments") == other


def test_a_candidate_has_the_account_of_its_release_and_makes_it_only_where_it_is_not_there():
    """A cloud's role trusts an account by its name."""
    account = {"annotations": {"role": "reader"}}
    values = {"serviceAccount": account, "package": {"uri": "s3://m/x"}}
    first = candidate_values(values, "payments", None, set())["serviceAccount"]
    assert first == {**account, "name": "payments", "create": True}
    later = candidate_values(values, "payments", values, set())["serviceAccount"]
    assert (later["name"], later["create"]) == ("payments", False)
    renamed = {**values, "serviceAccount": {"name": "reader"}}
    moved = candidate_values(renamed, "payments", values, set())["serviceAccount"]
    assert (moved["name"], moved["create"]) == ("reader", True)
    foreign = {**values, "serviceAccount": {"create": False}}
    given = candidate_values(foreign, "payments", None, set())["serviceAccount"]
    assert (given["name"], given["create"]) == ("default", False)


def test_a_candidate_has_no_label_by_which_a_service_of_the_namespace_chooses_pods():
    values = {"podLabels": {"app": "shop", "azure.workload.identity/use": "true"}}
    own = candidate_values(values, "payments", None, {"app", "app.kubernetes.io/instance"})
    assert own["podLabels"] == {"azure.workload.identity/use": "true"}
    assert values["podLabels"]["app"] == "shop"


@pytest.mark.parametrize("length", [1, 35, 36, 45, 53])
def test_a_candidates_name_is_never_cut_by_the_chart(length):
    names = {candidate_name(letter * length) for letter in "ab"}
    assert len(names) == 2
    assert all(len(name) <= 45 and name.endswith("-candidate") for name in names)
