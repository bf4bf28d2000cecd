"""No setting takes a credential, whatever it is called and however it is written; what was
recorded shows none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from modelyard import credentials, events
from modelyard.errors import ModelyardError, Unavailable, UsageError
from modelyard.family import load, names
from modelyard.packages.package import PackageInfo
from modelyard.serving.settings import ServingSettings
from modelyard.settings.cluster import ClusterSettings
from modelyard.settings.family import FamilyConfig, parse_assignments, resolve
from modelyard.settings.serve import ServeSettings

ROOT = Path(__file__).parents[2]
HELD = "hunter2"

REFUSED = [
    f"s3://key:{HELD}@bucket/log",
    f"s3://{HELD}@bucket/log",
    f"S3://key:{HELD}@bucket",
    f"s3://AKIA:ab/{HELD}+c@bucket/log",
    f"s3://AKIA:ab/c?{HELD}@bucket",
    f"s3://AKIA:/{HELD}@bucket/log",
    f"s3://AKIA:7/{HELD}@bucket/log",
    f"sftp://user:/{HELD}@host/a",
    f"https://user:{HELD}@host/a.csv",
    f"https://{HELD}@host/a.csv",
    f"http://user:{HELD}@[::1]:8080/a",
    f"git+https://{HELD}@host/a.git#b",
    f"git+ssh://git:{HELD}@host/a.git#b",
    f"abfs://box:{HELD}@account.dfs.core.windows.net/a",
    f"simplecache::s3://key:{HELD}@bucket/a",
    f"zip://a.csv::https://user:{HELD}@host/a.zip",
    f"filecache::zip://*.csv::s3://key:{HELD}@bucket/a.zip",
    f"postgresql://user:{HELD}@host/base",
    f"sftp://user:{HELD}@host/a",
    f"https://host/a?X-Amz-Signature={HELD}",
    f"https://host/a?x=1&X-Amz-Security-Token={HELD}&y=2",
    f"https://host/a?sig={HELD}",
    f"https://host/a?access%5Ftoken={HELD}",
    f"https://host/a?api_key={HELD}",
    f"https://host/a?AWSAccessKeyId={HELD}",
    f"https://host/a#access_token={HELD}",
    f"https://host/a;password={HELD}",
    f"an address in words: https://user:{HELD}@host/",
    f"https:\\\\user:{HELD}@host/a",
]
ALLOWED = [
    "s3://bucket/log",
    "s3://bucket/a@b/c",
    "gs://bucket/2026-01-01T00:00:00@v1",
    "git+ssh://git@host/a.git#data",
    "git+https://host/a.git#data/x.csv",
    "abfs://box@account.dfs.core.windows.net/a",
    "https://host:8080/a@v1",
    "http://[::1]:8080/a@b",
    "https://host/a?author=me&tokenizer=bpe&page=2",
    "zip://a.csv::https://host/a.zip",
    "oci://host/charts/model",
    "memory://x",
    "file:///a/b@c",
    "/data/a@b:c.csv",
    "C:\\data\\a@b",
    "user@host:a.git",
    "write to me@host, see https://host/a",
    "champion",
    "tabular@3",
    "",
    "://",
    "s3://***@bucket/log",
]


@pytest.mark.parametrize("uri", REFUSED)
def test_a_uri_with_a_credential_is_refused_in_a_line_that_says_where_it_goes(uri):
    with pytest.raises(UsageError) as refused:
        resolve(FamilyConfig, ("--set", {"monitor": {"log": uri}}))
    said = str(refused.value)
    assert HELD not in said
    assert said.startswith("setting 'monitor.log' = ")
    assert "give it by environment" in said
    assert "from a Secret" in said
    assert HELD not in credentials.redact(uri)


@pytest.mark.parametrize("uri", ALLOWED)
def test_an_address_without_a_credential_is_taken_as_it_is(uri):
    assert resolve(FamilyConfig, ("--set", {"monitor": {"log": uri}})).monitor.log == uri
    assert credentials.redact(uri) == uri


def leaves(config: BaseModel, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The name of each setting."""
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, (*before, name))
        else:
            yield (*before, name)


SETTINGS = sorted({(family, *path) for family in names() for path in leaves(load(family).Config())})


@pytest.mark.parametrize("family", names())
def test_no_setting_of_any_family_takes_a_credential(family):
    cls = load(family).Config
    for _, *path in [one for one in SETTINGS if one[0] == family]:
        for shape in (
            lambda uri: uri,
            lambda uri: [uri],
            lambda uri: {"a": uri},
            lambda uri: {uri: "a"},
        ):
            values: Any = shape(REFUSED[0])
            for name in reversed(path):
                values = {name: values}
            with pytest.raises(ModelyardError) as refused:
                resolve(cls, ("--set", values))
            assert HELD not in str(refused.value), path
            assert "holds a user or password" in str(refused.value), path


def test_no_setting_asks_for_a_credential_by_its_name():
    references = {("cluster", "env_from_secrets"), ("cluster", "image_pull_secrets")}
    asking = {
        path
        for _, *path in map(list, SETTINGS)
        for path in [tuple(path)]
        if credentials.is_secret_name(path[-1])
    }
    assert asking <= references


