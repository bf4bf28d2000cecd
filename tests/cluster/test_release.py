"""deploy and rollback with helm itself, the chart itself, its fetch, and the real server; the
cluster is a stand-in.

The tests of this file are one story: each goes on where the one before it ended.
"""

from __future__ import annotations

import base64
import gzip
import json
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from modelyard.cli.app import app
from modelyard.doctor.rights import DEPLOYING
from modelyard.errors import ModelyardError, Unavailable, UsageError
from modelyard.packages.package import Package
from modelyard.registry import versions as registry
from modelyard.release import release
from modelyard.stages.deploy import deploy
from modelyard.stages.run import Run
from tests.charts.helm import binary
from tests.charts.rights import listed, taken
from tests.charts.test_rights import WATCHING
from tests.cluster.conftest import NAMESPACE
from tests.cluster.test_smoke import PROXY
from tests.cluster.yard import NAME, REFUSED, RELEASE
from tests.standin.kinds import NODE, POD, SECRET
from tests.standin.rollout import READY
from tests.toy.build import LINE

MESSAGE = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
NO_GPU = {
    "phase": "Pending",
    "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": MESSAGE}
    ],
}
pytestmark = [
    pytest.mark.timed,
    pytest.mark.skipif(binary() is None, reason="helm is not installed. Type: make helm"),
]


def test_the_first_champion_is_released_and_answers_its_own_example(yard):
    told = yard.deploy("few")
    assert told["champion"]
    assert told["release"]["revision"] == 1
    assert told["reason"].endswith("; models/line revision 1 serves it")
    assert yard.history() == ["1 deployed"]
    assert yard.answers() == yard.version_of("few")
    assert yard.api.asked(PROXY) == 1
    assert yard.api.asked(PROXY.replace("line:", "line-candidate:")) == 1


def test_the_pods_got_the_package_that_was_uploaded_whole_under_its_digest(yard):
    (pod, _) = yard.cluster.api.store.find(POD, NAMESPACE)
    source, _, digest = pod["spec"]["initContainers"][0]["args"]
    manifest = Package(yard.runs["few"].package).manifest
    assert (source, digest) == (
        f"file://{yard.folder}/store/{NAME}/{manifest.digest}",
        manifest.digest,
    )


def test_a_step_that_runs_again_makes_no_new_revision(yard):
    assert yard.deploy("few")["release"]["revision"] == 1
    assert yard.history() == ["1 deployed"]


def test_pods_that_cannot_start_are_explained_long_before_the_timeout_and_never_serve(yard):
    yard.rollouts.fate = lambda spec: REFUSED
    began = time.monotonic()
    with pytest.raises(ModelyardError) as caught:
        yard.deploy("many", timeout_minutes=5.0)
    assert time.monotonic() - began < 60
    yard.rollouts.fate = lambda spec: READY
    said = str(caught.value)
    assert "needs credentials that the pod lacks" in said
    assert "Revision 1 serves as before" in said
    assert yard.history() == ["1 deployed"]
    assert registry.champion(NAME).version == "1"
    assert "401 Unauthorized" in registry.get(NAME, "2").tags["modelyard.release-failed"]
    assert yard.answers() == yard.version_of("few")


def test_what_may_pass_is_waited_for_and_told_once_the_time_is_over(yard):
    """By then helm has removed the pods: what was wrong with them was seen before."""
    node = yard.cluster.add(NODE, "gpu-1", status={"allocatable": {"nvidia.com/gpu": "8"}})
    yard.rollouts.fate = lambda spec: NO_GPU
    with pytest.raises(
        ModelyardError,
        match=r"no node has enough nvidia.com/gpu free.*serve.candidate=false.*Revision 1 serves",
    ):
        yard.deploy("many", timeout_minutes=0.05)
    yard.rollouts.fate = lambda spec: READY
    assert yard.history() == ["1 deployed"]
    yard.cluster.api.store.remove(NODE, "", node["metadata"]["name"])


def test_pods_that_answer_as_another_version_never_serve(yard):
    with (
        another_answers(yard, "many", "few"),
        pytest.raises(
            ModelyardError, match=r"did not answer once in 50 requests.*Revision 1 serves as before"
        ),
    ):
        yard.deploy("many")
    assert yard.history() == ["1 deployed"]
    assert yard.answers() == yard.version_of("few")
    assert registry.champion(NAME).version == "1"


def test_what_answers_as_a_candidate_and_not_in_its_place_is_rolled_back(yard, monkeypatch):
    """Where the release's own Service goes elsewhere, for instance."""

    def candidates_only(template):
        if template["metadata"]["labels"]["app.kubernetes.io/instance"] != RELEASE:
            yard.serve(template)

    monkeypatch.setattr(yard.rollouts, "on_ready", candidates_only)
    with pytest.raises(
        ModelyardError, match=r"did not answer once in 50 requests.*Rolled back to revision 1"
    ):
        yard.deploy("many")
    assert yard.history() == ["1 superseded", "2 superseded", "3 deployed"]
    assert registry.champion(NAME).version == "1"


