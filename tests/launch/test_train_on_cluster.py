"""Training on a cluster, from the object that is made to the end that is told."""

from __future__ import annotations

import time

import pytest

from modelyard.errors import ModelyardError, Unavailable, UsageError
from modelyard.kubernetes.client import Pace
from tests.launch.conftest import PACE, REQUEST, until
from tests.standin.trainer import NAMESPACE, TRAIN_JOB


def jobs(api):
    return api.store.find(TRAIN_JOB, NAMESPACE)


def test_a_training_that_succeeds_tells_the_first_nodes_log_and_leaves_no_job(api, trainer, train):
    training = train()
    job = trainer.job()
    first, second = trainer.make_pods(job)
    for pod in (first, second):
        trainer.run(pod)
    trainer.say(first, "epoch 1 loss 0.5", "epoch 2 loss 0.4")
    trainer.say(second, "the other node's log is its own")
    training.wait_for("epoch 2")
    trainer.say(first, "epoch 3 loss 0.3", seconds=1)
    for pod in (first, second):
        trainer.exit(pod, 0)
    trainer.complete(job)
    assert training.ended() is None
    assert [line for line in training.said if line.startswith("epoch")] == [
        "epoch 1 loss 0.5",
        "epoch 2 loss 0.4",
        "epoch 3 loss 0.3",
    ]
    name = job["metadata"]["name"]
    assert training.said[0] == f"made TrainJob team-a/{name}: 2 nodes, registry.example/modelyard:1"
    assert not any("other node" in line for line in training.said)
    time.sleep(3 * trainer.deletion_seconds)
    assert jobs(api) == []


def test_an_image_that_cannot_be_pulled_is_told_with_its_reason_before_the_deadline(trainer, train):
    training = train(pull_minutes=0.005)
    pods = trainer.make_pods(trainer.job())
    trainer.wait(pods[1], "ErrImagePull", 'rpc error: "registry.example/modelyard:1": not found')
    training.wait_for("not found")
    trainer.wait(
        pods[1], "ImagePullBackOff", 'Back-off pulling image "registry.example/modelyard:1"'
    )
    error = training.ended()
    assert isinstance(error, UsageError)
    for part in (
        "node 1",
        "registry.example/modelyard:1",
        "not found",
        "0.005 minutes",
        "cluster.image_pull_secrets",
    ):
        assert part in str(error)


def test_a_node_out_of_memory_is_told_with_its_limit_though_the_other_crashed_first(trainer, train):
    training = train()
    first, second = trainer.make_pods(trainer.job())
    for pod in (first, second):
        trainer.run(pod)
    trainer.exit(first, 1, message="RuntimeError: connection closed by peer")
    trainer.exit(second, 137, "OOMKilled", restarted=True)
    error = training.ended()
    assert isinstance(error, UsageError)
    assert "node 1" in str(error)
    assert "OOMKilled" in str(error)
    assert "8Gi" in str(error)
    assert "training.batch_size" in str(error)


def test_a_pod_without_a_place_is_told_in_the_schedulers_words(trainer, train):
    training = train(schedule_minutes=0.005)
    pods = trainer.make_pods(trainer.job())
    trainer.unschedulable(pods[0], "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.")
    error = training.ended()
    assert isinstance(error, Unavailable)
    assert "0/3 nodes are available: 3 Insufficient nvidia.com/gpu." in str(error)
    assert "0.005 minutes" in str(error)
    assert any("waits: 0/3 nodes" in line for line in training.said)


