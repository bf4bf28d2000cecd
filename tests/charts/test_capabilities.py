"""What charts do where the cluster lacks a custom resource: rendered with and without each, and
installed."""

from __future__ import annotations

import pytest

from tests.charts.cluster import running
from tests.charts.helm import CASES, Case, helm, notes, objects, template
from tests.charts.test_release import run

A_CLUSTER = "apps/v1/Deployment"
"""What every cluster knows, and helm without a cluster does not say."""
RUNTIME = "trainer.kubeflow.org/v1alpha1/ClusterTrainingRuntime"
EXTENSIONS = {
    "HTTPRoute": "gateway.networking.k8s.io/v1/HTTPRoute",
    "ScaledObject": "keda.sh/v1alpha1/ScaledObject",
    "ServiceMonitor": "monitoring.coreos.com/v1/ServiceMonitor",
    "PrometheusRule": "monitoring.coreos.com/v1/PrometheusRule",
    "ClusterTrainingRuntime": RUNTIME,
}
ASKED_FOR = [
    ("model", "full", "HTTPRoute", "gateway.enabled", "the Gateway API"),
    ("model", "keda", "ScaledObject", "keda.enabled", "KEDA"),
    ("model", "full", "ServiceMonitor", "serviceMonitor.enabled", "the Prometheus Operator"),
    ("platform", "full", "PrometheusRule", "alerts.enabled", "the Prometheus Operator"),
]


def knowing(*kinds: str) -> list[str]:
    """Arguments of helm for a cluster that knows these kinds beside its own."""
    return [word for kind in (A_CLUSTER, *kinds) for word in ("--api-versions", kind)]


def without(kind: str) -> list[str]:
    """Arguments of helm for a cluster that knows all extensions but one."""
    return knowing(*(name for short, name in EXTENSIONS.items() if short != kind))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_cluster_that_knows_every_kind_gets_what_is_rendered_without_a_cluster(case):
    assert objects(case, *knowing(*EXTENSIONS.values())) == objects(case)


@pytest.mark.parametrize(("chart", "file", "kind", "value", "brings"), ASKED_FOR)
def test_a_kind_that_a_value_asks_for_and_the_cluster_lacks_is_refused_by_the_value(
    chart, file, kind, value, brings
):
    done = template(Case(chart, file), *without(kind))
    assert done.returncode != 0
    assert f"{value} is true, but this cluster does not know {EXTENSIONS[kind]}" in done.stderr
    assert f"Install {brings}, or set {value}=false" in done.stderr
    assert template(Case(chart, file), *without(kind), "--set", f"{value}=false").returncode == 0


@pytest.mark.parametrize("file", ["default", "full", "gpu"])
def test_training_runtimes_are_left_out_where_kubeflow_trainer_is_missing_and_the_notes_say_so(
    file, tmp_path
):
    case = Case("platform", file)
    left = objects(case, *without("ClusterTrainingRuntime"))
    kept = [one for one in objects(case) if one["kind"] != "ClusterTrainingRuntime"]
    assert left == kept != []
    said = notes(case, tmp_path / "without", *without("ClusterTrainingRuntime"))
    assert "Left out: training runtimes (modelyard-" in said
    assert f"does not know\n{RUNTIME}" in said
    said = notes(case, tmp_path / "with", *knowing(*EXTENSIONS.values()))
    assert "Left out" not in said
    assert "kubectl get clustertrainingruntimes" in said


def test_the_platform_installs_where_no_extension_is_there(tmp_path):
    """helm asks the API itself: `no matches for kind` would end the installation."""
    with running(tmp_path) as (cluster, config):
        cluster.lacks = {name.rpartition("/")[0] for name in EXTENSIONS.values()}
        said = run(config, "install", Case("platform", "default"))
        assert "STATUS: deployed" in said
        assert "Left out: training runtimes (modelyard-cpu)" in said
        assert not any(name.startswith("ClusterTrainingRuntime/") for name in cluster.names())


def test_training_runtimes_come_with_the_upgrade_after_kubeflow_trainer(tmp_path):
    with running(tmp_path) as (cluster, config):
        cluster.lacks = {RUNTIME.rpartition("/")[0]}
        run(config, "install", Case("platform", "default"))
        cluster.lacks = set()
        run(config, "upgrade", Case("platform", "default"))
        assert "ClusterTrainingRuntime/modelyard-cpu" in cluster.names()


def test_nothing_is_installed_where_the_cluster_lacks_what_a_value_asks_for(tmp_path):
    with running(tmp_path) as (cluster, config):
        cluster.lacks = {"gateway.networking.k8s.io/v1"}
        case = Case("model", "canary")
        place = ["--kubeconfig", config, "--namespace", "models"]
        done = helm("install", "payments", case.folder, "--values", case.values, *place)
        assert done.returncode != 0
        assert "set gateway.enabled=false" in done.stderr
        assert cluster.names() == set()
