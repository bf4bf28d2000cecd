"""A deploy that is killed at any moment of its work: what serves is a judged package, and the next
command puts the rest right."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from modelyard.cli.app import app
from modelyard.packages.package import Package
from modelyard.registry import versions as registry
from modelyard.release import release
from tests.charts.helm import binary
from tests.cluster.conftest import NAMESPACE
from tests.cluster.killed import KilledStep
from tests.cluster.yard import NAME, RELEASE
from tests.standin.kinds import DEPLOYMENT, SERVICE

pytestmark = pytest.mark.skipif(binary() is None, reason="helm is not installed. Type: make helm")


@pytest.fixture(scope="module")
def served(yard):
    """The yard, where a package serves."""
    yard.deploy("few")
    return yard


def digest(yard, name: str) -> str:
    return Package(yard.runs[name].package).manifest.digest


def reachable(yard) -> set[str]:
    """Packages whose pods the release's own Service selects."""
    own = [
        one["spec"]["selector"].items()
        for one in yard.api.store.find(SERVICE, NAMESPACE)
        if one["metadata"]["name"] == RELEASE
    ]
    templates = [one["spec"]["template"] for one in yard.api.store.find(DEPLOYMENT, NAMESPACE)]
    return {
        one["spec"]["initContainers"][0]["args"][2]
        for one in templates
        if any(selector <= one["metadata"]["labels"].items() for selector in own)
    }


def releaser(yard):
    return release.Releaser(yard.runs["few"].run.config.serve, print)


def command(*words: str):
    return CliRunner().invoke(app, list(words))


def all_is_well(yard, name: str) -> None:
    """One package serves, the champion, and nothing else is left."""
    assert releaser(yard).half_done() is None
    assert yard.answers() == yard.version_of(name)
    assert reachable(yard) == {digest(yard, name)}
    assert registry.champion(NAME).package_version == yard.version_of(name)
    others = [
        one["metadata"]["name"]
        for kind in (DEPLOYMENT, SERVICE)
        for one in yard.api.store.find(kind, NAMESPACE)
        if one["metadata"]["name"] != RELEASE
    ]
    assert others == []


def put_right(yard, turn: int) -> None:
    """By each of the three commands in turn; afterwards the first package serves again."""
    if turn % 3 == 0:
        assert yard.deploy("many")["champion"]
        all_is_well(yard, "many")
    elif turn % 3 == 1:
        said = doctor_fixes(yard)
        agree = yard.answers() == registry.champion(NAME).package_version
        assert ("but the champion of" in said) is not agree
    done = command("promote", f"{NAME}@1")
    assert done.exit_code == 0, done.output
    all_is_well(yard, "few")


def doctor_fixes(yard) -> str:
    """What doctor prints when it has put things right."""
    done = command("doctor", RELEASE, "--namespace", NAMESPACE, "--fix")
    assert releaser(yard).half_done() is None, done.output
    return done.output


def kill(yard, name: str, at: int, notice: float | None, judged: set[str]) -> KilledStep:
    """Ends the step; asserts that what serves then is judged."""
    asked = len(yard.api.requests)
    step = KilledStep(yard, name, at, notice)
    step.run()
    example = f"services/http:{RELEASE}-candidate:80/proxy/predict"
    examples = [one for one in yard.api.requests[asked:] if example in one]
    if examples and step.killed_at not in examples and not yard.answers_as:
        judged = {*judged, digest(yard, name)}
    assert reachable(yard) <= judged, step.killed_at
    return step


def test_of_a_first_deploy_nothing_serves_before_it_was_judged_and_nothing_stays(yard):
    at = 1
    while kill(yard, "few", at, None, set()).killed_at:
        doctor_fixes(yard)
        assert yard.history() == [] or reachable(yard) == {digest(yard, "few")}
        at += 8
    assert at > 12
    all_is_well(yard, "few")


@pytest.mark.parametrize(
    "every", [9, pytest.param(1, marks=pytest.mark.slow)], ids=["some", "every"]
)
@pytest.mark.parametrize(
    "notice",
    [None, pytest.param(1.0, marks=pytest.mark.slow)],
    ids=["at once", "with a second's notice"],
)
def test_a_better_package_serves_only_when_judged_and_the_next_command_mends(served, every, notice):
    """At every change that the step makes in the cluster, its helm's too, and at every example."""
    yard, at, switched = served, 1, []
    few, many = {digest(yard, "few")}, {digest(yard, "many")}
    while (step := kill(yard, "many", at, notice, few)).killed_at:
        switched.append(reachable(yard) == many)
        put_right(yard, at)
        at += every
    assert False in switched  # it was ended before the switch
    all_is_well(yard, "many")
    assert command("promote", f"{NAME}@1").exit_code == 0
    kill(yard, "many", step.changes, notice, few)
    assert reachable(yard) == many  # and after it, at its last change
    put_right(yard, 1)


@pytest.mark.parametrize(
    "every", [9, pytest.param(1, marks=pytest.mark.slow)], ids=["some", "every"]
)
def test_a_package_that_answers_wrongly_never_serves_whenever_the_step_is_killed(served, every):
    yard, at = served, 1
    before = yard.history()
    yard.answers_as[digest(yard, "many")] = digest(yard, "few")
    while (step := kill(yard, "many", at, None, {digest(yard, "few")})).killed_at:
        doctor_fixes(yard)
        all_is_well(yard, "few")
        at += every
    yard.answers_as.clear()
    assert step.process.exitcode == 1
    assert at > 10
    assert yard.history() == before
