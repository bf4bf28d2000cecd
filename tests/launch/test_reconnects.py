"""A cluster whose API fails, forgets, throttles and refuses, and a log that breaks off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelyard.errors import Unavailable, UsageError
from modelyard.kubernetes.client import Cluster, Pace
from tests.launch.conftest import PACE, until
from tests.standin.trainer import NAMESPACE, TRAIN_JOB, Trainer

pytestmark = pytest.mark.timed

LISTS = r"GET [^?]*/(pods|trainjobs)\?(?!.*watch)"
JOB_LISTS = r"GET [^?]*/trainjobs\?(?!.*watch)"


def started(trainer: Trainer):
    job = trainer.job()
    pods = trainer.make_pods(job)
    for pod in pods:
        trainer.run(pod)
    return job, pods


@pytest.mark.parametrize("cleanly", [True, False], ids=["ends", "breaks"])
def test_no_line_of_the_log_is_lost_or_told_twice_when_its_stream(api, trainer, train, cleanly):
    api.cut_log_after, api.cut_cleanly = [3, 4, 5], cleanly
    training = train()
    job, (first, _) = started(trainer)
    for burst in range(6):
        trainer.say(first, f"{burst} a", f"{burst} b", f"{burst} c")
        time.sleep(0.03)
    training.wait_for("5 c")
    trainer.say(first, "last")
    trainer.exit(first, 0)
    trainer.complete(job)
    assert training.ended() is None
    assert api.cut_log_after == []
    told = [line for line in training.said if line[0].isdigit() or line == "last"]
    assert told == [*(f"{burst} {letter}" for burst in range(6) for letter in "abc"), "last"]
    assert api.asked(r"/log\?.*sinceTime") >= 3


def test_a_watch_that_breaks_goes_on_where_it_was(api, trainer, train):
    training = train()
    job, _ = started(trainer)
    training.wait_for("all 2 nodes run")
    lists = api.asked(LISTS)
    until(lambda: len(api.streams) == 3)  # the job, its pods, the first one's log
    assert api.cut_streams() == 3
    time.sleep(0.1)
    trainer.complete(job)
    assert training.ended() is None
    assert api.asked(LISTS) == lists
    assert api.asked(r"watch=True") >= 3


def test_a_state_that_the_api_forgot_is_listed_again(api, trainer, train):
    training = train()
    job, _ = started(trainer)
    training.wait_for("all 2 nodes run")
    until(lambda: api.asked(r"trainjobs\?.*watch=True") > 0)
    lists = api.asked(JOB_LISTS)
    with api.store.changed:  # written, and forgotten before the watch could tell
        trainer.complete(job)
        api.store.compact()
    assert training.ended() is None
    assert api.asked(JOB_LISTS) > lists


def test_gone_as_an_http_answer_is_listed_again(api, trainer, train):
    api.refuse(r"trainjobs\?.*watch=True", 410, "too old resource version")
    training = train()
    job = trainer.job()
    until(lambda: api.asked(r"trainjobs\?.*watch=True") > 1)
    trainer.complete(job)
    assert training.ended() is None
    # Listed before the job was made, to watch it, and after the refusal.
    assert api.asked(JOB_LISTS) == 3


def test_throttling_is_obeyed(api, trainer, train):
    api.refuse("POST .*trainjobs", 429, "too many requests", Retry_After="1")
    begun = time.monotonic()
    training = train(pace=Pace(**{**vars(PACE), "longest": 5.0}))
    trainer.complete(trainer.job())
    assert training.ended() is None
    assert time.monotonic() - begun >= 1.0
    assert api.asked("POST .*trainjobs") == 2


def test_errors_that_pass_are_waited_out(api, trainer, train):
    for code in (500, 502, 503, 504):
        api.refuse("trainjobs", code, "etcdserver: leader changed", times=2)
        api.refuse("pods", code, "etcdserver: leader changed", times=2)
    training = train()
    trainer.complete(trainer.job())
    assert training.ended() is None
    assert not [fault for fault in api.faults if fault.times]


def test_an_api_that_stays_away_is_told_with_its_address_and_the_job_is_left(api, trainer, train):
    training = train(pace=Pace(**{**vars(PACE), "patience": 0.3}))
    started(trainer)
    training.wait_for("all 2 nodes run")
    api.refuse("trainjobs|pods", 503, "down", times=1000)
    api.cut_streams()
    error = training.ended()
    assert isinstance(error, Unavailable)
    assert "does not answer" in str(error)
    assert len(api.store.find(TRAIN_JOB, NAMESPACE)) == 1


def test_a_request_that_was_done_though_its_answer_got_lost_is_not_done_twice(api, trainer, train):
    created = api.store.create

    def create_and_fail(kind, *rest):
        made = created(kind, *rest)
        if kind == TRAIN_JOB:
            api.store.create = created
            raise ConnectionResetError
        return made

    api.store.create = create_and_fail
    training = train()
    training.wait_for("made TrainJob")
    assert len(api.store.find(TRAIN_JOB, NAMESPACE)) == 1
    trainer.complete(trainer.job())
    assert training.ended() is None
    assert api.asked("POST .*trainjobs") == 2


def test_a_missing_permission_is_told_in_the_clusters_words(api, trainer, train):
    said = 'trainjobs.trainer.kubeflow.org is forbidden: User "system:serviceaccount:team-a:default" cannot create'
    api.refuse("POST .*trainjobs", 403, said)
    error = train().ended()
    assert isinstance(error, UsageError)
    assert said in str(error)
    assert "The service account needs" in str(error)


def test_a_permission_that_is_lost_on_the_way_ends_the_watch(api, trainer, train):
    training = train()
    started(trainer)
    training.wait_for("all 2 nodes run")
    api.refuse(
        "pods.*watch", 403, 'pods is forbidden: User "x" cannot watch resource "pods"', times=1000
    )
    api.cut_streams()
    error = training.ended()
    assert isinstance(error, UsageError)
    assert 'cannot watch resource "pods"' in str(error)


def test_expired_credentials_are_told_after_one_more_try(api, trainer, train):
    api.token = "another"  # noqa: S105 a stand-in's
    error = train().ended()
    assert isinstance(error, UsageError)
    assert "401" in str(error)
    assert len(api.requests) == 2


def test_a_token_that_was_replaced_is_read_again(api, trainer, train, tmp_path):
    api.token = "first"  # noqa: S105 a stand-in's
    file = api.kubeconfig(tmp_path / "kubeconfig", NAMESPACE)
    cluster = Cluster(pace=PACE)
    api.token = "second"  # noqa: S105 a stand-in's
    api.kubeconfig(file, NAMESPACE)
    assert cluster.jobs("modelyard/run=nothing") == []


def test_a_quota_on_jobs_is_told(api, trainer, train):
    api.refuse(
        "POST .*trainjobs",
        403,
        'trainjobs "x" is forbidden: exceeded quota: jobs, used: 5, limited: 5',
    )
    error = train().ended()
    assert isinstance(error, Unavailable)
    assert "exceeded quota: jobs" in str(error)


def test_an_admission_policy_is_told_in_its_own_words(api, trainer, train):
    said = 'admission webhook "policy.example" denied the request: image must come from the company registry'
    api.refuse("POST .*trainjobs", 403, said)
    error = train().ended()
    assert isinstance(error, UsageError)
    assert "image must come from the company registry" in str(error)


def test_a_cluster_without_kubeflow_trainer_says_how_to_install_it(api, train):
    error = train().ended()
    assert isinstance(error, UsageError)
    assert "Kubeflow Trainer is not installed" in str(error)
    assert "helm install kubeflow-trainer CHART --version 2.3.0" in str(error)
    assert "Operator Guides, Installation" in str(error), "where CHART is told"


def test_a_runtime_that_is_not_there_is_told_with_those_that_are(trainer, train):
    error = train(runtime="torch-distributd").ended()
    assert isinstance(error, UsageError)
    assert "Did you mean 'torch-distributed'?" in str(error)
    assert "jax-distributed" in str(error)


def test_an_older_trainer_is_told_rather_than_obeyed_in_part(api, trainer, train):
    api.store.strict[TRAIN_JOB] = lambda job: ['unknown field "spec.runtimePatches"']
    error = train().ended()
    assert isinstance(error, UsageError)
    assert "older than 2.2" in str(error)


def test_no_cluster_at_all_says_what_to_set(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nothing"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(UsageError, match="set KUBECONFIG"):
        Cluster()


SCRIPT = """
import sys
from modelyard.errors import Interrupted
from tests.launch.conftest import PACE, REQUEST, SETTINGS
from modelyard.launch.trainjob import train_on_cluster
try:
    train_on_cluster(REQUEST, SETTINGS, lambda line: print(line, flush=True), pace=PACE)
except Interrupted as error:
    sys.exit(error.exit_code)
"""


def test_a_step_that_is_told_to_stop_deletes_its_job(api, trainer):
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
    )
    job = trainer.job(seconds=20)
    for pod in trainer.make_pods(job):
        trainer.run(pod)
    while b"all 2 nodes run" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 75
    assert api.asked(f"DELETE .*/{job['metadata']['name']}") == 1