@contextmanager
def another_answers(yard, name, instead):
    """Pods with the package of one run answer as that of another."""
    digests = [Package(yard.runs[one].package).manifest.digest for one in (name, instead)]
    yard.answers_as[digests[0]] = digests[1]
    yield
    yard.answers_as.clear()


def test_a_better_challenger_takes_the_release_over(yard):
    told = yard.deploy("many")
    assert (told["version"], told["champion"], told["release"]["revision"]) == ("2", True, 4)
    assert yard.answers() == yard.version_of("many")
    assert registry.champion(NAME).version == "2"


def test_a_challenger_that_lost_touches_nothing(yard):
    before = yard.history()
    asked = len(yard.api.requests)
    assert not yard.deploy("worse")["champion"]
    assert {one.partition(" ")[0] for one in yard.api.requests[asked:]} == {"GET"}
    assert yard.history() == before


def rollback(*arguments: str):
    return CliRunner().invoke(app, ["rollback", NAME, *arguments])


def test_rollback_brings_back_the_champion_before_in_registry_and_release(yard):
    done = rollback("--why", "too steep")
    assert done.exit_code == 0, done.output
    assert f"serves now    {NAME} version 2, package {yard.version_of('many')}" in done.output
    assert f"serves again  {NAME} version 1, package {yard.version_of('few')}" in done.output
    assert registry.champion(NAME).version == "1"
    assert yard.answers() == yard.version_of("few")
    assert yard.history()[-1] == "5 deployed"


def test_rollback_without_a_release_changes_the_registry_alone(yard):
    for name in ("few", "many"):
        built = yard.runs[name]
        config = built.run.config.model_dump(mode="json") | {
            "serve": {},
            "registry": {"name": "plain"},
        }
        run = Run.of(LINE, config, id=f"plain-{name}")
        deploy(
            run, package=built.package, features=built.features, deployment=yard.folder / "plain"
        )
    asked = len(yard.api.requests)
    done = CliRunner().invoke(app, ["rollback", "plain"])
    assert done.exit_code == 0, done.output
    assert "serves again  plain version 1" in done.output
    assert registry.champion("plain").version == "1"
    assert len(yard.api.requests) == asked


def test_the_registry_tells_who_went_back_when_and_why(yard):
    last = registry.changes(NAME)[-1]
    assert (last.before, last.after, last.back, last.why) == ("2", "1", True, "too steep")
    assert "@" in last.by
    assert [one.after for one in registry.changes(NAME)] == ["1", "2", "1"]


def test_rollback_refuses_when_there_is_nothing_to_go_back_to(yard):
    done = rollback()
    assert isinstance(done.exception, UsageError)
    assert (
        "version 1 has no predecessor that served: nothing to go back to. Versions: 3, 2, 1"
        in str(done.exception)
    )
    assert "serves already" in str(rollback("--to", "1").exception)


def test_a_version_that_a_person_took_back_does_not_come_back_by_itself(yard):
    told = yard.deploy("many")
    assert not told["champion"]
    assert "went back from version 2 (too steep)" in told["reason"]
    assert yard.answers() == yard.version_of("few")


def test_rollback_to_a_version_that_was_never_released_makes_a_new_revision(yard):
    done = rollback("--to", "3")
    assert done.exit_code == 0, done.output
    assert yard.answers() == yard.version_of("worse")
    assert yard.history()[-1] == "6 deployed"


def promote(version: str, name: str = NAME):
    return CliRunner().invoke(app, ["promote", f"{name}@{version}"])


def test_promote_brings_a_version_to_the_release_and_then_makes_it_champion(yard):
    done = promote("2")
    assert done.exit_code == 0, done.output
    assert "models/line: revision 7 serves file://" in done.output
    assert f"{NAME} version 2, package {yard.version_of('many')}" in done.output
    assert yard.answers() == yard.version_of("many")
    assert registry.champion(NAME).version == "2"
    tag = json.loads(registry.get(NAME, "2").tags["modelyard.release"])
    assert (tag["revision"], tag["namespace"]) == (7, "models")


def test_a_promoted_version_that_does_not_serve_changes_nothing(yard):
    with another_answers(yard, "worse", "few"):
        done = promote("3")
    assert isinstance(done.exception, ModelyardError)
    assert "did not answer once in 50 requests" in str(done.exception)
    assert "Revision 7 serves as before" in str(done.exception)
    assert registry.champion(NAME).version == "2"
    assert "did not answer" in registry.get(NAME, "3").tags["modelyard.release-failed"]
    assert yard.history()[-1] == "7 deployed"


