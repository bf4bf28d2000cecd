"""Each rule finds what it is there for: a good rendering is broken in one place."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.charts import rules
from tests.charts.helm import Case, Object, objects

Break = Callable[[dict[str, Any]], object]


def deployment(found: list[Object]) -> Object:
    return next(one for one in found if one["kind"] == "Deployment")


def pod(change: Break) -> Break:
    return lambda one: change(one["spec"]["template"]["spec"])


def server(change: Break) -> Break:
    return pod(lambda spec: change(spec["containers"][0]))


def init(change: Break) -> Break:
    return pod(lambda spec: change(spec["initContainers"][0]))


def security(**change: Any) -> Break:
    return server(lambda one: one["securityContext"].update(change))


BREACHES: list[tuple[rules.Rule, Break, str]] = [
    (rules.objects_are_valid, lambda one: one["spec"].update(replcas=2), "replcas"),
    (rules.objects_are_valid, server(lambda one: one.update(ports="3000")), "ports"),
    (rules.objects_are_valid, lambda one: one.update(apiVersion="apps/v2"), "apps/v2"),
    (rules.containers_are_hardened, security(runAsNonRoot=False), "runAsNonRoot"),
    (rules.containers_are_hardened, security(runAsUser=0), "runAsUser"),
    (
        rules.containers_are_hardened,
        security(allowPrivilegeEscalation=True),
        "allowPrivilegeEscalation",
    ),
    (
        rules.containers_are_hardened,
        security(readOnlyRootFilesystem=False),
        "readOnlyRootFilesystem",
    ),
    (rules.containers_are_hardened, security(privileged=True), "privileged"),
    (
        rules.containers_are_hardened,
        security(capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
        "capabilities",
    ),
    (
        rules.containers_are_hardened,
        security(seccompProfile={"type": "Unconfined"}),
        "seccompProfile",
    ),
    (
        rules.containers_are_hardened,
        init(lambda one: one.pop("securityContext")),
        "container package",
    ),
    (
        rules.containers_are_hardened,
        server(lambda one: one["ports"][0].update(hostPort=80)),
        "hostPort",
    ),
    (rules.pods_are_restricted, pod(lambda spec: spec.update(hostNetwork=True)), "hostNetwork"),
    (
        rules.pods_are_restricted,
        pod(lambda spec: spec["securityContext"].update(runAsUser=0)),
        "runAsNonRoot",
    ),
    (
        rules.pods_are_restricted,
        pod(lambda spec: spec["securityContext"].pop("seccompProfile")),
        "seccompProfile",
    ),
    (
        rules.pods_are_restricted,
        pod(lambda spec: spec["volumes"].append({"name": "h", "hostPath": {}})),
        "hostPath",
    ),
    (
        rules.containers_state_resources,
        server(lambda one: one["resources"].pop("limits")),
        "limits.cpu",
    ),
    (
        rules.containers_state_resources,
        init(lambda one: one["resources"]["requests"].pop("memory")),
        "requests.memory",
    ),
    (
        rules.containers_state_resources,
        pod(lambda spec: spec["volumes"].append({"name": "e", "emptyDir": {}})),
        "e has",
    ),
    (
        rules.images_are_pinned,
        server(lambda one: one.update(image="modelyard/server:latest")),
        "latest",
    ),
    (
        rules.images_are_pinned,
        init(lambda one: one.update(image="host:5000/modelyard/server")),
        "host:5000",
    ),
    (
        rules.tokens_are_mounted_where_used,
        pod(lambda spec: spec.pop("automountServiceAccountToken")),
        "Deployment",
    ),
    (
        rules.nothing_dangles,
        lambda one: one["spec"]["template"]["metadata"].update(labels={}),
        "selects no pod",
    ),
    (rules.nothing_dangles, lambda one: one["metadata"].update(name="other"), "scales payments"),
    (rules.nothing_dangles, pod(lambda spec: spec["volumes"].pop()), "volume predictions"),
    (
        rules.nothing_dangles,
        pod(lambda spec: spec["volumes"][0]["configMap"].update(name="x")),
        "config map x",
    ),
]


@pytest.mark.parametrize(("rule", "change", "said"), BREACHES)
def test_a_breach_in_a_deployment_is_found(rule, change, said):
    found = objects(Case("model", "full"))
    assert rule(found) == []
    change(deployment(found))
    assert said in "\n".join(rule(found))


def role(**rule: Any) -> Object:
    meta = {"name": "r"}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": meta,
        "rules": [rule],
    }


def binding(kind: str, name: str) -> Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "b"},
        "roleRef": {"kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "a"}],
    }


GOOD = role(apiGroups=[""], resources=["pods"], verbs=["get"])


@pytest.mark.parametrize(
    "bad",
    [
        role(apiGroups=[""], resources=["*"], verbs=["get"]),
        role(apiGroups=[""], resources=["pods"], verbs=["*"]),
        role(apiGroups=["*"], resources=["pods"], verbs=["get"]),
        role(apiGroups=["rbac.authorization.k8s.io"], resources=["roles"], verbs=["escalate"]),
        role(apiGroups=[""], resources=["secrets"], verbs=["get"]),
        role(apiGroups=[""], resources=["secrets"], resourceNames=["a"], verbs=["get", "list"]),
        binding("ClusterRole", "cluster-admin"),
    ],
)
def test_a_right_that_is_too_wide_is_found(bad):
    assert rules.rights_are_least([GOOD, binding("Role", "r")]) == []
    assert rules.rights_are_least([copy.deepcopy(GOOD), bad])


@pytest.mark.parametrize(
    "change",
    [
        lambda role: role["metadata"].pop("namespace"),
        lambda role: role["metadata"]["labels"].update({"app.kubernetes.io/component": "steps"}),
        lambda role: next(one for one in role["rules"] if one["resources"] == ["secrets"])[
            "verbs"
        ].append("watch"),
    ],
)
def test_helms_records_are_kept_by_who_deploys_alone(change):
    found = objects(Case("platform", "full"))
    assert rules.rights_are_least(found) == []
    change(
        next(
            one
            for one in found
            if one["kind"] == "Role" and one["metadata"]["name"].endswith("-deployer")
        )
    )
    assert any("secrets" in said for said in rules.rights_are_least(found))


def test_an_account_with_a_token_and_no_use_for_it_is_found():
    account = {
        "kind": "ServiceAccount",
        "metadata": {"name": "a"},
        "automountServiceAccountToken": True,
    }
    assert rules.tokens_are_mounted_where_used([account, binding("Role", "r")]) == []
    assert rules.tokens_are_mounted_where_used([account])
    assert rules.tokens_are_mounted_where_used(
        [{"kind": "ServiceAccount", "metadata": {"name": "a"}}]
    )


def test_an_object_that_is_rendered_twice_is_found():
    found = objects(Case("model", "full"))
    assert rules.names_are_unique([*found, found[0]])


@pytest.mark.parametrize("kind", ["HTTPRoute", "ServiceMonitor"])
def test_a_misspelt_field_of_a_custom_resource_is_found(kind):
    found = objects(Case("model", "full"))
    one = next(one for one in found if one["kind"] == kind)
    one["spec"]["misspelt"] = 1
    assert "misspelt" in "\n".join(rules.objects_are_valid(found))
