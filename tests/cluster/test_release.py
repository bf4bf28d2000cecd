"""deploy and rollback with helm itself, the chart itself, its fetch, and the real server; the cluster is a stand-in.

The tests of this file are one story: each goes on where the one before it ended.
"""

from __future__ import annotations

import base64
import gzip
import importlib.util
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvicorn
import yaml
from typer.testing import CliRunner

from modelyard import artifact, registry
from modelyard.cli.app import app
from modelyard.errors import ModelyardError, Unavailable, UsageError
from modelyard.launch import release, smoke
from modelyard.launch.inspect import Reader
from modelyard.launch.kube import Pace
from modelyard.launch.release_store import publish
from modelyard.launch.rights import DEPLOYING
from modelyard.launch.smoke import ask_golden
from modelyard.package import Package
from modelyard.run import Run
from modelyard.serve_settings import ServeSettings
from modelyard.serving.app import create_app
from modelyard.stages.deploy import deploy
from tests.charts.helm import ROOT, binary, helm
from tests.charts.rights import listed, taken
from tests.charts.test_rights import WATCHING
from tests.cluster.conftest import NAMESPACE
from tests.standin.kinds import POD, SECRET, Cluster
from tests.standin.rollout import READY, Rollouts
from tests.standin.server import Api, Line
from tests.toy.build import LINE, build

pytestmark = pytest.mark.skipif(binary() is None, reason="helm is not installed. Type: make helm")
NAME, RELEASE = "tests-toy-family-line", "line"
PROXY = r"POST /api/v1/namespaces/models/services/http:line:80/proxy/predict"
UNREACHED_BY_API = "error trying to reach service: dial tcp 10.0.0.7:3000"
REFUSED = {
    "phase": "Pending",
    "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}],
    "initContainerStatuses": [{
        "name": "package", "image": "modelyard/server:9", "ready": False,
        "state": {"waiting": {"reason": "ErrImagePull", "message": (
            'rpc error: code = Unknown desc = failed to pull and unpack image "images.example/modelyard/server:9": '
            "failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized"
        )}},
    }],
}  # fmt: skip