def test_promote_puts_a_release_right_that_another_hand_changed(yard):
    """The champion is promoted again: what serves is looked at, not what was noted."""
    releaser = release.Releaser(yard.runs["few"].run.config.serve, print)
    releaser.helm.rollback(6, 1.0)
    assert yard.answers() == yard.version_of("worse")
    done = promote("2")
    assert done.exit_code == 0, done.output
    assert "models/line serves version 3, but the champion of" in done.output
    assert f"To serve the champion: modelyard promote {NAME}@2" in done.output
    assert yard.answers() == yard.version_of("many")
    assert registry.changes(NAME)[-1].after == "2"


def test_doctor_compares_each_release_with_its_champion_and_says_what_a_stopped_deploy_left(yard):
    def look() -> dict:
        done = CliRunner().invoke(app, ["doctor", "--cluster", "-n", NAMESPACE, "--json"])
        rows = {one["what"]: one for one in json.loads(done.stdout)["findings"]}
        return rows["release models/line"]

    asked = len(yard.api.requests)
    assert look()["level"] == "ok"
    assert f"serves the champion of {NAME}, package" in look()["seen"]
    releaser = release.Releaser(yard.runs["few"].run.config.serve, print)
    with pytest.raises(KeyboardInterrupt), releaser._held():
        raise KeyboardInterrupt
    assert look()["level"] == "bad"
    assert "a deploy by a process that was stopped did not end" in look()["seen"]
    assert look()["fix"] == "modelyard doctor line --namespace models --fix"
    done = CliRunner().invoke(app, look()["fix"].split()[1:])
    assert "serves the champion" in done.stdout
    registry.set_champion(NAME, "1")
    assert look()["level"] == "warn"
    assert look()["seen"].startswith(f"serves version 2, but the champion of {NAME} is version 1")
    registry.set_champion(NAME, "2")
    del yard.api.requests[asked:]  # the last test counts what deploying takes, which is less


def test_promote_without_a_release_changes_the_registry_alone(yard):
    asked = len(yard.api.requests)
    done = promote("2", "plain")
    assert done.exit_code == 0, done.output
    assert registry.champion("plain").version == "2"
    assert len(yard.api.requests) == asked


def test_a_first_release_that_fails_leaves_nothing_behind(yard):
    yard.rollouts.fate = lambda spec: REFUSED
    settings = yard.runs["few"].run.config.serve.model_copy(update={"release": "fresh"})
    releaser = release.Releaser(settings, print)
    with pytest.raises(
        ModelyardError, match="needs credentials.*There was no earlier one: nothing is released"
    ):
        releaser.bring(yard.runs["few"].package, NAME)
    yard.rollouts.fate = lambda spec: READY
    assert releaser.helm.history() == []


def test_without_helm_one_line_says_what_to_type(yard, monkeypatch):
    monkeypatch.setenv("HELM", "/nowhere/helm")
    with pytest.raises(
        UsageError, match=r"helm is not on the PATH and HELM names no program.*export HELM="
    ):
        release.Releaser(yard.runs["few"].run.config.serve, print)


