"""A cluster that answers over HTTP, and trainings on it that a test plays out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import kubernetes.client  # noqa: F401 takes seconds, which no test should wait for
import pytest

from modelyard.kubernetes.client import Pace
from modelyard.launch.manifest import TrainJobRequest
from modelyard.launch.trainjob import train_on_cluster
from modelyard.settings.cluster import ClusterSettings
from tests.standin.server import Api
from tests.standin.trainer import NAMESPACE, Trainer

PACE = Pace(
    tick=0.02,
    settle=0.1,
    backoff=0.02,
    longest=0.2,
    patience=2.0,
    watch=2,
    silence=2.0,
    deletion=2.0,
)
SETTINGS = ClusterSettings(image="registry.example/modelyard:1")
REQUEST = TrainJobRequest(
    id="run-1",
    family="toy",
    job="s3://bucket/scratch/toy-run-1",
    nodes=2,
    gpus_per_node=1,
    resources={"cpu": "2", "memory": "8Gi", "shm": "2Gi"},
)


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    api = Api()
    server = api.start()
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path / "kubeconfig", NAMESPACE)))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.delenv("MODELYARD_IMAGE", raising=False)
    yield api
    server.shutdown()
    server.server_close()


@pytest.fixture
def trainer(api: Api) -> Trainer:
    trainer = Trainer(api)
    trainer.install("torch-distributed", "jax-distributed")
    return trainer


class Training:
    """A call of `train_on_cluster` under way: what it said, and how it ended."""

    def __init__(self, settings: ClusterSettings, request: TrainJobRequest, pace: Pace) -> None:
        self.said: list[str] = []
        self.error: BaseException | None = None
        self._ask = lambda: train_on_cluster(request, settings, self.said.append, pace=pace)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._ask()
        except BaseException as error:
            self.error = error

    def ended(self, seconds: float = 30.0) -> BaseException | None:
        """The error it ended with; None for success."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"still training: {self.said}"
        return self.error

    def wait_for(self, text: str, seconds: float = 20.0) -> None:
        """Waits until it says something with this text."""
        until(lambda: bool(self.error) or any(text in line for line in list(self.said)), seconds)
        assert any(text in line for line in self.said), (
            f"never said {text!r}: {self.said}, {self.error!r}"
        )


def until(
    met: Callable[[], bool], seconds: float = 20.0, otherwise: str = "it never happened"
) -> None:
    """Waits until a condition is met."""
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, otherwise
        time.sleep(0.01)


@pytest.fixture
def train() -> Callable[..., Training]:
    """Starts a training: `train(queue="gpus")`, settings by name."""

    def start(
        request: TrainJobRequest = REQUEST, pace: Pace = PACE, **settings: object
    ) -> Training:
        return Training(SETTINGS.model_copy(update=settings), request, pace)

    return start
