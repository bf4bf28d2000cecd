"""The number of pods while an autoscaler is switched on and off, by helm against an API that
defaults as the real one.

A number that a manifest does not state any more is 1 there, until the autoscaler looks the next
time: up to 15 s.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.charts.helm import ROOT, binary
from tests.cluster.conftest import NAMESPACE
from tests.standin.kinds import DEPLOYMENT
from tests.standin.rollout import Rollouts

pytestmark = pytest.mark.skipif(binary() is None, reason="helm is not installed. Type: make helm")
SCALED = ("autoscaling.enabled=true", "autoscaling.minReplicas=2", "autoscaling.maxReplicas=9")
KEDA = (
    "keda.enabled=true",
    "keda.minReplicas=2",
    "keda.maxReplicas=9",
    "keda.prometheusAddress=http://prometheus:9090",
)
STATIC = ("replicaCount=3",)


class Counted:
    """The release `payments`; every number of pods that its Deployment ever wanted."""

    def __init__(self, cluster) -> None:
        self.cluster, self.store = cluster, cluster.api.store

    def helm(self, *words: str) -> list[int]:
        """Runs helm; the numbers that the Deployment wanted from then on, the one from before
        first."""
        before = len(self.store.history)
        start = [self.wanted()] if self.store.find(DEPLOYMENT, NAMESPACE) else []
        command = [str(binary()), *words, "--namespace", NAMESPACE, "--wait", "--timeout", "60s"]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=dict(os.environ)
        )
        assert done.returncode == 0, done.stderr
        changes = [one for _, kind, _, one in self.store.history[before:] if kind == DEPLOYMENT]
        return start + [one["spec"]["replicas"] for one in changes]

    def upgrade(self, *sets: str, package: str = "1") -> list[int]:
        given = ("package.uri=s3://models/x/" + package, *sets)
        words = [word for one in given for word in ("--set", one)]
        return self.helm("upgrade", "--install", "payments", str(ROOT / "charts/model"), *words)

    def wanted(self) -> int:
        (deployment,) = self.store.find(DEPLOYMENT, NAMESPACE)
        return int(deployment["spec"]["replicas"])

    def scale(self, pods: int) -> None:
        """What an autoscaler does under load."""
        self.store.change(
            DEPLOYMENT, NAMESPACE, "payments", lambda one: one["spec"].update(replicas=pods)
        )


@pytest.fixture
def release(cluster) -> Iterator[Counted]:
    cluster.install("keda")
    rollouts = Rollouts(cluster)
    yield Counted(cluster)
    rollouts.stop()


def test_the_api_gives_a_deployment_without_a_number_one_pod_as_the_real_one_does(release):
    """Guards the guard."""
    release.upgrade(*STATIC)
    release.store.change(DEPLOYMENT, NAMESPACE, "payments", lambda one: one["spec"].pop("replicas"))
    assert release.wanted() == 1


@pytest.mark.parametrize("scaler", [SCALED, KEDA], ids=["hpa", "keda"])
def test_switching_an_autoscaler_on_takes_no_pod_away(release, scaler):
    release.upgrade(*STATIC)
    assert set(release.upgrade(*scaler)) == {3}


@pytest.mark.parametrize("scaler", [SCALED, KEDA], ids=["hpa", "keda"])
def test_an_upgrade_takes_away_none_of_the_pods_that_an_autoscaler_added(release, scaler):
    release.upgrade(*scaler)
    release.scale(8)
    assert set(release.upgrade(*scaler, package="2")) == {8}


@pytest.mark.parametrize("scaler", [SCALED, KEDA], ids=["hpa", "keda"])
def test_a_first_install_starts_with_the_fewest_pods_of_its_autoscaler(release, scaler):
    assert set(release.upgrade(*scaler)) == {2}


def test_switching_an_autoscaler_off_gives_the_number_of_the_values_at_once(release):
    release.upgrade(*SCALED)
    release.scale(8)
    assert set(release.upgrade(*STATIC)) == {8, 3}


def test_a_rollback_to_an_autoscaled_revision_has_as_many_pods_as_when_it_was_made(release):
    release.upgrade(*STATIC)
    release.upgrade(*SCALED)
    release.scale(5)
    release.upgrade(*SCALED, package="2")
    release.upgrade(*STATIC, package="3")
    assert set(release.helm("rollback", "payments", "3")) == {3, 5}
    assert set(release.helm("rollback", "payments", "2")) == {5, 3}
    assert set(release.helm("rollback", "payments", "1")) == {3}


def test_a_release_that_keda_holds_at_zero_stays_there_through_an_upgrade(release):
    zero = (*KEDA, "keda.minReplicas=0", "keda.query=sum(x)")
    release.upgrade(*zero)
    release.scale(0)
    assert set(release.upgrade(*zero, package="2")) == {0}


def test_more_pods_than_the_autoscaler_allows_are_not_asked_for(release):
    release.upgrade("replicaCount=12")
    assert release.upgrade(*SCALED)[-1] == 9
