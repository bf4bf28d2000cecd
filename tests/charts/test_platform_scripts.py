"""What the platform's pods run: registering pipelines, showing reports, MLflow as the chart
starts it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import fsspec
import httpx
import pytest

from modelyard.card import pages
from modelyard.errors import UsageError
from modelyard.family import names
from modelyard.pipeline.pipelines import KINDS, connect, of_family
from tests.charts.helm import ROOT, Case, objects
from tests.charts.kubeflow import Kubeflow, running
from tests.standin.s3 import store

pytestmark = pytest.mark.timed

FILES = ROOT / "charts" / "platform" / "files"


def plan(**change: Any) -> dict[str, Any]:
    """The plan of the chart's fullest values, for an API without users."""
    found = objects(Case("platform", "full"))
    text = next(one for one in found if one["kind"] == "ConfigMap" and "plan.json" in one["data"])[
        "data"
    ]["plan.json"]
    return json.loads(text) | {"namespace": "", "settleSeconds": 0} | change


def register(
    kubeflow: Kubeflow, folder: Path, wanted: dict[str, Any]
) -> subprocess.CompletedProcess[str]:
    """Runs the hook's script as its pod does."""
    command, environment = registering(kubeflow, folder, wanted)
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False, timeout=120
    )


def registering(
    kubeflow: Kubeflow, folder: Path, wanted: dict[str, Any]
) -> tuple[list[str], dict[str, str]]:
    """The command of the hook's pod, and its environment."""
    (folder / "plan.json").write_text(json.dumps(wanted))
    (folder / "token").write_text("secret-token\n")
    environment = os.environ | {
        "KFP_HOST": kubeflow.url,
        "KFP_TOKEN_FILE": str(folder / "token"),
        "HOME": str(folder),
    }
    return [sys.executable, str(FILES / "register.py"), str(folder / "plan.json")], environment


@pytest.fixture(scope="module")
def registered(tmp_path_factory) -> Iterator[tuple[Kubeflow, Path]]:
    """An API after one registration of the plan."""
    folder = tmp_path_factory.mktemp("register")
    with running() as kubeflow:
        done = register(kubeflow, folder, plan())
        assert done.returncode == 0, done.stderr
        yield kubeflow, folder


def test_the_compiled_pipelines_of_the_families_are_uploaded_and_run_the_image_of_the_release(
    registered,
):
    import yaml

    kubeflow, _ = registered
    names = {one["display_name"] for one in kubeflow.pipelines}
    assert names == {
        f"modelyard-{family}-{kind}"
        for family in ("tabular", "image")
        for kind in ("training", "monitoring", "tuning")
    }
    for version in kubeflow.versions:
        stem = version["spec"]["pipelineInfo"]["name"].removeprefix("modelyard-")
        own = next(yaml.safe_load_all(of_family(*stem.rsplit("-", 1)).read_text()))
        for spec in (version["spec"], own):
            images = {
                one["container"]["image"] for one in spec["deploymentSpec"]["executors"].values()
            }
            assert images == {"{{$.inputs.parameters['pipelinechannel--image']}}"}
        field = version["spec"]["root"]["inputDefinitions"]["parameters"]["image"]
        assert field["defaultValue"] == plan()["image"]
        own["root"]["inputDefinitions"]["parameters"]["image"] = field
        assert version["spec"] == own


def test_monitoring_is_scheduled_with_its_settings_and_the_launchers_account(registered):
    kubeflow, _ = registered
    found = {one["display_name"]: one for one in kubeflow.recurring}
    assert set(found) == {"payments-payments", "payments-retina"}
    one = found["payments-payments"]
    assert one["trigger"]["cron_schedule"]["cron"] == "0 0 * * * *"
    assert one["service_account"] == "modelyard-launcher"
    assert one["runtime_config"]["parameters"] == {
        "family": "tabular",
        "settings": {
            "monitor": {
                "log": "s3://logs/payments",
                "consecutive": 2,
                "schedule": "payments-payments",
            },
            "registry": {"name": "payments"},
            "cluster": {"cpu": 4, "memory": "32Gi"},
        },
        "cpu": "4",
        "memory": "32Gi",
    }
    assert (one["mode"], found["payments-retina"]["mode"]) == ("ENABLE", "DISABLE")
    version = one["pipeline_version_reference"]["pipeline_version_id"]
    spec = next(each for each in kubeflow.versions if each["pipeline_version_id"] == version)[
        "spec"
    ]
    assert spec["pipelineInfo"]["name"] == "modelyard-tabular-monitoring"