def _fetch():
    """The chart's own script, which its init container runs."""
    spec = importlib.util.spec_from_file_location("chart_fetch", ROOT / "charts/model/files/fetch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.fetch


class Yard:
    """A cluster, what runs on it, and runs whose packages are to be deployed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.api = folder, Api()
        self.http = self.api.start()
        file = self.api.kubeconfig(folder / "kubeconfig", NAMESPACE)
        file.chmod(0o600)
        self.api.denied.add("list jobs")  # which nobody who deploys needs: the chart makes none
        self.cluster = Cluster(self.api, NAMESPACE)
        self.rollouts = Rollouts(self.cluster)
        self.rollouts.on_ready = self.serve
        self.fetch = _fetch()
        self.servers: dict[str, uvicorn.Server] = {}
        settings = {"release": RELEASE, "packages": f"file://{folder}/store", "failing_minutes": 0.005,
                    "timeout_minutes": 0.5, "values": {"replicaCount": 2}}  # fmt: skip
        self.config = {"serve": settings}
        few, many = {"features": {"points": 30}}, {"features": {"points": 3000}, "seed": 1}
        self.runs = {name: build(folder / name, name, config | self.config) for name, config in
                     (("few", few), ("many", many), ("worse", {"features": {"points": 31}, "seed": 5}))}  # fmt: skip

    def serve(self, spec) -> None:
        """What the pods of a version do: fetch and verify the package, then answer."""
        source, _, digest = spec["initContainers"][0]["args"]
        if digest not in self.servers:
            path = self.folder / "pods" / digest
            self.fetch(source, path, digest)
            server = uvicorn.Server(
                uvicorn.Config(create_app(Package(path, threads=1), None), port=0, log_level="error")
            )
            threading.Thread(target=server.run, daemon=True).start()
            while not server.started:
                time.sleep(0.01)
            self.servers[digest] = server
        port = self.servers[digest].servers[0].sockets[0].getsockname()[1]
        self.api.behind[RELEASE] = f"http://127.0.0.1:{port}"

    def deploy(self, name: str, **serve) -> dict:
        """The stage's record; `serve` changes settings of the section."""
        built = self.runs[name]
        config = built.run.config.model_dump(mode="json")
        config["serve"] |= serve
        run = Run.of(LINE, config, id=name)
        deploy(run, package=built.package, features=built.features, deployment=self.folder / "out")
        return json.loads((self.folder / "out" / "deployment.json").read_text())

    def history(self) -> list[str]:
        settings = self.runs["few"].run.config.serve
        return [f"{one.revision} {one.status}" for one in release.Releaser(settings, print).helm.history()]

    def answers(self) -> str:
        """The version that callers get."""
        return smoke._post(Reader(), f"/api/v1/namespaces/{NAMESPACE}/services/{RELEASE}:80/proxy/predict", {"x": 1})[0]

    def version_of(self, name: str) -> str:
        return Package(self.runs[name].package).info.version

    def stop(self) -> None:
        self.rollouts.stop()
        for server in self.servers.values():
            server.should_exit = True
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture(scope="module")
def yard(tmp_path_factory):
    folder = tmp_path_factory.mktemp("yard")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELYARD_HOME", str(folder / "home"))
        patch.setenv("KUBECONFIG", str(folder / "kubeconfig"))
        patch.setenv("HELM", binary())
        for name in ("MLFLOW_TRACKING_URI", "KUBERNETES_SERVICE_HOST"):
            patch.delenv(name, raising=False)
        patch.setattr(release, "Pace", lambda: Pace(tick=0.1, backoff=0.05, patience=5.0))
        patch.setattr(smoke, "PAUSE", 0.01)
        yard = Yard(folder)
        yield yard
        yard.stop()


def test_the_first_champion_is_released_and_answers_its_own_example(yard):
    told = yard.deploy("few")
    assert told["champion"]
    assert told["release"]["revision"] == 1
    assert told["reason"].endswith("; models/line revision 1 serves it")
    assert yard.history() == ["1 deployed"]
    assert yard.answers() == yard.version_of("few")
    assert yard.api.asked(PROXY) == 1


def test_the_pods_got_the_package_that_was_uploaded_whole_under_its_digest(yard):
    (pod, _) = yard.cluster.api.store.find(POD, NAMESPACE)
    source, _, digest = pod["spec"]["initContainers"][0]["args"]
    manifest = Package(yard.runs["few"].package).manifest
    assert (source, digest) == (f"file://{yard.folder}/store/{NAME}/{manifest.digest}", manifest.digest)


def test_a_step_that_runs_again_makes_no_new_revision(yard):
    assert yard.deploy("few")["release"]["revision"] == 1
    assert yard.history() == ["1 deployed"]


def test_pods_that_cannot_start_are_explained_long_before_the_timeout_and_rolled_back(yard):
    yard.rollouts.fate = lambda spec: REFUSED
    began = time.monotonic()
    with pytest.raises(ModelyardError) as caught:
        yard.deploy("many", timeout_minutes=5.0)
    assert time.monotonic() - began < 60
    yard.rollouts.fate = lambda spec: READY
    said = str(caught.value)
    assert "needs credentials that the pod lacks" in said
    assert "Rolled back to revision 1" in said
    assert yard.history() == ["1 superseded", "2 failed", "3 deployed"]
    assert registry.champion(NAME).version == "1"
    assert "401 Unauthorized" in registry.get(NAME, "2").tags["modelyard.release-failed"]
    assert yard.answers() == yard.version_of("few")


def test_what_may_pass_is_waited_for_and_told_once_the_time_is_over(yard):
    """By then helm has removed the pods: what was wrong with them was seen before."""
    message = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    waits = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    yard.rollouts.fate = lambda spec: {"phase": "Pending", "conditions": [waits]}
    with pytest.raises(ModelyardError, match=r"no node has enough nvidia.com/gpu free.*Rolled back to revision 3"):
        yard.deploy("many", timeout_minutes=0.05)
    yard.rollouts.fate = lambda spec: READY
    assert yard.history()[-2:] == ["4 failed", "5 deployed"]


def test_pods_that_answer_as_another_version_are_rolled_back(yard, monkeypatch):
    monkeypatch.setattr(yard.rollouts, "on_ready", lambda spec: None)
    with pytest.raises(ModelyardError, match=r"did not answer once in 50 requests.*Rolled back to revision 5"):
        yard.deploy("many")
    assert yard.history()[-2:] == ["6 superseded", "7 deployed"]
    assert registry.champion(NAME).version == "1"


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


def test_a_network_policy_that_drops_the_api_servers_connections_does_not_hold_the_step_for_long(yard, monkeypatch):
    """Each try may take the API server half a minute: a second one is made, for a pod that just ended, and no third."""
    monkeypatch.setattr(smoke, "PATIENCE", 0.0)
    yard.api.refuse("POST .*/proxy/predict", 503, f"{UNREACHED_BY_API}: i/o timeout", times=smoke.TRIES)
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
        with pytest.raises(TimeoutError, match=r"no answer in 0\.2 s\. .*serve\.smoke=helm.*networkPolicy\.cidrs"):
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
            thing["status"] = {"phase": phases[-1], "containerStatuses": [{"name": "golden", "state": state}]}
            yard.api.logs[thing["metadata"]["name"]] = [Line("2026-10-01T10:00:00.0Z", "answer.y is 2.4 and 3.4")]

    yard.api.store.admission.append(run)
    yield phases.append
    yard.api.store.admission.remove(run)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_the_charts_own_test_may_ask_instead(yard, tested, phase):
    tested(phase)
    said = release.Releaser(yard.runs["few"].run.config.serve, print)._test()
    assert said is None if phase == "Succeeded" else said.endswith("pod line-golden failed: answer.y is 2.4 and 3.4")


def test_a_release_that_is_scaled_to_zero_is_not_asked(yard):
    reader, name = Reader(), smoke.selector(RELEASE)
    assert not smoke.Rollout(reader, RELEASE, 1.0).at_zero()
    (deployment,) = reader.here("deployments", "apps/v1", labelSelector=name)
    edit = {"spec": {"replicas": 0}, "status": {"observedGeneration": 99}}
    assert smoke._behind({**deployment, **edit}) is None
    assert smoke._behind({**deployment, "status": {"observedGeneration": 0}}).endswith("not seen the change yet")
    old = {**deployment["status"], "replicas": 3}
    assert smoke._behind({**deployment, "status": old}).endswith("1 pods of the old version still end")


def test_a_better_challenger_takes_the_release_over(yard):
    told = yard.deploy("many")
    assert (told["version"], told["champion"], told["release"]["revision"]) == ("2", True, 8)
    assert yard.answers() == yard.version_of("many")
    assert registry.champion(NAME).version == "2"


def test_a_challenger_that_lost_touches_nothing(yard):
    before = yard.history()
    asked = len(yard.api.requests)
    assert not yard.deploy("worse")["champion"]
    assert len(yard.api.requests) == asked
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
    assert yard.history()[-1] == "9 deployed"


def test_rollback_without_a_release_changes_the_registry_alone(yard):
    for name in ("few", "many"):
        built = yard.runs[name]
        config = built.run.config.model_dump(mode="json") | {"serve": {}, "registry": {"name": "plain"}}
        run = Run.of(LINE, config, id=f"plain-{name}")
        deploy(run, package=built.package, features=built.features, deployment=yard.folder / "plain")
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
    assert "version 1 has no predecessor that served: nothing to go back to. Versions: 3, 2, 1" in str(done.exception)
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
    assert yard.history()[-1] == "10 deployed"


def promote(version: str, name: str = NAME):
    return CliRunner().invoke(app, ["promote", f"{name}@{version}"])


def test_promote_brings_a_version_to_the_release_and_then_makes_it_champion(yard):
    done = promote("2")
    assert done.exit_code == 0, done.output
    assert "models/line: revision 11 serves file://" in done.output
    assert f"{NAME} version 2, package {yard.version_of('many')}" in done.output
    assert yard.answers() == yard.version_of("many")
    assert registry.champion(NAME).version == "2"
    tag = json.loads(registry.get(NAME, "2").tags["modelyard.release"])
    assert (tag["revision"], tag["namespace"]) == (11, "models")


def test_a_promoted_version_that_does_not_serve_is_rolled_back_and_no_champion(yard, monkeypatch):
    monkeypatch.setattr(yard.rollouts, "on_ready", lambda spec: None)
    done = promote("3")
    assert isinstance(done.exception, ModelyardError)
    assert "did not answer once in 50 requests" in str(done.exception)
    assert "Rolled back to revision 11" in str(done.exception)
    assert registry.champion(NAME).version == "2"
    assert "did not answer" in registry.get(NAME, "3").tags["modelyard.release-failed"]
    assert yard.history()[-1] == "13 deployed"


def test_promote_puts_a_release_right_that_another_hand_changed(yard):
    """The champion is promoted again: what serves is looked at, not what was noted."""
    releaser = release.Releaser(yard.runs["few"].run.config.serve, print)
    releaser.helm.rollback(10, 1.0)
    assert yard.answers() == yard.version_of("worse")
    assert promote("2").exit_code == 0
    assert yard.answers() == yard.version_of("many")
    assert registry.changes(NAME)[-1].after == "2"


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
    with pytest.raises(ModelyardError, match="needs credentials.*there was no earlier one: nothing is released"):
        releaser.bring(yard.runs["few"].package, NAME)
    yard.rollouts.fate = lambda spec: READY
    assert releaser.helm.history() == []


def test_without_helm_one_line_says_what_to_type(yard, monkeypatch):
    monkeypatch.setenv("HELM", "/nowhere/helm")
    with pytest.raises(UsageError, match=r"helm is not on the PATH and HELM names no program.*export HELM="):
        release.Releaser(yard.runs["few"].run.config.serve, print)


def test_helm_killed_in_the_midst_of_its_work_is_put_right_later_and_not_while_it_may_be_alive(yard):
    settings = yard.runs["few"].run.config.serve
    last = release.Releaser(settings, print).helm.history()[-1]
    secret = sorted(one["metadata"]["name"] for one in yard.cluster.api.store.find(SECRET, NAMESPACE))[-1]
    stuck = pending(yard.cluster.api.store.get(SECRET, NAMESPACE, secret), last.revision + 1)
    yard.cluster.api.store.create(SECRET, NAMESPACE, stuck)
    assert yard.history()[-1].endswith("pending-upgrade")
    with pytest.raises(Unavailable, match=r"another deploy is at work \(revision \d+ is pending-upgrade\)"):
        release.Releaser(settings, print).bring(yard.runs["worse"].package, NAME)
    impatient = settings.model_copy(update={"timeout_minutes": 0.2})
    aged = settings.model_copy(update={"timeout_minutes": 1e-9})
    release.Releaser(aged, print)._unblocked()
    assert yard.history()[-1].endswith("deployed")
    release.Releaser(impatient, print).bring(yard.runs["worse"].package, NAME)
    assert yard.answers() == yard.version_of("worse")


def pending(secret, revision: int):
    """A release's record as helm leaves it when it is killed while it upgrades: base64 of gzip of JSON."""
    packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
    record = json.loads(gzip.decompress(packed))
    record["version"], record["info"]["status"] = revision, "pending-upgrade"
    record["info"]["last_deployed"] = datetime.now(UTC).isoformat()
    packed = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(record).encode()))).decode()
    name = f"sh.helm.release.v1.{RELEASE}.v{revision}"
    labels = secret["metadata"]["labels"] | {"status": "pending-upgrade", "version": str(revision)}
    return {"metadata": {"name": name, "labels": labels}, "type": secret["type"], "data": {"release": packed}}


