"""A step on a cluster outlasts a store or server that is away for a moment, and no fault of a person."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from modelyard.errors import BadData, Unavailable, UsageError
from modelyard.pipeline import step
from modelyard.stages import STAGES

SETTINGS = {"family": "tests.toy.family:Line", "config": {}}


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long a step waited before each further try."""
    found: list[float] = []
    monkeypatch.setattr(
        step, "time", SimpleNamespace(sleep=found.append, monotonic=lambda: sum(found))
    )
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setattr(step, "die_with_parent", lambda: None)
    return found


def run(monkeypatch: pytest.MonkeyPatch, *ends: Exception | str) -> int:
    """Runs a step whose stage ends so; its tries. Exits as the step does."""
    tries = iter(ends)
    done = []

    def stage(*_: object, **__: object) -> str:
        end = next(tries)
        done.append(end)
        if isinstance(end, Exception):
            raise end
        return end

    monkeypatch.setitem(STAGES, "ingest", stage)
    artifact = SimpleNamespace(path="nowhere", metadata={})
    step.run_step("ingest", SETTINGS, outputs={"dataset": artifact})
    assert artifact.metadata["headline"] == done[-1]
    return len(done)


def test_a_store_that_is_away_for_a_moment_is_waited_for_with_a_word(waits, monkeypatch, caplog):
    away = Unavailable("data.uri 's3://b/a.csv': EndpointConnectionError")
    with caplog.at_level(logging.INFO):
        assert run(monkeypatch, away, away, "fetched") == 3
    assert waits == [5.0, 15.0]
    said = [
        record.getMessage() for record in caplog.records if "Trying again" in record.getMessage()
    ]
    assert said[0] == (
        "ingest: data.uri 's3://b/a.csv': EndpointConnectionError. Trying again in 5 s"
    )


def test_one_that_stays_away_ends_the_step_with_its_words(waits, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, *[Unavailable("the registry does not answer")] * 9)
    assert stopped.value.code == 2
    assert waits == list(step.WAITS)
    assert capsys.readouterr().err == "error: the registry does not answer\n"


@pytest.mark.parametrize("fault", [UsageError("no such column"), BadData("empty cell", row=7)])
def test_a_fault_of_a_person_is_never_tried_again(waits, monkeypatch, fault):
    with pytest.raises(SystemExit):
        run(monkeypatch, fault, "never")
    assert waits == []


def test_a_laptop_says_at_once_what_is_away(waits, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    with pytest.raises(SystemExit):
        run(monkeypatch, Unavailable("the registry does not answer"), "never")
    assert waits == []


def test_what_was_patient_itself_is_not_repeated(waits, monkeypatch):
    times = iter([0.0, step.PATIENCE + 1])
    monkeypatch.setattr(step.time, "monotonic", lambda: next(times))
    with pytest.raises(SystemExit):
        run(monkeypatch, Unavailable("no node has room"), "never")
    assert waits == []


def test_the_nodes_of_a_training_job_run_the_image_of_the_step_that_starts_them(waits, monkeypatch):
    monkeypatch.setenv("MODELYARD_IMAGE", "of-the-pod:1")
    monkeypatch.setitem(SETTINGS, "image", "of-the-form:2")
    run(monkeypatch, "fetched")
    assert step.os.environ["MODELYARD_IMAGE"] == "of-the-form:2"
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    monkeypatch.setenv("MODELYARD_IMAGE", "of-the-laptop:1")
    run(monkeypatch, "fetched")
    assert step.os.environ["MODELYARD_IMAGE"] == "of-the-laptop:1"