@pytest.mark.parametrize(
    "name", ["AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "DB_PASSWORD", "API_KEY", "AWS_ACCESS_KEY_ID"]
)
def test_a_variable_that_holds_a_credential_is_no_setting_either(name):
    with pytest.raises(UsageError, match=f"variable {name} .* cluster.env_from_secrets") as refused:
        ClusterSettings(env={name: HELD})
    assert HELD not in str(refused.value)
    with pytest.raises(UsageError, match=f"variable {name} .* server.envFromSecrets"):
        ServeSettings(values={"server": {"env": {name: HELD}}})
    assert ClusterSettings(env={"TOKENIZERS_PARALLELISM": "false", "NCCL_DEBUG": "INFO"})


def cli(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "modelyard", *arguments],
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ
        | {"MODELYARD_HOME": str(home / "home"), "PYTHONPATH": str(ROOT)}
        | environment,
    )


def nowhere(home: Path, done: subprocess.CompletedProcess[str]) -> None:
    """The credential is in nothing that the command said or wrote."""
    assert HELD not in done.stdout + done.stderr
    written = [
        file for file in home.rglob("*") if file.is_file() and HELD.encode() in file.read_bytes()
    ]
    assert written == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--set", f"monitor.log=s3://key:{HELD}@bucket/log"),
        ("--set", f"training.checkpoints=s3://key:{HELD}@bucket/log"),
        ("--set", f"data.sha256={{'s3://key:{HELD}@bucket': abc}}"),
        ("--set", f"s3://key:{HELD}@bucket"),
        ("--set", f"unknown=s3://key:{HELD}@bucket"),
        ("--data", f"https://host/a?sig={HELD}"),
        ("--rev", f"https://{HELD}@host"),
    ],
)
def test_a_run_with_a_credential_in_a_setting_ends_before_it_writes_anything(tmp_path, arguments):
    done = cli(tmp_path, "run", "tests.toy.family:Line", *arguments)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    nowhere(tmp_path, done)


def test_a_service_with_a_credential_in_a_variable_does_not_start(tmp_path):
    with pytest.raises(
        UsageError, match="MODELYARD_PREDICTIONS = .* holds a user or password"
    ) as refused:
        ServingSettings.from_environment(
            {"MODELYARD_PACKAGE": "p", "MODELYARD_PREDICTIONS": REFUSED[0]}
        )
    assert HELD not in str(refused.value)


def test_the_address_of_the_tracking_server_may_hold_a_password_and_is_shown_without_it(tmp_path):
    done = cli(tmp_path, "doctor", MLFLOW_TRACKING_URI=f"http://user:{HELD}@127.0.0.1:9")
    assert "http://***@127.0.0.1:9" in done.stdout
    nowhere(tmp_path, done)


def test_errors_and_events_show_no_credential_whoever_wrote_them(tmp_path, monkeypatch):
    assert HELD not in str(
        Unavailable(f"GET https://host/a?X-Amz-Signature={HELD}&x=1 (s3://key:{HELD}@b) failed")
    )
    monkeypatch.setenv(events.VARIABLE, str(tmp_path / "events.jsonl"))
    events.emit("failed", "train", traceback=f'botocore: "s3://key:{HELD}@bucket"', message="x")
    ((_, event),) = events.read(tmp_path / "events.jsonl")
    assert event["traceback"] == 'botocore: "s3://***@bucket"'


def test_a_package_that_was_recorded_with_a_credential_is_read_without_it(line_info):
    line_info["config"] = {
        "monitor": {"log": REFUSED[0]},
        "training": {"checkpoints": [REFUSED[1]]},
    }
    line_info["monitor"]["log"] = REFUSED[0]
    info = PackageInfo.model_validate_json(json.dumps(line_info))
    assert HELD not in info.model_dump_json()
    assert info.monitor.log == "s3://***@bucket/log"


@pytest.fixture
def line_info() -> dict[str, Any]:
    gate = {
        "metric": "mae",
        "value": 1.0,
        "passed": True,
        "reason": "mae 1.0",
        "threshold": None,
        "baseline": None,
    }
    variant = {
        "name": "onnx-fp32",
        "graphs": {"line": "onnx-fp32/line.onnx"},
        "bytes": 1,
        "p50_ms": 1.0,
        "metric": 1.0,
        "max_difference": 0.0,
        "chosen": True,
    }
    return {
        "family": "tabular",
        "title": "t",
        "run": "r",
        "version": "v",
        "created": "2026-01-01T00:00:00+00:00",
        "code_version": "c",
        "data_revision": None,
        "config": {},
        "variants": [variant],
        "monitor": {},
        "gate": gate | {"direction": "min", "over_baseline": 0.0},
        "metrics": {"mae": 1.0},
        "baseline": {},
    }


def test_assigned_settings_are_looked_at_like_all_others():
    with pytest.raises(UsageError):
        resolve(FamilyConfig, ("--set", parse_assignments([f"training.checkpoints={REFUSED[0]}"])))
