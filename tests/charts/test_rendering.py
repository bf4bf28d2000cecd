"""Every values file of every chart renders to objects that keep all rules."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.charts.helm import CASES, CHARTS, ROOT, helm, notes, objects, template, text
from tests.charts.rules import RULES, pods

each_case = pytest.mark.parametrize("case", CASES, ids=str)
REGISTRY = "mirror.example.org:5000/all"


@each_case
def test_helm_lint_finds_nothing(case):
    done = helm("lint", "--strict", case.folder, "--values", case.values)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


@each_case
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rendering_keeps_the_rule(rule, case):
    assert rule(objects(case)) == []


@each_case
def test_the_same_values_give_the_same_bytes(case):
    assert template(case).stdout == text(case) != ""


@each_case
def test_no_line_ends_in_blanks(case):
    assert [
        line for line in text(case).splitlines() if line.strip() and line != line.rstrip()
    ] == []


@each_case
def test_every_image_follows_the_registry(case):
    found = objects(case, "--set", f"global.imageRegistry={REGISTRY}")
    images = [one["image"] for pod in pods(found) for _, one in pod.containers()]
    assert [image for image in images if not image.startswith(f"{REGISTRY}/")] == []
    assert len(images) == sum(1 for pod in pods(objects(case)) for _ in pod.containers())


@each_case
def test_every_pod_uses_the_pull_secrets(case):
    found = list(pods(objects(case, "--set", "global.imagePullSecrets={first,second}")))
    assert [
        pod.owner for pod in found if names(pod.spec.get("imagePullSecrets")) != ["first", "second"]
    ] == []


@each_case
def test_nothing_changes_with_the_kubernetes_version(case):
    assert template(case, kubernetes="1.37.0").stdout == text(case)


@each_case
def test_the_notes_name_the_next_command_with_the_release_and_its_namespace(case, tmp_path):
    said = notes(case, tmp_path)
    assert re.search(r"^  (helm test payments|kubectl) .*namespace models", said, re.MULTILINE), (
        said
    )
    assert "<no value>" not in said


@pytest.mark.parametrize("chart", CHARTS)
def test_an_older_cluster_is_refused(chart):
    case = next(case for case in CASES if case.chart == chart)
    done = template(case, kubernetes="1.27.9")
    assert done.returncode != 0
    assert "kubeVersion" in done.stderr


@pytest.mark.parametrize("chart", CHARTS)
def test_the_chart_names_the_version_of_modelyard(chart):
    import yaml

    import modelyard

    stated = yaml.safe_load((ROOT / "charts" / chart / "Chart.yaml").read_text())
    assert stated["appVersion"] == modelyard.__version__


def names(references: Any) -> list[str]:
    return [one["name"] for one in references or []]
