"""How long a deploy waits for pods that do not start: failing_minutes, whatever keeps them, but
for what may pass."""

from __future__ import annotations

import time

import pytest

from modelyard.doctor import inspect
from modelyard.doctor.inspect import Reader
from modelyard.errors import ModelyardError
from modelyard.kubernetes.client import Pace
from modelyard.release import smoke
from modelyard.release.smoke import Rollout
from tests.charts.helm import binary
from tests.cluster.conftest import NAMESPACE
from tests.cluster.test_release import NO_GPU
from tests.standin.kinds import NODE, POD
from tests.standin.rollout import READY

pytestmark = pytest.mark.timed

LABELS = {"app.kubernetes.io/instance": "line", "app.kubernetes.io/component": "stable"}


def unpulled(message: str) -> dict:
    waiting = {"reason": "ErrImagePull", "message": message}
    status = {
        "name": "server",
        "image": "r.example/server:9",
        "ready": False,
        "state": {"waiting": waiting},
    }
    return {"phase": "Pending", "containerStatuses": [status]}


UNREACHED = unpulled(
    "failed to do request: Head https://r.example/v2/: dial tcp 10.0.0.9:443: i/o timeout"
)
BUSY = unpulled("429 Too Many Requests - Server message: toomanyrequests: rate limit")
UNKNOWN = unpulled("the runtime is not in the mood")


@pytest.mark.skipif(binary() is None, reason="helm is not installed. Type: make helm")
@pytest.mark.parametrize(
    ("fate", "words"),
    [
        (UNREACHED, "the node does not reach the registry"),
        (BUSY, "rate limit"),
        (UNKNOWN, "cannot be pulled"),
        (NO_GPU, "no node has enough nvidia.com/gpu free"),
    ],
    ids=["unreached", "busy", "unknown", "no-gpu"],
)
def test_a_deploy_ends_after_failing_minutes_whatever_keeps_its_pods_from_starting(
    yard, fate, words
):
    yard.rollouts.fate = lambda spec: READY
    yard.deploy("few")
    yard.rollouts.fate = lambda spec: fate
    began = time.monotonic()
    with pytest.raises(ModelyardError, match=rf"{words}.*Revision 1 serves as before"):
        yard.deploy("many", timeout_minutes=5.0, failing_minutes=0.02)
    assert time.monotonic() - began < 45
    yard.rollouts.fate = lambda spec: READY


@pytest.fixture
def rollout(cluster) -> Rollout:
    return Rollout(Reader(NAMESPACE, Pace(tick=0.0)), "line", failing_minutes=0.005)


def new_pod(cluster, status, **resources):
    container = {"name": "server", "resources": {"limits": resources or {"nvidia.com/gpu": "2"}}}
    return cluster.add(
        POD, "line-1", labels=LABELS, spec={"containers": [container]}, status=status
    )


def ends(rollout: Rollout, seconds: float = 1.0) -> bool:
    """Whether it gives up within so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if rollout() is not None:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    ("gpus", "given_up"),
    [("1", True), ("8", False)],
    ids=["no node has two", "a node with eight is busy"],
)
def test_a_gpu_is_waited_for_where_a_node_has_it_and_only_there(cluster, rollout, gpus, given_up):
    cluster.add(NODE, "gpu-1", status={"allocatable": {"nvidia.com/gpu": gpus}})
    new_pod(cluster, NO_GPU)
    assert ends(rollout) is given_up


def test_memory_is_waited_for_where_a_node_has_it_and_only_there(cluster, rollout):
    message = NO_GPU["conditions"][0]["message"].replace("nvidia.com/gpu", "memory")
    status = {"phase": "Pending", "conditions": [NO_GPU["conditions"][0] | {"message": message}]}
    new_pod(cluster, status, memory="64Gi")
    cluster.add(NODE, "small", status={"allocatable": {"memory": "63Gi"}})
    assert ends(rollout)
    cluster.add(NODE, "large", status={"allocatable": {"memory": "67000Mi"}})
    assert not ends(rollout)


def test_a_node_that_an_autoscaler_adds_is_waited_for(cluster, rollout):
    pod = new_pod(cluster, NO_GPU)
    cluster.event(pod, "TriggeredScaleUp", "pod triggered scale-up: [{gpu-pool 0->1 (max: 4)}]")
    assert not ends(rollout)


def test_where_nodes_may_not_be_read_failing_minutes_holds(cluster, api, rollout):
    cluster.add(NODE, "gpu-1", status={"allocatable": {"nvidia.com/gpu": "8"}})
    api.denied.add("list nodes")
    new_pod(cluster, NO_GPU)
    assert ends(rollout)


def test_a_container_that_is_started_again_and_again_counts_from_its_first_failure(
    cluster, rollout, monkeypatch
):
    """Between two failures it runs for a moment, and the reason that the node gives changes."""
    monkeypatch.setattr(smoke, "RETRY_SECONDS", 5.0)
    rollout.patience = 0.6
    new_pod(cluster, UNREACHED)
    states = [UNREACHED, {"phase": "Pending", "containerStatuses": []}, UNKNOWN, BUSY]
    gave_up = False
    for status in states * 10:
        cluster.api.store.change(
            POD, NAMESPACE, "line-1", lambda one, now=status: one.update(status=now)
        )
        gave_up = gave_up or rollout() is not None
        time.sleep(0.03)
    assert gave_up


def test_a_trouble_that_went_away_for_longer_than_a_retry_counts_anew(
    cluster, rollout, monkeypatch
):
    monkeypatch.setattr(smoke, "RETRY_SECONDS", 0.1)
    rollout.patience = 0.5
    new_pod(cluster, UNREACHED)
    for status in (UNREACHED, READY, UNREACHED, READY, UNREACHED):
        cluster.api.store.change(
            POD, NAMESPACE, "line-1", lambda one, now=status: one.update(status=now)
        )
        assert not ends(rollout, 0.3)


def test_nobody_reads_nodes_while_pods_start_well(cluster, api, rollout):
    new_pod(cluster, READY)
    assert rollout() is None
    assert api.asked("/api/v1/nodes") == 0
    assert inspect.ADDS_NODES
