"""A release made by an earlier version of a chart can be upgraded with the values it has."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.helm import ROOT, Object, helm
from tests.charts.released.make import fixed

RELEASED = sorted((Path(__file__).parent / "released").glob("*.json"))
EARLIER = [(file, case) for file in RELEASED for case in json.loads(file.read_text())]


def upgraded(file: Path, case: str, folder: Path) -> list[Object]:
    """What today's chart renders for the values of then."""
    values = folder / "values.yaml"
    values.write_text(json.loads(file.read_text())[case]["values"])
    chart = ROOT / "charts" / file.stem.partition("-")[0]
    place = ["--namespace", "models", "--kube-version", "1.30.0", "--is-upgrade"]
    done = helm("template", "payments", chart, *place, "--values", values)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


@pytest.mark.parametrize(("file", "case"), EARLIER, ids=lambda part: getattr(part, "stem", part))
def test_an_upgrade_keeps_names_selectors_claims_and_roles(file, case, tmp_path):
    before: dict[str, Any] = json.loads(file.read_text())[case]["fixed"]
    after = fixed(upgraded(file, case, tmp_path))
    changed = {
        name: (then, after[name])
        for name, then in before.items()
        if name in after and after[name] != then
    }
    assert changed == {}
    lost = {
        name
        for name in before
        if name not in after and name.startswith(("PersistentVolumeClaim/", "Deployment/"))
    }
    assert lost == set()


@pytest.mark.parametrize("chart", sorted({file.stem.partition("-")[0] for file in RELEASED}))
def test_a_changed_selector_is_noticed(chart, tmp_path):
    file = next(file for file in RELEASED if file.stem.startswith(chart))
    case = next(iter(json.loads(file.read_text())))
    found = upgraded(file, case, tmp_path)
    one = next(one for one in found if one["kind"] == "Deployment")
    before = copy.deepcopy(fixed(found))
    one["spec"]["selector"]["matchLabels"]["app.kubernetes.io/version"] = "2"
    assert fixed(found) != before
