"""The CronJob that ends runs of which a step cannot start: what it types, and that it may."""

from __future__ import annotations

import re

import pytest

from modelyard.cli.app import app
from tests.charts.test_platform import rendered
from tests.kubeflow.conftest import cluster, fill, pipelines  # noqa: F401
from tests.kubeflow.test_recorded import known

NAME = "starts"
PATH = re.compile(
    r"(?P<verb>GET|POST) /(?:api/v1|apis/(?P<group>[^/]+)/[^/]+)(?:/namespaces/[^/]+)?/"
    r"(?P<kind>\w+)(?P<one>/[^/?]+)?(?:/(?P<part>\w+))?"
)


def rules(file: str) -> set[tuple[str, str, str]]:
    """Group, kind and verb of all that the account may do."""
    return {
        (group, kind, verb)
        for name, one in rendered(file).items()
        if re.match(rf"(Cluster)?Role/.*-{NAME}$", name)
        for rule in one["rules"]
        for group in rule["apiGroups"]
        for kind in rule["resources"]
        for verb in rule["verbs"]
    }


def asked(request: str) -> tuple[str, str, str]:
    found = PATH.match(request)
    assert found, request
    kind = f"{found['kind']}/{found['part']}" if found["part"] else found["kind"]
    verb = "create" if found["verb"] == "POST" else ("get" if found["one"] else "list")
    return found["group"] or "", kind, verb


@pytest.fixture
def command() -> list[str]:
    """What the pod types."""
    pod = rendered("default")[f"CronJob/payments-{NAME}"]["spec"]["jobTemplate"]["spec"]["template"]
    words: list[str] = pod["spec"]["containers"][0]["command"]
    assert words[0] == "modelyard"
    return words[1:]


@pytest.mark.parametrize("name", ["pending", "image-missing"])
def test_what_the_pod_types_ends_a_run_within_its_rights(name, command, cluster, pipelines):  # noqa: F811
    found, run = known(pipelines, name)
    fill(cluster, found)
    app([*command, "--namespace", "kubeflow"], standalone_mode=False)
    assert pipelines.terminated == [run]
    assert {asked(request) for request in cluster.api.requests} <= rules("default")


def test_where_users_are_told_apart_it_may_end_runs_by_a_token_of_its_own():
    assert ("pipelines.kubeflow.org", "runs", "terminate") in rules("full")
    assert not any(group == "pipelines.kubeflow.org" for group, _, _ in rules("default"))


def test_it_is_left_out_with_the_register_job_and_on_request():
    assert not any(NAME in name for name in rendered("default", "startLimit.enabled=false"))
    assert not any(NAME in name for name in rendered("default", "register.enabled=false"))