REFUSED = {
    "a quota too small": (
        'Error creating: pods "x" is forbidden: exceeded quota: gpus, requested: '
        "requests.nvidia.com/gpu=4, used: requests.nvidia.com/gpu=0, limited: requests.nvidia.com/gpu=2",
        "Ask for less (cluster.cpu, cluster.memory, --gpus, --nodes)",
    ),
    "a quota that wants a limit": (
        'Error creating: pods "x" is forbidden: failed quota: compute: must specify limits.cpu',
        "Set cluster.cpu",
    ),
    "a limit range": (
        'Error creating: pods "x" is forbidden: maximum cpu usage per Container is 4, but limit is 8',
        "Set cluster.cpu to what is allowed",
    ),
    "an invalid pod": (
        'Error creating: Pod "x" is invalid: spec.containers[0].resources.requests: Invalid value: '
        '"8": must be less than or equal to cpu limit of 2',
        "Set cluster.cpu to what is allowed",
    ),
    "the standard of the namespace": (
        'pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true',
        "cluster.namespace",
    ),
    "an account that is missing": (
        'pods "x" is forbidden: error looking up service account team-a/trainer: serviceaccount '
        '"trainer" not found',
        "Set cluster.service_account to one that exists",
    ),
    "a webhook": (
        'Error creating: admission webhook "policy.example" denied the request: image must come '
        "from the company registry",
        "Set cluster.image to one that is allowed",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_the_api_server_refuses_ends_the_training_at_once_with_what_to_set(
    why, trainer, train
):
    said, advice = REFUSED[why]
    training = train(schedule_minutes=30.0)
    trainer.warn(f"{trainer.job()['metadata']['name']}-node-0", said)
    error = training.ended()
    assert isinstance(error, UsageError), "a step would try again"
    assert f"the cluster refuses its pods: {said}" in str(error)
    assert advice in str(error)


def test_one_node_of_two_that_is_refused_ends_the_training_too(trainer, train):
    training = train()
    job = trainer.job()
    first, second = trainer.make_pods(job)
    trainer.run(first)
    trainer.remove_pod(second)
    trainer.warn(f"{job['metadata']['name']}-node-0", REFUSED["a limit range"][0])
    assert "maximum cpu usage per Container is 4" in str(training.ended())


def test_a_quota_that_has_room_again_soon_is_told_and_waited_for(trainer, train):
    training = train(pace=Pace(**{**vars(PACE), "settle": 5.0}))
    job = trainer.job()
    trainer.warn(
        f"{job['metadata']['name']}-node-0",
        'pods "x" is forbidden: exceeded quota: team, requested: requests.cpu=2, used: '
        "requests.cpu=7, limited: requests.cpu=8",
    )
    training.wait_for("exceeded quota: team")
    for pod in trainer.make_pods(job):
        trainer.run(pod)
    training.wait_for("all 2 nodes run")
    trainer.complete(job)
    assert training.ended() is None


def test_a_quota_that_stays_full_ends_the_training(trainer, train):
    training = train(schedule_minutes=30.0)
    trainer.warn(
        f"{trainer.job()['metadata']['name']}-node-0",
        'pods "x" is forbidden: exceeded quota: team, requested: requests.cpu=2, used: '
        "requests.cpu=7, limited: requests.cpu=8",
    )
    error = training.ended()
    assert isinstance(error, Unavailable)
    assert "cluster.queue" in str(error)


def test_a_webhook_that_does_not_answer_is_waited_for(trainer, train):
    training = train()
    job = trainer.job()
    trainer.warn(
        f"{job['metadata']['name']}-node-0",
        'Error creating: Internal error occurred: failed calling webhook "policy.example": '
        "connection refused",
    )
    training.wait_for("failed calling webhook")
    trainer.complete(job)
    assert training.ended() is None


def test_what_was_refused_in_an_earlier_attempt_says_nothing_of_this_one(trainer, train):
    training = train()
    job = trainer.job()
    trainer.exit(trainer.make_pods(job)[0], 75)
    again = trainer.job(after=job["metadata"]["uid"])
    trainer.warn(f"{job['metadata']['name']}-node-0", REFUSED["a limit range"][0])
    training.wait_for("no pod was made yet: is the controller")
    trainer.complete(again)
    assert training.ended() is None


def watch_for_two_at_once(api, trainer) -> list[list[str]]:
    """Pods of the training that run when a job of it is made; an entry a job."""
    found = []

    def look(kind, thing):
        if kind == TRAIN_JOB:
            labels = f"modelyard/training={thing['metadata']['labels']['modelyard/training']}"
            pods = api.store.find(trainer._pod, NAMESPACE, labels=labels)
            found.append([one["metadata"]["name"] for one in pods])

    api.store.admission.append(look)
    return found


def test_an_attempt_begins_when_the_nodes_of_the_one_before_have_saved_and_ended(
    api, trainer, train
):
    """Two that write checkpoints of one training at once would leave neither whole."""
    trainer.deletion_seconds = 0.6
    running = watch_for_two_at_once(api, trainer)
    training = train()
    job = trainer.job()
    pods = trainer.make_pods(job)
    for pod in pods:
        trainer.run(pod)
    training.wait_for("all 2 nodes run")
    trainer.exit(pods[0], 75)
    again = trainer.job(after=job["metadata"]["uid"])
    assert running == [[], []]
    names = {
        thing["metadata"]["name"] for _, kind, _, thing in api.store.history if kind == trainer._pod
    }
    assert names == set(pods), "the controller made pods of the deleted job again"
    assert any("waiting for pods of an earlier attempt to end" in line for line in training.said)
    trainer.complete(again)
    assert training.ended() is None


def test_a_pod_on_a_lost_node_that_never_ends_does_not_hold_the_next_attempt_for_ever(
    api, trainer, train
):
    trainer.deletion_seconds = 60.0
    training = train(pace=Pace(**{**vars(PACE), "deletion": 0.3}))
    job = trainer.job()
    first, _ = trainer.make_pods(job)
    trainer.exit(first, 75)
    again = trainer.job(after=job["metadata"]["uid"])
    training.wait_for("not waiting any longer than 0 s for")
    trainer.complete(again)
    assert training.ended() is None


def test_pods_that_our_own_clean_up_kills_are_no_preemption(api, trainer, train):
    """A step that is tried again with other settings removes the job that it finds at work."""
    running = watch_for_two_at_once(api, trainer)
    old = train(pace=Pace(**{**vars(PACE), "patience": 0.2}))
    job = trainer.job()
    pods = trainer.make_pods(job)
    for pod in pods:
        trainer.run(pod)
    api.refuse("trainjobs", 503, "etcd is away", times=100)
    api.refuse("pods", 503, "etcd is away", times=100)
    api.cut_streams()
    assert isinstance(old.ended(), Unavailable)
    api.faults.clear()
    trainer.deletion_seconds = 0.3
    training = train(image="registry.example/modelyard:2")
    again = trainer.job(after=job["metadata"]["uid"])
    for pod in trainer.make_pods(again):
        trainer.run(pod)
    training.wait_for("all 2 nodes run")
    time.sleep(5 * PACE.settle)
    trainer.complete(again)
    assert training.ended() is None
    assert not any("Attempt" in line for line in training.said)
    assert again["metadata"]["annotations"]["modelyard/attempt"] == "1"
    assert running == [[], []]


def test_a_step_that_is_tried_again_waits_for_nodes_whose_job_is_gone_already(api, trainer, train):
    """The step before got SIGTERM and deleted it; its nodes still save."""
    gone = train(pace=Pace(**{**vars(PACE), "patience": 0.2}))
    job = trainer.job()
    first, second = trainer.make_pods(job)
    trainer.run(first)
    api.store.remove(TRAIN_JOB, NAMESPACE, job["metadata"]["name"])
    assert "was deleted by someone else" in str(gone.ended())
    training = train()
    training.wait_for(f"waiting for pods of an earlier attempt to end: {first}, {second}")
    trainer.remove_pod(second)
    trainer.exit(first, 0)
    trainer.set_pod(first, phase="Succeeded")
    trainer.complete(trainer.job())
    assert training.ended() is None


def test_a_missing_secret_is_named(trainer, train):
    training = train(pull_minutes=0.002)
    pods = trainer.make_pods(trainer.job())
    trainer.wait(pods[0], "CreateContainerConfigError", 'secret "s3" not found')
    error = training.ended()
    assert 'secret "s3" not found' in str(error)
    assert "cluster.env_from_secrets" in str(error)


def test_the_time_limit_is_told_with_the_setting_that_holds_it(trainer, train):
    training = train(timeout_hours=2.0)
    job = trainer.job()
    assert job["spec"]["activeDeadlineSeconds"] == 7200
    for pod in trainer.make_pods(job):
        trainer.run(pod)
        trainer.remove_pod(pod)
    trainer.finish(job, "Failed", "DeadlineExceeded", "TrainJob exceeded its active deadline")
    error = training.ended()
    assert isinstance(error, Unavailable)
    assert "cluster.timeout_hours = 2" in str(error)


def test_a_crash_is_told_with_the_last_line_of_the_node_that_caused_it(trainer, train):
    training = train()
    job = trainer.job()
    pods = trainer.make_pods(job)
    for pod in pods:
        trainer.run(pod)
    trainer.say(pods[0], "Traceback (most recent call last):", "KeyError: 'label'", "")
    trainer.exit(pods[0], 1, restarted=True)
    trainer.finish(job, "Failed", "FailedJobs", "jobset failed due to one or more job failures")
    error = training.ended()
    assert type(error) is ModelyardError
    assert "exited with code 1" in str(error)
    assert str(error).endswith("Its last line: KeyError: 'label'")


def test_what_a_worker_says_to_the_user_is_the_error(trainer, train):
    training = train()
    pods = trainer.make_pods(trainer.job())
    trainer.run(pods[0])
    trainer.exit(
        pods[0], 2, message="error: model.kind 'resnet' needs pictures of at least 32 pixels"
    )
    error = training.ended()
    assert isinstance(error, UsageError)
    assert str(error) == "model.kind 'resnet' needs pictures of at least 32 pixels"


@pytest.mark.parametrize("how", ["exit 75", "evicted", "spot node gone", "pod deleted"])
def test_a_preempted_training_is_made_again_and_goes_on(trainer, train, how):
    training = train()
    job = trainer.job()
    first, second = trainer.make_pods(job)
    for pod in (first, second):
        trainer.run(pod)
    training.wait_for("all 2 nodes run")
    if how == "exit 75":
        trainer.exit(second, 75, restarted=True)
    elif how == "evicted":
        trainer.set_pod(
            second,
            phase="Failed",
            reason="Evicted",
            message="The node was low on resource: memory.",
        )
    elif how == "spot node gone":
        trainer.disrupt(second, "DeletionByTaintManager", "deleting due to NoExecute taint")
        trainer.remove_pod(second)
    else:
        trainer.remove_pod(second)
    trainer.exit(first, 1)
    again = trainer.job(after=job["metadata"]["uid"])
    assert again["metadata"]["name"] != job["metadata"]["name"]
    assert again["metadata"]["labels"] == job["metadata"]["labels"]
    assert again["metadata"]["annotations"]["modelyard/attempt"] == "2"
    assert any("Attempt 2 of 4" in line for line in training.said)
    trainer.complete(again)
    assert training.ended() is None


def test_preemption_without_end_is_given_up(trainer, train):
    training = train(restarts=1)
    last = ""
    for _ in range(2):
        job = trainer.job(after=last)
        last = job["metadata"]["uid"]
        trainer.exit(trainer.make_pods(job)[0], 75)
    error = training.ended()
    assert isinstance(error, Unavailable)
    assert "Gave up after 2 attempts (cluster.restarts = 1)" in str(error)


def test_a_queue_holds_the_job_without_a_limit_and_may_take_its_nodes_back(trainer, train):
    training = train(queue="gpus", schedule_minutes=0.001)
    job = trainer.job()
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    assert job["spec"]["suspend"] is True
    training.wait_for("waits in queue gpus")
    pods = trainer.make_pods(job)
    for pod in pods:
        trainer.run(pod)
    trainer.suspend(job, on=False)
    training.wait_for("all 2 nodes run")
    trainer.suspend(job, on=True)
    for pod in pods:
        trainer.remove_pod(pod)
    until(lambda: sum("waits in queue gpus" in line for line in training.said) == 2)
    for pod in trainer.make_pods(job):
        trainer.run(pod)
    trainer.suspend(job, on=False)
    until(lambda: sum("all 2 nodes run" in line for line in training.said) == 2)
    trainer.complete(job)
    assert training.ended() is None
    assert not any("Attempt" in line for line in training.said)


def test_nodes_that_a_queue_took_back_unseen_count_as_no_failure(trainer, train):
    training = train(pace=Pace(**{**vars(PACE), "settle": 2.0}))
    job = trainer.job()
    pods = trainer.make_pods(job)
    for pod in pods:
        trainer.run(pod)
    training.wait_for("all 2 nodes run")
    trainer.exit(pods[0], 143)
    time.sleep(1.1)  # the API's clock knows whole seconds
    trainer.suspend(job, on=True)
    trainer.suspend(job, on=False)
    for pod in pods:
        trainer.remove_pod(pod)
    time.sleep(2.5)  # longer than it settles
    trainer.complete(job)
    assert training.ended() is None
    assert not any("Attempt" in line for line in training.said)


def test_a_retried_step_goes_on_with_the_job_that_is_there(api, trainer, train):
    leaving = train(pace=Pace(**{**vars(PACE), "patience": 0.2}))
    job = trainer.job()
    api.refuse("trainjobs", 503, "etcd is away", times=100)
    api.refuse("pods", 503, "etcd is away", times=100)
    api.cut_streams()
    assert isinstance(leaving.ended(), Unavailable)
    api.faults.clear()
    training = train()
    training.wait_for("going on with it")
    trainer.complete(job)
    assert training.ended() is None
    assert api.asked("DELETE .*trainjobs") == 1


def test_a_job_that_failed_is_replaced_by_a_retried_step(trainer, train):
    failing = train(keep_job="failed")
    job = trainer.job()
    trainer.exit(trainer.make_pods(job)[0], 1)
    assert failing.ended() is not None
    kept = trainer.job()
    assert kept["metadata"]["annotations"]["modelyard/outcome"] == "failed"
    training = train(keep_job="always")
    again = trainer.job(after=job["metadata"]["uid"])
    trainer.complete(again)
    assert training.ended() is None
    assert trainer.job()["metadata"]["uid"] == again["metadata"]["uid"]


def test_a_job_of_other_settings_is_replaced(trainer, train):
    first = train(keep_job="always")
    job = trainer.job()
    trainer.complete(job)
    assert first.ended() is None
    training = train(image="registry.example/modelyard:2")
    again = trainer.job(after=job["metadata"]["uid"])
    assert again["spec"]["trainer"]["image"].endswith(":2")
    trainer.complete(again)
    assert training.ended() is None


def test_a_job_of_another_training_or_of_someone_else_is_left_alone(api, trainer, train):
    for number, labels in enumerate(({}, {"modelyard/run": REQUEST.id})):
        theirs = {
            "metadata": {"name": f"{REQUEST.training}-{number}", "labels": labels},
            "spec": {"runtimeRef": {"name": "torch-distributed"}},
        }
        api.store.create(TRAIN_JOB, NAMESPACE, theirs)
    before = {one["metadata"]["uid"] for one in jobs(api)}
    training = train()
    until(lambda: len(jobs(api)) == 3)
    (ours,) = [one for one in jobs(api) if one["metadata"]["uid"] not in before]
    trainer.complete(ours)
    assert training.ended() is None
    until(lambda: {one["metadata"]["uid"] for one in jobs(api)} == before)


def test_a_job_that_someone_deletes_is_not_waited_for(api, trainer, train):
    training = train()
    job = trainer.job()
    training.wait_for("made TrainJob")
    api.store.remove(TRAIN_JOB, NAMESPACE, job["metadata"]["name"])
    error = training.ended()
    assert "was deleted by someone else" in str(error)
