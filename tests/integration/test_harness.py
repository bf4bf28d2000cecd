"""What the tests on a cluster are made of, tried without one."""

from __future__ import annotations

import base64
import json
import subprocess
import sys

import pytest

from modelyard.family import load, names
from modelyard.packages.package import read_info
from modelyard.settings.family import parse_assignments, resolve
from modelyard.store.artifact import verify
from tests.charts.helm import ROOT, binary, helm
from tests.integration.cluster import IMAGES, Cluster, Image, Missing, find, image
from tests.integration.test_model_chart import ASK, UNPACK, golden, packed
from tests.integration.test_training import assignments
from tests.service.conftest import build
from tests.service.test_serve import served


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return build(tmp_path_factory.mktemp("line"), "tests.toy.family:Line")


def python(*arguments: object) -> str:
    return subprocess.run(
        [sys.executable, "-c", *map(str, arguments)], capture_output=True, text=True, check=True
    ).stdout


def test_a_package_comes_whole_out_of_what_a_config_map_holds(package, tmp_path):
    (tmp_path / "first.tgz").write_bytes(base64.b64decode(packed(package)))
    python(UNPACK, tmp_path, tmp_path / "claim")
    assert verify(tmp_path / "claim" / "first").digest == verify(package).digest


def test_what_is_asked_in_a_pod_tells_who_answers_and_what(package, tmp_path):
    with served(package, tmp_path) as (_, url):
        found = json.loads(python(ASK, f"{url}/predict", json.dumps(golden(package)["request"])))
    assert found == {"version": read_info(package).version, "answer": golden(package)["response"]}


@pytest.mark.parametrize("family", names())
def test_settings_lead_from_the_defaults_to_a_debug_run(family):
    cls = load(family)
    debug, plain = (one.model_dump(mode="json") for one in (cls.Config.debug(), cls.Config()))
    assert (
        resolve(cls.Config, ("--set", parse_assignments(assignments(debug, plain))))
        == cls.Config.debug()
    )


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("modelyard/server:0.1.0", ("", "modelyard/server", "0.1.0")),
        (
            "host:5000/mirror/modelyard/server:0.1.0",
            ("host:5000", "mirror/modelyard/server", "0.1.0"),
        ),
        ("localhost/modelyard/server:dev", ("localhost", "modelyard/server", "dev")),
    ],
)
def test_an_image_is_taken_apart_and_put_together(name, parts):
    found = Image.parse(name)
    assert (found.registry, found.repository, found.tag) == parts
    assert str(found) == name


@pytest.mark.skipif(binary() is None, reason="helm is not installed: make helm")
def test_the_chart_runs_the_image_under_test_and_no_other():
    chosen = Image.parse("host:5000/mirror/server:test")
    given = ["--kube-version", "1.30.0", "--set", "package.claimName=packages", *chosen.values()]
    done = helm("template", "x", ROOT / "charts/model", *given)
    assert {line.split()[-1] for line in done.stdout.splitlines() if " image: " in line} == {
        f"{chosen}"
    }


@pytest.mark.parametrize("name", ["modelyard/server", "host:5000/modelyard/server"])
def test_an_image_without_a_tag_is_missing(name):
    with pytest.raises(Missing, match="names no tag"):
        Image.parse(name)


def test_an_image_that_nobody_names_is_missing_with_what_to_set(monkeypatch):
    monkeypatch.delenv(IMAGES["server"], raising=False)
    with pytest.raises(Missing, match="set MODELYARD_TEST_SERVER_IMAGE"):
        image("server")


def test_no_cluster_is_missing_with_its_reason(monkeypatch):
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Missing, match="KUBECONFIG is not set, and kind is not on the PATH"), find():
        pass


def test_a_cluster_that_is_away_is_missing_with_what_it_answers(tmp_path):
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": "http://127.0.0.1:9"}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "users": [{"name": "x", "user": {}}],
    }
    (tmp_path / "config").write_text(json.dumps(content))
    with pytest.raises(Missing, match="leads to none that answers"):
        Cluster(str(tmp_path / "config"))