def test_the_very_values_render_a_deployment_with_that_package(yard, tmp_path):
    built = yard.runs["many"]
    values = release.wanted_values(built.run.config.serve, "s3://models/x", "ab" * 32)
    (tmp_path / "values.json").write_text(json.dumps(values))
    done = helm(
        "template",
        RELEASE,
        release.chart_of(built.run.config.serve),
        "--values",
        tmp_path / "values.json",
        "--kube-version",
        "1.30.0",
    )
    assert done.returncode == 0, done.stderr
    deployment = next(one for one in yaml.safe_load_all(done.stdout) if one and one["kind"] == "Deployment")
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["template"]["spec"]["initContainers"][0]["args"][::2] == ["s3://models/x", "ab" * 32]


def test_values_of_the_settings_go_over_those_of_the_file(tmp_path):
    (tmp_path / "values.yaml").write_text("replicaCount: 4\npackage: {credentialsSecret: store, sizeLimit: 1Gi}\n")
    settings = ServeSettings(values_file=str(tmp_path / "values.yaml"), values={"package": {"sizeLimit": "3Gi"}})
    assert release.wanted_values(settings, "s3://m/x", "d") == {
        "replicaCount": 4,
        "package": {"credentialsSecret": "store", "sizeLimit": "3Gi", "uri": "s3://m/x", "sha256": "d"},
    }
    with pytest.raises(UsageError, match="there is no such file"):
        release.wanted_values(ServeSettings(values_file=str(tmp_path / "none.yaml")), "s3://m/x", "d")


