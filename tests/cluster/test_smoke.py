"""The package's own example, asked of a release's pods: through the API, by helm test, and where
neither answers."""

from __future__ import annotations

import socket

import pytest

from modelyard.doctor.inspect import Reader
from modelyard.doctor.rights import DEPLOYING
from modelyard.errors import ModelyardError
from modelyard.packages.package import Package
from modelyard.release import release, smoke
from modelyard.release.smoke import ask_golden
from tests.charts.helm import binary
from tests.charts.rights import listed, taken
from tests.cluster.yard import NAME, RELEASE
from tests.standin.kinds import POD
from tests.standin.server import Line

pytestmark = pytest.mark.skipif(binary() is None, reason="helm is not installed. Type: make helm")
PROXY = r"POST /api/v1/namespaces/models/services/http:line:80/proxy/predict"
UNREACHED_BY_API = "error trying to reach service: dial tcp 10.0.0.7:3000"


@pytest.fixture(scope="module", autouse=True)
def _served(yard):
    yard.deploy("few")


def test_an_answer_that_differs_is_told_with_both_values(yard):
    golden = Package(yard.runs["few"].package).golden()
    golden["response"]["y"] += 1.0
    said = ask_golden(Reader(), RELEASE, golden, yard.version_of("few"), 1e-3)
    assert said is not None
    assert said.startswith("the new pods answer their own example otherwise: answer.y is ")
    assert ask_golden(Reader(), RELEASE, golden, yard.version_of("few"), 10.0) is None


def ask(yard) -> str | None:
    """The example of the package that serves, through the API."""
    package = Package(yard.runs["few"].package)
    return ask_golden(Reader(), RELEASE, package.golden(), package.info.version, 1e-3)


@pytest.mark.parametrize(
    ("code", "message", "words"),
    [
        (401, "no token", ["set serve.smoke=helm"]),
        (
            403,
            'services "http:line:80" is forbidden: cannot create resource "services/proxy"',
            ["create services/proxy", "set serve.smoke=helm"],
        ),
        (503, f"{UNREACHED_BY_API}: i/o timeout", ["set serve.smoke=helm", "networkPolicy.cidrs"]),
        (504, "gateway timeout", ["set serve.smoke=helm", "networkPolicy.cidrs"]),
    ],
)
def test_a_closed_way_to_the_pods_says_how_to_open_it(yard, code, message, words):
    yard.api.refuse("POST .*/proxy/predict", code, message, times=smoke.TRIES)
    with pytest.raises((PermissionError, TimeoutError)) as caught:
        ask(yard)
    yard.api.faults.clear()
    assert str(caught.value).startswith(f"{code}: {message}. ")
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_network_policy_that_drops_the_api_servers_connections_does_not_hold_the_step_for_long(
    yard, monkeypatch
):
    """Each try may take the API server half a minute: a second one is made, for a pod that just
    ended, and no third."""
    monkeypatch.setattr(smoke, "PATIENCE", 0.0)
    yard.api.refuse(
        "POST .*/proxy/predict", 503, f"{UNREACHED_BY_API}: i/o timeout", times=smoke.TRIES
    )
    before = yard.api.asked(PROXY)
    with pytest.raises(TimeoutError):
        ask(yard)
    yard.api.faults.clear()
    assert yard.api.asked(PROXY) == before + 2
    yard.api.refuse("POST .*/proxy/predict", 503, f"{UNREACHED_BY_API}: connection refused")
    assert ask(yard) is None