def test_a_first_install_that_was_killed_is_told_to_be_uninstalled_for_there_is_nothing_to_go_back_to(
    yard,
):
    """The advice is taken: what it types works."""
    store = yard.cluster.api.store
    settings = yard.runs["few"].run.config.serve.model_copy(update={"release": "newborn"})
    secret = sorted(one["metadata"]["name"] for one in store.find(SECRET, NAMESPACE))[-1]
    store.create(
        SECRET,
        NAMESPACE,
        pending(store.get(SECRET, NAMESPACE, secret), 1, "newborn", "pending-install"),
    )
    with pytest.raises(
        Unavailable, match=r"revision 1 is pending-install.*it was killed: helm -n models"
    ) as caught:
        release.Releaser(settings, print).bring(yard.runs["few"].package, NAME)
    words = str(caught.value).rpartition("if it was killed: helm ")[2].split()
    assert words == ["-n", "models", "uninstall", "newborn"]
    done = subprocess.run([str(binary()), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert release.Releaser(settings, print).helm.history() == []


def test_helm_killed_in_the_midst_of_its_work_is_put_right_later_and_not_while_it_may_be_alive(
    yard, monkeypatch
):
    settings = yard.runs["few"].run.config.serve
    last = release.Releaser(settings, print).helm.history()[-1]
    secret = sorted(
        one["metadata"]["name"] for one in yard.cluster.api.store.find(SECRET, NAMESPACE)
    )[-1]
    stuck = pending(yard.cluster.api.store.get(SECRET, NAMESPACE, secret), last.revision + 1)
    yard.cluster.api.store.create(SECRET, NAMESPACE, stuck)
    assert yard.history()[-1].endswith("pending-upgrade")
    with pytest.raises(
        Unavailable,
        match=rf"another helm is at work \(revision \d+ is pending-upgrade\).*rollback line "
        rf"{last.revision}$",
    ):
        release.Releaser(settings, print).bring(yard.runs["worse"].package, NAME)
    impatient = settings.model_copy(update={"timeout_minutes": 0.2})
    with monkeypatch.context() as later:
        later.setattr(release, "_age", lambda updated: 3600.0)
        assert release.Releaser(impatient, print).mend()
    assert yard.history()[-1].endswith("deployed")
    release.Releaser(impatient, print).bring(yard.runs["worse"].package, NAME)
    assert yard.answers() == yard.version_of("worse")


def test_a_rollback_that_was_killed_is_finished_and_an_upgrade_that_failed_is_undone(
    yard, monkeypatch
):
    """Helm marks what it was rolling back to, or bringing, by its last record."""
    monkeypatch.setattr(release, "_age", lambda updated: 3600.0)
    store = yard.cluster.api.store
    releaser = release.Releaser(yard.runs["few"].run.config.serve, print)
    served = releaser.serves()
    history = releaser.helm.history()
    (target, *_) = [one for one in history if one.served and releaser._digest(one) != served]
    wanted = releaser._digest(target)
    other = store.get(SECRET, NAMESPACE, f"sh.helm.release.v1.{RELEASE}.v{target.revision}")
    left = pending(other, history[-1].revision + 1, status="pending-rollback")
    store.create(SECRET, NAMESPACE, left)
    assert releaser.half_done() == f"revision {history[-1].revision + 1} is pending-rollback"
    assert releaser.mend()
    assert releaser.serves() == wanted
    last = releaser.helm.history()[-1]
    first = store.get(SECRET, NAMESPACE, f"sh.helm.release.v1.{RELEASE}.v{history[-1].revision}")
    store.create(SECRET, NAMESPACE, pending(first, last.revision + 1, status="failed"))
    assert releaser.mend()
    assert releaser.serves() == wanted
    assert releaser.half_done() is None
    assert yard.history()[-1] == f"{last.revision + 2} deployed"


def pending(secret, revision: int, name: str = RELEASE, status: str = "pending-upgrade"):
    """A release's record as helm leaves it when it is killed while it upgrades: base64 of gzip
    of JSON."""
    packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
    record = json.loads(gzip.decompress(packed))
    record["name"], record["version"], record["info"]["status"] = name, revision, status
    record["info"]["last_deployed"] = datetime.now(UTC).isoformat()
    packed = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(record).encode()))).decode()
    labels = secret["metadata"]["labels"] | {
        "name": name,
        "status": status,
        "version": str(revision),
    }
    called = f"sh.helm.release.v1.{name}.v{revision}"
    return {
        "metadata": {"name": called, "labels": labels},
        "type": secret["type"],
        "data": {"release": packed},
    }


def test_a_step_that_is_told_to_stop_lets_helm_put_back_what_served(yard, tmp_path):
    """A process of its own gets SIGTERM while its helm waits for pods that never come."""
    before = yard.answers()
    yard.rollouts.fate = lambda spec: {"phase": "Pending", "conditions": []}
    script = (
        "import sys; from pathlib import Path; from modelyard.release.release import Releaser\n"
        "from modelyard.settings.serve import ServeSettings\n"
        "settings = ServeSettings.model_validate_json(sys.argv[1])\n"
        "Releaser(settings, lambda line: print(line, flush=True)).bring(Path(sys.argv[2]), sys.argv[3])"
    )
    serve = yard.runs["few"].run.config.serve.model_copy(update={"candidate": False})
    settings = serve.model_dump_json()
    command = [sys.executable, "-c", script, settings, str(yard.runs["many"].package), NAME]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert "helm brings" in process.stdout.readline()
    until(lambda: yard.history()[-1].endswith("pending-upgrade"))
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    yard.rollouts.fate = lambda spec: READY
    assert process.wait(60) == 143
    until(lambda: yard.history()[-1].endswith("deployed"))
    assert yard.answers() == before
    left = release.Releaser(serve, print)
    assert "a process that was stopped did not end" in left.half_done()
    assert left.mend()
    assert left.half_done() is None


def test_all_that_deploying_took_here_is_what_charts_platform_gives(yard):
    took = taken(yard.api.requests)
    assert took - listed(DEPLOYING) == {"list jobs.batch"}
    assert took >= WATCHING - {"get pods/log."}  # which test_smoke.py needs


def until(met, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end
        time.sleep(0.1)