def test_a_package_that_arrived_in_part_is_sent_again_and_a_whole_one_stays(yard, tmp_path):
    package, base = yard.runs["few"].package, f"file://{tmp_path}"
    there = Path(publish(package, base, "x").removeprefix("file://"))
    assert artifact.verify(there).digest == there.name
    written = (there / "golden.json").stat().st_mtime_ns
    publish(package, base, "x")
    assert (there / "golden.json").stat().st_mtime_ns == written
    (there / "golden.json").write_text("{")
    publish(package, base, "x")
    assert artifact.verify(there).digest == there.name


def test_a_place_that_cannot_be_written_leaves_no_package(yard, tmp_path):
    (tmp_path / "store").write_text("a file, not a folder")
    with pytest.raises(Unavailable, match="Check serve.packages"):
        publish(yard.runs["few"].package, f"file://{tmp_path}/store", "x")
    with pytest.raises(UsageError, match="--set serve.packages=s3://BUCKET"):
        publish(yard.runs["few"].package, None, "x")


def test_a_step_that_is_told_to_stop_lets_helm_put_back_what_served(yard, tmp_path):
    """A process of its own gets SIGTERM while its helm waits for pods that never come."""
    before = yard.answers()
    yard.rollouts.fate = lambda spec: {"phase": "Pending", "conditions": []}
    script = (
        "import sys; from pathlib import Path; from modelyard.launch.release import Releaser\n"
        "from modelyard.serve_settings import ServeSettings\n"
        "settings = ServeSettings.model_validate_json(sys.argv[1])\n"
        "Releaser(settings, lambda line: print(line, flush=True)).bring(Path(sys.argv[2]), sys.argv[3])"
    )
    settings = yard.runs["few"].run.config.serve.model_dump_json()
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