def test_the_settings_of_a_schedule_are_settings_of_the_family():
    from modelyard.family import load

    wanted = plan()["schedules"]["payments"]
    config = load(wanted["family"]).Config.model_validate(
        script("register").nested(wanted["settings"])
    )
    assert config.monitor.log == "s3://logs/payments"


def test_the_token_of_the_pod_goes_with_every_request(registered):
    assert registered[0].tokens == {"Bearer secret-token"}


def test_registering_again_uploads_nothing_and_follows_the_plan(registered):
    kubeflow, folder = registered
    versions = len(kubeflow.versions)
    mine = {
        "display_name": "someone-elses",
        "experiment_id": kubeflow.recurring[0]["experiment_id"],
        "recurring_run_id": "x",
    }
    kubeflow.recurring.append(mine)
    schedules = {"payments": {"family": "tabular", "cron": "0 0 5 * * *"}}
    done = register(kubeflow, folder, plan(schedules=schedules))
    assert done.returncode == 0, done.stderr
    assert len(kubeflow.versions) == versions
    assert {one["display_name"] for one in kubeflow.recurring} == {
        "payments-payments",
        "someone-elses",
    }
    assert len(kubeflow.recurring) == 2
    assert kubeflow.recurring[-1]["trigger"]["cron_schedule"]["cron"] == "0 0 5 * * *"


def test_changed_bytes_are_a_new_version_and_going_back_makes_the_old_one_the_newest(tmp_path):
    register_ = script("register")
    first = of_family("tabular", "training").read_text()
    (tmp_path / "one.yaml").write_text(first)
    (tmp_path / "two.yaml").write_text(first.replace("Trains,", "Trains well,"))
    with running() as kubeflow, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # kfp's word on old servers
        client = connect(kubeflow.url)
        names_ = ("one", "one", "two", "one", "one")
        files = [register_.with_image(tmp_path / f"{name}.yaml", "x:1") for name in names_]
        ids = [register_.upload(client, file, plan()) for file in files]
        newest = [one["display_name"] for one in kubeflow.versions]
        (pipeline,) = kubeflow.pipelines
    assert len({pipeline for pipeline, _ in ids}) == 1
    assert ids[0] == ids[1] != ids[2] != ids[3] == ids[4] != ids[0]
    assert newest[-1] == f"{newest[1]}-2"
    assert pipeline["description"].startswith("Trains,")
    about = kubeflow.versions[-1]["description"]
    assert about.startswith("release models/payments, chart ")
    assert "image " in about
    assert "code " in about


def test_all_pipelines_and_the_generic_ones_are_chosen_where_no_family_is_named():
    chosen = {path.stem for path in script("register").chosen([])}
    assert chosen == {f"{name}-{kind}" for name in ("generic", *names()) for kind in KINDS}
    with pytest.raises(UsageError, match=r"register\.families: family 'tabula' is unknown"):
        script("register").chosen(["tabula"])


