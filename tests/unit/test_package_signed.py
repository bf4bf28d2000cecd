"""Packages are signed where they are made and registered, and served where the signature counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

from modelyard.cli.ship import allow
from modelyard.errors import ModelyardError, UsageError
from modelyard.packages import signing
from modelyard.packages.package import verify
from modelyard.packages.trust import Trust
from modelyard.registry import versions as registry
from modelyard.registry.start import bring
from modelyard.stages.deploy import deploy
from modelyard.stages.run import Run
from modelyard.store import artifact
from tests.toy.build import LINE, build
from tests.toy.keys import keys_in

ROOT = Path(__file__).parents[2]


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return keys_in(tmp_path, "signing")


def test_a_run_signs_its_package_and_a_registration_signs_one_that_was_made_before(
    tmp_path, monkeypatch, keys
):
    private, public = keys
    trust = Trust(public_keys=public)
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv(signing.SIGNING_KEY, str(private))
    signed = build(tmp_path / "signed", "signed", {})
    assert verify(signed.package, trust)
    monkeypatch.delenv(signing.SIGNING_KEY)
    plain = build(tmp_path / "plain", "plain", {"seed": 3})
    with pytest.raises(ModelyardError, match="is not signed"):
        verify(plain.package, trust)
    monkeypatch.setenv(signing.SIGNING_KEY, str(private))
    monkeypatch.setenv(signing.PUBLIC_KEY, str(public))
    deploy(
        plain.run,
        package=plain.package,
        features=plain.features,
        deployment=tmp_path / "deployment",
    )
    champion = registry.champion("tests-toy-family-line")
    assert champion is not None
    assert verify(champion.path, trust)


def test_a_package_is_signed_by_hand_and_a_key_of_another_kind_is_refused(
    tmp_path, monkeypatch, keys
):
    private, public = keys
    monkeypatch.delenv(signing.SIGNING_KEY, raising=False)
    made = build(tmp_path / "made", "made", {}).package

    def cli(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "modelyard", *map(str, arguments)]
        environment = os.environ | {
            "MODELYARD_HOME": str(tmp_path / "home"),
            "PYTHONPATH": str(ROOT),
        }
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert "no key to sign with" in cli("sign", made).stderr
    rsa = tmp_path / "rsa.pem"
    subprocess.run(["openssl", "genrsa", "-out", rsa, "2048"], check=True, capture_output=True)
    assert "is no Ed25519 key" in cli("sign", made, "--key", rsa).stderr
    assert "cannot be used" in cli("sign", made, "--key", public).stderr
    done = cli("sign", made, "--key", private)
    assert done.returncode == 0, done.stderr
    assert verify(made, Trust(public_keys=public))
    answered = cli("predict", made, "--json", '{"x": 1}')
    assert answered.returncode == 0, answered.stderr


def test_a_command_opens_a_package_of_an_outside_family_only_where_it_is_named(tmp_path):
    made = build(tmp_path / "made", "made", {}).package
    environment = {
        name: value for name, value in os.environ.items() if name != "MODELYARD_FAMILIES"
    }
    environment |= {"MODELYARD_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}

    def predict(*more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "modelyard", "predict", str(made), *more]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    refused = predict()
    assert refused.returncode == 2
    assert f"it was not imported. If you trust that code, name it: --family {LINE}" in " ".join(
        refused.stderr.split()
    )
    assert json.loads(predict("--family", LINE).stdout)["y"]


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (LINE, {LINE}),
        (f"{LINE}@3", {LINE}),
        ("tabular", set()),
        ("s3://bucket/flats:1", set()),
        ("C:/flats/package", set()),
    ],
)
def test_who_asks_for_the_champion_of_an_outside_family_has_named_it(monkeypatch, asked, named):
    monkeypatch.setenv("MODELYARD_FAMILIES", "")
    allow(None, asked)
    assert Trust.from_environment().families == named


@pytest.mark.parametrize("name", ["../../taken", "/tmp/taken/x", "a\nb"])
def test_what_a_run_starts_from_is_written_inside_its_folder_alone(tmp_path, monkeypatch, name):
    """A manifest behind a URI that lists `../` would have written there."""
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    made = build(tmp_path / "made", "made", {}).package
    content = json.loads((made / "manifest.json").read_text())
    content["files"][name] = content["files"]["golden.json"]
    store = fsspec.filesystem("memory")
    store.pipe_file("/hostile/manifest.json", json.dumps(content).encode())
    store.pipe_file("/taken", b"taken")
    run = Run.of(LINE, {"continual": {"start": "memory://hostile"}}, id="r")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises((UsageError, ModelyardError), match="inside the folder|no plain file name"):
        bring(run, tmp_path / "features")
    assert [
        path for path in sorted(tmp_path.rglob("*")) if path not in before and path.is_file()
    ] == []
    assert artifact.read_manifest(made)
