"""helm itself installs, tests, upgrades and uninstalls the charts; the API behind it is a
stand-in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.charts.cluster import running
from tests.charts.helm import CASES, Case, helm, label, objects

IGNORED = ("Secret",)
"""helm keeps its releases in Secrets."""


def run(config: Path, verb: str, case: Case, *extra: str) -> str:
    """What helm says; `install`, `upgrade`, `test`, `uninstall`."""
    place = ["--kubeconfig", config, "--namespace", "models"]
    chart = [case.folder, "--values", case.values]
    done = helm(
        verb, "payments", *(chart if verb in ("install", "upgrade") else []), *place, *extra
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(case: Case) -> tuple[set[str], dict[str, str]]:
    """Names of a chart's objects that stay, and of its hooks with the events that they run at."""
    found = objects(case)
    hooks = {}
    for one in found:
        events = one["metadata"].get("annotations", {}).get("helm.sh/hook")
        if events is not None:
            hooks[label(one)] = events
    return {label(one) for one in found} - set(hooks), hooks


def jobs_at(event: str, hooks: dict[str, str]) -> set[str]:
    return {name for name, events in hooks.items() if name.startswith("Job/") and event in events}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_release_is_installed_upgraded_and_uninstalled(case, tmp_path):
    lasting, hooks = rendered(case)
    with running(tmp_path) as (cluster, config):
        assert "STATUS: deployed" in run(config, "install", case)
        assert cluster.names(*IGNORED) == lasting
        ran = {name for name in cluster.created if name.startswith("Job/")}
        assert ran == jobs_at("post-install", hooks)
        assert "REVISION: 2" in run(config, "upgrade", case)
        assert cluster.names(*IGNORED) == lasting
        assert cluster.patches == []
        cluster.created.clear()
        run(config, "uninstall", case)
        assert {name for name in cluster.created if name.startswith("Job/")} == jobs_at(
            "pre-delete", hooks
        )
        kept = {label(one) for one in objects(case) if one["kind"] == "PersistentVolumeClaim"}
        assert cluster.names(*IGNORED) == kept


def test_the_platform_registers_its_pipelines_after_an_upgrade_and_after_going_back(tmp_path):
    case = Case("platform", "default")
    with running(tmp_path) as (cluster, config):
        for verb, extra in (
            ("install", ()),
            ("upgrade", ("--set", "image.tag=9.9.9")),
            ("rollback", ("1",)),
        ):
            cluster.created.clear()
            run(config, verb, case, *extra)
            assert "Job/payments-register" in cluster.created


def test_the_test_pod_runs_after_an_install(tmp_path):
    with running(tmp_path) as (cluster, config):
        run(config, "install", Case("model", "full"))
        for _ in range(2):
            assert "Phase:          Succeeded" in run(config, "test", Case("model", "full"))
        assert cluster.created.count("Pod/payments-golden") == 2


def test_helm_test_shows_the_log_of_the_test_that_succeeded(tmp_path):
    """helm reads the log when the pod has ended: one that is deleted by then has none."""
    with running(tmp_path) as (_, config):
        run(config, "install", Case("model", "full"))
        assert "the words of payments-golden" in run(
            config, "test", Case("model", "full"), "--logs"
        )


def test_a_new_package_changes_the_deployment_alone(tmp_path):
    with running(tmp_path) as (cluster, config):
        run(config, "install", Case("model", "default"))
        run(
            config,
            "upgrade",
            Case("model", "default"),
            "--set",
            "package.uri=s3://models/payments/4",
        )
        changed = dict(cluster.patches)
        assert set(changed) == {"Deployment/payments"}
        assert "s3://models/payments/4" in str(changed["Deployment/payments"])


def test_the_canary_comes_and_goes_without_touching_the_stable_version(tmp_path):
    with running(tmp_path) as (cluster, config):
        run(config, "install", Case("model", "canary"), "--set", "canary.enabled=false")
        run(config, "upgrade", Case("model", "canary"))
        assert "Deployment/payments-canary" in cluster.names()
        assert {name for name, _ in cluster.patches} == {"HTTPRoute/payments"}
        run(config, "upgrade", Case("model", "canary"), "--set", "canary.enabled=false")
        assert "Deployment/payments-canary" in cluster.deleted


def test_a_changed_selector_is_refused_as_a_real_cluster_would(tmp_path):
    """Guards the guard: the stand-in refuses what the charts must never do."""
    with running(tmp_path) as (cluster, config):
        run(config, "install", Case("model", "default"))
        path = next(path for path, one in cluster.objects.items() if one["kind"] == "Deployment")
        status, _ = cluster.answer(
            "PATCH", path, {}, {"spec": {"selector": {"matchLabels": {"a": "b"}}}}
        )
        assert status == 422