def test_an_unknown_family_is_told_with_those_that_there_are(registered):
    done = register(*registered, plan(families=["tabuler"]))
    assert done.returncode == 2
    assert done.stderr.startswith("error: register.families:")
    assert "tabular" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_kubeflow_pipelines_that_is_still_starting_is_waited_for(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    later = Kubeflow(url=f"http://127.0.0.1:{port}")
    wanted = plan(waitMinutes=1, families=["tabular"], schedules={})
    command, environment = registering(later, tmp_path, wanted)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as process:
        assert "trying for 1 minutes" in process.stdout.readline()
        with running(port) as kubeflow:
            began = time.monotonic()
            _, said = process.communicate(timeout=60)
            assert process.returncode == 0, said
            assert len(kubeflow.pipelines) == 3
    assert time.monotonic() - began < 60


def test_without_kubeflow_pipelines_the_job_ends_in_time_and_names_the_values_to_set(tmp_path):
    nowhere = Kubeflow(url="http://127.0.0.1:9")
    done = register(nowhere, tmp_path, plan(waitMinutes=0.05))
    assert done.returncode == 2
    line = done.stderr.splitlines()[-1]  # kfp's client warns above it
    assert line.startswith("error: tried for 0.")
    assert "Kubeflow Pipelines does not answer at http://127.0.0.1:9" in line
    assert (
        "Set register.host to the address of its API, or register.enabled=false where there is none"
        in line
    )
    assert "modelyard submit" not in line


def test_the_register_job_does_not_try_again_what_a_person_has_to_act_on():
    found = objects(Case("platform", "default"))
    job = next(
        one
        for one in found
        if one["metadata"]["name"] == "payments-register" and one["kind"] == "Job"
    )
    (rule,) = job["spec"]["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob"
    assert rule["onExitCodes"] == {"containerName": "register", "operator": "In", "values": [2]}
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["name"] == rule["onExitCodes"]["containerName"]
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"


def script(name: str) -> ModuleType:
    """A script of the chart as a module; scripts find each other, as they do in the pod."""
    if str(FILES) not in sys.path:
        sys.path.insert(0, str(FILES))
    found = spec_from_file_location(name, FILES / f"{name}.py")
    assert found is not None
    assert found.loader is not None
    module = module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)
    return module


@pytest.fixture
def reports(tmp_path) -> Iterator[str]:
    """The report server over two reports."""
    for age, name in enumerate(("b/run 2/verdict", "a/run-1")):
        folder = tmp_path / "reports" / name
        folder.mkdir(parents=True)
        (folder / "report.html").write_text(f"<p>{name}</p>")
        (folder / "verdict.json").write_text("{}")
        os.utime(folder / "report.html", (1.7e9 - age * 1e5,) * 2)
    (tmp_path / "secret.html").write_text("not for you")
    server = script("reports").serve(str(tmp_path / "reports"), 0)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def listed(place: str) -> str:
    """The page that lists the reports of a place."""
    module = script("reports")
    page: str = module.listing(module.Reports(place).listed())
    return page


VERDICTS = {
    "a": {
        "model": "churn@3",
        "schedule": "payments-hourly",
        "reason": "drifted: <b>amount</b> (D 0.31)",
    },
    "b": {"family": "tabular", "package": "15df43746691", "reason": "stable over 400 rows"},
    "c": None,
}
"""Of today, of before models were named, and a report without one."""


@pytest.fixture(params=["folder", "store"])
def place(request, tmp_path, monkeypatch) -> Iterator[str]:
    """Reports with their verdicts, in a folder and in an object store."""
    if request.param == "folder":
        yield str(tmp_path / "reports")
        return
    with store() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        fsspec.filesystem("s3", skip_instance_cache=True).mkdir("reports")
        yield "s3://reports/v2"


def test_the_list_names_model_schedule_verdict_and_time_of_each_report(place):
    files, root = fsspec.core.url_to_fs(place)
    for name, verdict in VERDICTS.items():
        files.makedirs(f"{root}/{name}/monitor", exist_ok=True)
        files.pipe_file(f"{root}/{name}/monitor/report.html", b"<p>")
        if verdict is not None:
            text = json.dumps(verdict).encode()
            files.pipe_file(f"{root}/{name}/monitor/verdict.json", text)
    rows = {row[-1]: row for row in re.findall(CELLS, listed(place))}
    today, before, without = (rows[f"{name}/monitor/report.html"] for name in VERDICTS)
    assert today[1:4] == (
        "churn@3",
        "payments-hourly",
        "drifted: &lt;b&gt;amount&lt;/b&gt; (D 0.31)",
    )
    assert before[1:4] == ("tabular 15df43746691", "", "stable over 400 rows")
    assert without[1:4] == ("", "", "")
    year = datetime.now(UTC).year
    assert all(row[0].startswith(f"{year}-") for row in rows.values())


CELLS = "<tr>" + "<td>([^<]*)</td>" * 4 + '<td><a href="[^"]*">([^<]*)</a></td></tr>'


def test_a_verdict_that_comes_after_its_report_is_shown_at_the_next_look(tmp_path, monkeypatch):
    module = script("reports")
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    found = module.Reports(str(tmp_path))
    (tmp_path / "report.html").write_text("<p>")
    assert [one.verdict for one in found.listed()] == [""]
    (tmp_path / "verdict.json").write_text('{"model": "churn@3", "reason": "stable"}')
    assert [one.verdict for one in found.listed()] == ["stable"]


def test_reports_are_listed_newest_first_and_shown(reports):
    page = httpx.get(reports).text
    assert page.index("b/run 2/verdict/report.html") < page.index("a/run-1/report.html")
    assert httpx.get(f"{reports}/b/run%202/verdict/report.html").text == "<p>b/run 2/verdict</p>"
    assert httpx.get(f"{reports}/livez").status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/a/run-1/verdict.json", "/../secret.html", "/%2e%2e/secret.html", "//etc/passwd", "/a/run-1"],
)
def test_nothing_but_listed_reports_is_shown(reports, path):
    with socket.create_connection(("127.0.0.1", httpx.URL(reports).port or 0)) as raw:
        raw.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        answer = raw.makefile("rb").read()
    assert answer.split(b" ", 2)[1] == b"404", answer


