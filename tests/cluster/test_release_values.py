"""What a release is given: its values, and a package in the place that its pods fetch from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from modelyard.errors import Unavailable, UsageError
from modelyard.release import release
from modelyard.release.store import publish
from modelyard.settings.serve import ServeSettings
from modelyard.store import artifact
from tests.charts.helm import binary, helm
from tests.cluster.yard import RELEASE

pytestmark = pytest.mark.skipif(binary() is None, reason="helm is not installed. Type: make helm")


def test_the_very_values_render_a_deployment_with_that_package(yard, tmp_path):
    built = yard.runs["many"]
    values = release.wanted_values(built.run.config.serve, "s3://models/x", "ab" * 32)
    (tmp_path / "values.json").write_text(json.dumps(values))
    done = helm(
        "template",
        RELEASE,
        release.chart_of(built.run.config.serve),
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
    assert release.wanted_values(settings, "s3://m/x", "d") == {
        "replicaCount": 4,
        "package": {
            "credentialsSecret": "store",
            "sizeLimit": "3Gi",
            "uri": "s3://m/x",
            "sha256": "d",
        },
    }
    strict = settings.model_copy(update={"tolerance": 0.0})
    assert release.wanted_values(strict, "s3://m/x", "d")["tests"] == {"tolerance": 0.0}
    own = strict.model_copy(update={"values": {"tests": {"tolerance": 0.5, "enabled": False}}})
    assert release.wanted_values(own, "s3://m/x", "d")["tests"] == {
        "tolerance": 0.5,
        "enabled": False,
    }
    with pytest.raises(UsageError, match="there is no such file"):
        release.wanted_values(
            ServeSettings(values_file=str(tmp_path / "none.yaml")), "s3://m/x", "d"
        )


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