def test_a_connection_that_stays_silent_says_the_same(yard, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setitem(yard.api.behind, RELEASE, f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(smoke, "ANSWER", (5.0, 0.2))
        monkeypatch.setattr(smoke, "PATIENCE", 0.0)
        with pytest.raises(
            TimeoutError, match=r"no answer in 0\.2 s\. .*serve\.smoke=helm.*networkPolicy\.cidrs"
        ):
            ask(yard)


def test_a_service_that_has_no_endpoints_for_a_moment_is_asked_again(yard):
    yard.api.refuse("POST .*/proxy/predict", 503, "no endpoints available for service", times=3)
    golden = Package(yard.runs["few"].package).golden()
    assert ask_golden(Reader(), RELEASE, golden, yard.version_of("few"), 1e-3) is None


@pytest.fixture
def tested(yard):
    """Gives the chart's test pods a phase."""
    phases = []

    def run(kind, thing):
        if kind == POD and "helm.sh/hook" in thing["metadata"].get("annotations", {}):
            state = {"terminated": {"exitCode": 0 if phases[-1] == "Succeeded" else 1}}
            thing["status"] = {
                "phase": phases[-1],
                "containerStatuses": [{"name": "golden", "state": state}],
            }
            yard.api.logs[thing["metadata"]["name"]] = [
                Line("2026-10-01T10:00:00.0Z", "answer.y is 2.4 and 3.4")
            ]

    yard.api.store.admission.append(run)
    yield phases.append
    yard.api.store.admission.remove(run)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_the_charts_own_test_may_ask_instead(yard, tested, phase):
    tested(phase)
    said = release.Releaser(yard.runs["few"].run.config.serve, print).judge.test()
    assert (
        said is None
        if phase == "Succeeded"
        else said.endswith("pod line-golden failed: answer.y is 2.4 and 3.4")
    )


def test_a_release_that_is_scaled_to_zero_is_not_asked(yard):
    reader, name = Reader(), smoke.selector(RELEASE)
    assert not smoke.Rollout(reader, RELEASE, 1.0).at_zero()
    (deployment,) = reader.here("deployments", "apps/v1", labelSelector=name)
    edit = {"spec": {"replicas": 0}, "status": {"observedGeneration": 99}}
    assert smoke._behind({**deployment, **edit}) is None
    assert smoke._behind({**deployment, "status": {"observedGeneration": 0}}).endswith(
        "not seen the change yet"
    )
    old = {**deployment["status"], "replicas": 3}
    assert smoke._behind({**deployment, "status": old}).endswith(
        "1 pods of the old version still end"
    )


@pytest.fixture
def closed(yard, monkeypatch):
    """A first release, `shut`, to whose pods the API server has no way; makes a releaser of it."""
    monkeypatch.setattr(yard.rollouts, "on_ready", lambda spec: None)
    monkeypatch.setattr(smoke, "PATIENCE", 0.0)
    yard.api.refuse(
        "POST .*/services/http:shut(-candidate)?:80/proxy",
        503,
        f"{UNREACHED_BY_API}: i/o timeout",
        times=1000,
    )
    said = []

    def releaser(**values):
        settings = yard.runs["few"].run.config.serve
        return release.Releaser(
            settings.model_copy(update={"release": "shut", "values": values}), said.append
        )

    releaser.said = said
    yield releaser
    yard.api.faults.clear()


def test_where_the_network_keeps_the_api_server_out_the_charts_test_decides(yard, closed, tested):
    """As charts/model comes: its NetworkPolicy is on and lets in the release's own pods, of
    which the test is one."""
    tested("Succeeded")
    releaser = closed()
    assert releaser.bring(yard.runs["few"].package, NAME).revision == 1
    lines = [one for one in closed.said if "Asking by helm test instead" in one]
    assert len(lines) == 2  # of the candidate, and of the release itself
    for line in lines:
        assert "i/o timeout. The API server does not reach the pods: set serve.smoke=helm" in line
    releaser.helm.uninstall()


def test_where_neither_way_shows_that_it_answers_one_line_says_both_and_nothing_stays(
    yard, closed, tested
):
    tested("Failed")
    with pytest.raises(ModelyardError) as caught:
        closed().bring(yard.runs["few"].package, NAME)
    for words in (
        "serve.smoke=helm",
        "networkPolicy.cidrs",
        "Nor by helm test",
        "answer.y is 2.4 and 3.4",
    ):
        assert words in str(caught.value)
    with pytest.raises(
        ModelyardError, match=r"networkPolicy\.cidrs.*tests\.enabled=false.*nothing is released"
    ):
        closed(tests={"enabled": False}).bring(yard.runs["few"].package, NAME)
    assert closed().helm.history() == []
    names = {one["metadata"]["name"] for one in yard.api.store.find(POD, "models")}
    assert {name for name in names if name.startswith("shut-candidate")} == set()


def test_asking_took_no_more_than_what_charts_platform_gives(yard):
    took = taken(yard.api.requests)
    assert "get pods/log." in took
    assert took - listed(DEPLOYING) <= {"list jobs.batch"}