def test_a_report_without_a_policy_of_its_own_is_shown_without_its_scripts(reports):
    policy = httpx.get(f"{reports}/a/run-1/report.html").headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'; ")
    assert "script-src" not in policy


def own(report: str) -> str:
    found: str = script("reports").policy(report.encode())
    return found


def test_a_report_is_shown_under_the_policy_that_it_begins_with_in_a_sandbox():
    policy = pages.policy(["draw()"], img_src="data: blob:", font_src="data:")
    page = f'<!DOCTYPE html><html lang="en"><head>{pages.head("Drift", policy)}</head><body></body></html>'
    assert own(page) == f"sandbox allow-scripts; {policy}; frame-ancestors 'none'"
    assert "unsafe" not in own(page).replace("style-src 'unsafe-inline'", "")


@pytest.mark.parametrize(
    "policy",
    [
        "default-src *",
        "default-src 'none'; script-src 'unsafe-inline'",
        "default-src 'none'; script-src *",
        "default-src 'none'; script-src 'self' 'unsafe-eval'",
        "default-src 'none'\r\nset-cookie: a=b",
        "default-src 'none'; script-src https://127.0.0.1",
        "default-src 'none'; script-src-elem 'unsafe-inline'",
        "default-src 'none'; script-src 'self'",
        "default-src 'none'; script-src data:",
    ],
)
def test_a_policy_that_would_let_a_report_run_anything_is_not_followed(policy):
    assert (
        own(f'<!doctype html><html lang="en"><head>{pages.POLICY_START}{policy}">')
        == script("reports").CLOSED
    )


def test_nothing_before_the_policy_makes_it_count():
    policy = pages.policy(["draw()"])
    assert (
        own(f"<script>steal()</script><html lang=en>{pages.head('', policy)}")
        == script("reports").CLOSED
    )


def test_the_list_of_reports_runs_nothing(reports):
    answer = httpx.get(reports)
    assert "script-src" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.slow
def test_mlflow_starts_as_the_chart_says_and_refuses_other_hosts(tmp_path):
    found = objects(Case("platform", "default"))
    pod = next(one for one in found if one["kind"] == "Deployment")["spec"]["template"]["spec"]
    container = pod["containers"][0]
    for name in ("data", "tmp"):
        (tmp_path / name).mkdir()

    def here(text: str) -> str:
        return (
            text.replace("/data", f"{tmp_path}/data")
            if "/data" in text
            else text.replace("/tmp", f"{tmp_path}/tmp")
        )

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        here(part).replace("--port=5000", f"--port={port}")
        for part in container["command"] + container["args"]
    ]
    command[0] = shutil.which("mlflow", path=str(Path(sys.executable).parent)) or command[0]
    environment = {one["name"]: here(one["value"]) for one in container["env"]} | {
        "PATH": os.environ["PATH"]
    }
    process = subprocess.Popen(command, env=environment, cwd=tmp_path / "tmp")
    try:
        deadline = time.monotonic() + 240
        while _status(f"http://127.0.0.1:{port}/health", "payments-mlflow:5000") != 200:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.5)
        listing = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/search?max_results=1"
        assert _status(listing, "payments-mlflow.models.svc:5000") == 200
        assert _status(listing, "elsewhere.example.org") == 403
        assert (tmp_path / "data" / "mlflow.db").is_file()
    finally:
        process.terminate()
        process.wait(60)


def _status(url: str, host: str) -> int:
    try:
        return httpx.get(url, headers={"host": host}, timeout=5).status_code
    except httpx.TransportError:
        return 0
