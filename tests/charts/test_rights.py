"""What `access.deployTo` gives the launcher: all that a release of charts/model takes, and
nothing beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from modelyard.doctor.rights import DEPLOYING
from tests.charts.cluster import plural
from tests.charts.helm import CASES, Case, Object, binary, objects
from tests.charts.rights import granted, listed, taken
from tests.standin.kinds import Cluster
from tests.standin.rollout import Rollouts
from tests.standin.server import Api
from tests.standin.store import Kind

MODELS = [case for case in CASES if case.chart == "model"]
WATCHING = {
    "list services.",
    "list deployments.apps",
    "list replicasets.apps",
    "list pods.",
    "list events.",
    "get pods/log.",
    "create services/proxy.",
}
"""What launch/smoke.py and launch/inspect.py ask for; tests/cluster/test_release.py holds them
to it."""
NEWER = {"get pods."}
"""Later helms than the tests' look after a hook's pod by name."""


def deployers(file: str, *sets: str) -> list[Object]:
    """Roles and bindings of `access.deployTo`."""
    extra = [part for one in sets for part in ("--set", one)]
    found = objects(Case("platform", file), *extra)
    return [
        one
        for one in found
        if one["metadata"].get("labels", {}).get("app.kubernetes.io/component") == "deployer"
    ]


def role() -> Object:
    return next(one for one in deployers("full") if one["kind"] == "Role")


def rendered() -> dict[str, set[str]]:
    """Every kind that any values file of charts/model renders: `deployments.apps`, and whether
    as a hook."""
    found: dict[str, set[str]] = {}
    for case in MODELS:
        for one in objects(case):
            group = one["apiVersion"].rpartition("/")[0]
            hook = "helm.sh/hook" in one["metadata"].get("annotations", {})
            found.setdefault(f"{plural(one['kind'])}.{group}", set()).add(
                "hook" if hook else "kept"
            )
    return found


def test_nobody_may_deploy_anywhere_unless_it_is_asked_for():
    assert deployers("default") == []


def test_each_namespace_has_its_role_for_the_accounts_that_run_steps():
    found = deployers("full")
    assert sorted((one["kind"], one["metadata"]["namespace"]) for one in found) == [
        ("Role", "models"),
        ("Role", "shop"),
        ("RoleBinding", "models"),
        ("RoleBinding", "shop"),
    ]
    assert {one["metadata"]["name"] for one in found} == {"models-modelyard-deployer"}
    for one in found:
        if one["kind"] == "RoleBinding":
            subjects = [(subject["name"], subject["namespace"]) for subject in one["subjects"]]
            names = ("modelyard-launcher", "pipeline-runner", "default-editor")
            assert subjects == [(name, "models") for name in names]


def test_the_role_covers_every_kind_that_charts_model_renders_with_what_helm_does_to_it():
    given = granted(role())
    for resource, ways in rendered().items():
        verbs = (
            {"create", "get", "patch"} if "kept" in ways else {"create", "list", "watch", "delete"}
        )
        if "kept" in ways and not resource.startswith("persistentvolumeclaims"):
            verbs.add("delete")
        missing = {f"{verb} {resource}" for verb in verbs} - given
        assert missing == set(), (
            "add it to charts/platform/templates/access/deployer.yaml and launch/rights.py"
        )


def test_the_role_names_no_kind_beside_those_helms_records_and_what_is_watched():
    of = {one.partition(" ")[2] for one in granted(role())}
    watched = {one.partition(" ")[2] for one in WATCHING}
    assert of - set(rendered()) - watched == {"secrets."}
    assert len(rendered()) == 12


def test_the_role_and_the_list_that_doctor_asks_for_are_the_same():
    assert granted(role()) == listed(DEPLOYING)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What helm itself asks of the API, over every values file: installs, upgrades, tests, rolls
    back, uninstalls."""
    folder = tmp_path_factory.mktemp("rights")
    api = Api()
    http = api.start()
    cluster = Cluster(api, "models")
    cluster.install("gateway")
    extra = (
        ("keda.sh", "v1alpha1", "ScaledObject"),
        ("monitoring.coreos.com", "v1", "ServiceMonitor"),
    )
    api.store.register(
        *(Kind(group, version, plural(kind), kind) for group, version, kind in extra)
    )
    api.store.admission.append(_defaults)
    api.refuse(r"GET /api/v1/namespaces/models(\?|$)", 403, "namespaces is forbidden", times=10**6)
    rollouts = Rollouts(cluster)
    file = api.kubeconfig(folder / "kubeconfig", "models")
    file.chmod(0o600)
    try:
        for case in MODELS:
            _life(case, _next_version(case, folder), file)
    finally:
        rollouts.stop()
        http.shutdown()
        http.server_close()
    return taken(api.requests)


def _defaults(kind: Kind, thing: Object) -> None:
    """What controllers of a cluster fill in and helm waits for."""
    if kind.kind == "PersistentVolumeClaim":
        thing["status"] = {"phase": "Bound"}
    if kind.kind == "Service":
        thing["status"] = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    if kind.kind == "Deployment":
        thing["spec"].setdefault("replicas", 1)
    if "helm.sh/hook" in thing["metadata"].get("annotations", {}):
        thing["status"] = {"phase": "Succeeded"}


def _next_version(case: Case, folder: Path) -> Path:
    """The chart as its next version: every object of a release changes."""
    copy = folder / "next"
    if not copy.exists():
        shutil.copytree(case.folder, copy)
        about = copy / "Chart.yaml"
        about.write_text(about.read_text().replace("\nversion: ", "\nversion: 9"))
    return copy


def _life(case: Case, later: Path, file: Path) -> None:
    """One release from its first day to its last, as launch/helm.py commands it."""
    wait = ("--timeout", "20s", "--history-max", "2")
    up = ("--install", "--atomic", "--reset-values", *wait, "--values", str(case.values))
    for words in (
        ("upgrade", "payments", str(case.folder), *up),
        ("upgrade", "payments", str(later), *up),
        ("history", "payments", "--max", "10"),
        ("get", "values", "payments", "--revision", "1"),
        ("test", "payments", "--timeout", "20s"),
        ("rollback", "payments", "1", "--wait", *wait),
        ("uninstall", "payments", "--wait"),
    ):
        command = [str(binary()), *words, "--namespace", "models"]
        where = {"PATH": os.environ["PATH"], "HOME": str(file.parent), "KUBECONFIG": str(file)}
        done = subprocess.run(
            command, capture_output=True, text=True, env=where, check=False, timeout=60
        )
        assert done.returncode == 0, (case, words[0], done.stderr[-500:])


def test_helm_asks_for_nothing_that_the_role_does_not_give(asked):
    assert asked - granted(role()) == set()


def test_the_role_gives_nothing_that_neither_helm_nor_watching_takes(asked):
    assert granted(role()) - asked - WATCHING == NEWER