@pytest.fixture
def closed(yard, monkeypatch):
    """A first release, `shut`, to whose pods the API server has no way; makes a releaser of it."""
    monkeypatch.setattr(yard.rollouts, "on_ready", lambda spec: None)
    monkeypatch.setattr(smoke, "PATIENCE", 0.0)
    yard.api.refuse("POST .*/services/http:shut:80/proxy", 503, f"{UNREACHED_BY_API}: i/o timeout", times=1000)
    said = []

    def releaser(**values):
        settings = yard.runs["few"].run.config.serve
        return release.Releaser(settings.model_copy(update={"release": "shut", "values": values}), said.append)

    releaser.said = said
    yield releaser
    yard.api.faults.clear()


def test_where_the_network_keeps_the_api_server_out_the_charts_test_decides(yard, closed, tested):
    """As charts/model comes: its NetworkPolicy is on and lets in the release's own pods, of which the test is one."""
    tested("Succeeded")
    releaser = closed()
    assert releaser.bring(yard.runs["few"].package, NAME).revision == 1
    (line,) = [one for one in closed.said if "Asking by helm test instead" in one]
    assert "i/o timeout. The API server does not reach the pods: set serve.smoke=helm, or let" in line
    releaser.helm.uninstall()


def test_where_neither_way_shows_that_it_answers_one_line_says_both_and_nothing_stays(yard, closed, tested):
    tested("Failed")
    with pytest.raises(ModelyardError) as caught:
        closed().bring(yard.runs["few"].package, NAME)
    for words in ("serve.smoke=helm", "networkPolicy.cidrs", "Nor by helm test", "answer.y is 2.4 and 3.4"):
        assert words in str(caught.value)
    with pytest.raises(ModelyardError, match=r"networkPolicy\.cidrs.*tests\.enabled=false.*it is uninstalled"):
        closed(tests={"enabled": False}).bring(yard.runs["few"].package, NAME)
    assert closed().helm.history() == []


def test_all_that_deploying_took_here_is_what_charts_platform_gives(yard):
    took = taken(yard.api.requests)
    assert took - listed(DEPLOYING) == {"list jobs.batch"}
    assert took >= WATCHING


def until(met, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end
        time.sleep(0.1)
