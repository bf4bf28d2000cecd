"""What a release's pods run: fetching a package, serving it as the chart says, sending its own
example."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import httpx
import pytest

from modelyard.packages import signing
from modelyard.store import artifact
from tests.charts.helm import ROOT, Case, objects
from tests.service.conftest import build

FILES = ROOT / "charts" / "model" / "files"


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("line"), "tests.toy.family:Line")


def renamed(folder: Path, name: str) -> None:
    """Lists a file of the package under another name."""
    content = json.loads((folder / "manifest.json").read_text())
    content["files"][name] = content["files"]["golden.json"]
    (folder / "manifest.json").write_text(json.dumps(content))


def script(name: str, *arguments: object, **given: str) -> subprocess.CompletedProcess[str]:
    """Runs a script as the pod does."""
    command = [sys.executable, str(FILES / name), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"} | given
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False, timeout=60
    )


def test_a_package_is_copied_whole(package, tmp_path):
    digest = artifact.read_manifest(package).digest
    done = script("fetch.py", package, tmp_path / "model", digest)
    assert done.returncode == 0, done.stderr
    assert digest in done.stdout
    assert artifact.verify(tmp_path / "model").digest == digest


def test_a_pod_that_starts_again_needs_the_source_no_more(package, tmp_path):
    digest = artifact.read_manifest(package).digest
    shutil.copytree(package, tmp_path / "source")
    assert script("fetch.py", tmp_path / "source", tmp_path / "model", digest).returncode == 0
    shutil.rmtree(tmp_path / "source")
    assert script("fetch.py", tmp_path / "source", tmp_path / "model", digest).returncode == 0
    assert script("fetch.py", tmp_path / "source", tmp_path / "model", "0" * 64).returncode == 2


def test_where_public_keys_are_configured_the_init_container_fetches_what_is_signed_alone(
    package, tmp_path
):
    for number in (1, 2):
        key = tmp_path / f"{number}.pem"
        subprocess.run(
            ["openssl", "genpkey", "-algorithm", "ed25519", "-out", key],
            check=True,
            capture_output=True,
        )
    public = subprocess.run(
        ["openssl", "pkey", "-in", tmp_path / "1.pem", "-pubout"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    values = tmp_path / "values.yaml"
    values.write_text(json.dumps({"package": {"publicKeys": public}}))
    found = objects(Case("model", "default"), "--values", str(values))
    (scripts,) = [one for one in found if one["kind"] == "ConfigMap" and "fetch.py" in one["data"]]
    keys = tmp_path / "public-keys.pem"
    keys.write_text(scripts["data"]["public-keys.pem"])
    shutil.copytree(package, tmp_path / "source")
    for key, said in (
        (None, "is not signed"),
        ("2.pem", "by none of the 1 public keys"),
        ("1.pem", ""),
    ):
        if key is not None:
            signing.sign(tmp_path / "source", tmp_path / key)
        done = script(
            "fetch.py", tmp_path / "source", tmp_path / "model", MODELYARD_PUBLIC_KEY_FILE=str(keys)
        )
        assert (done.returncode, said in done.stderr) == (0 if not said else 2, True), done.stderr
    assert signing.check(tmp_path / "model", keys) is None


def test_a_package_is_copied_from_an_object_store(package, tmp_path):
    from importlib.util import module_from_spec, spec_from_file_location

    store = fsspec.filesystem("memory")
    store.put(f"{package}/", "/models/line/3/", recursive=True)
    found = spec_from_file_location("fetch", FILES / "fetch.py")
    assert found is not None
    assert found.loader is not None
    module = module_from_spec(found)
    found.loader.exec_module(module)
    module.fetch("memory://models/line/3", tmp_path / "model", None)
    assert artifact.verify(tmp_path / "model") == artifact.read_manifest(package)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("memory://models/none/1", "package.uri 'memory://models/none/1': nothing is there"),
        ("s4://models/line/3", "package.uri 's4://models/line/3': scheme 's4' is unknown"),
        ("/nowhere", "/nowhere is no folder"),
        (f"file://{FILES}", "holds no package"),
    ],
)
def test_a_place_without_a_package_is_told_in_one_line(tmp_path, source, said):
    done = script("fetch.py", source, tmp_path / "model")
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("damage", "digest", "said"),
    [
        (lambda folder: (folder / "golden.json").write_text("{}"), None, "golden.json was changed"),
        (lambda folder: (folder / "golden.json").unlink(), None, "golden.json is missing"),
        (
            lambda folder: (folder / "extra.txt").write_text(""),
            None,
            "extra.txt is not in the manifest",
        ),
        (lambda folder: (folder / "manifest.json").unlink(), None, "holds no package"),
        (lambda folder: None, "0" * 64, f"package.sha256 allows {'0' * 64} alone"),
        (
            lambda folder: (folder / "assets" / "x").symlink_to("/etc/hostname"),
            None,
            "assets/x is a link",
        ),
        (lambda folder: renamed(folder, "../../taken"), None, "does not stay inside the folder"),
        (lambda folder: renamed(folder, "/tmp/taken"), None, "does not stay inside the folder"),
    ],
)
def test_a_package_that_is_not_the_one_is_refused_and_leaves_nothing(
    package, tmp_path, damage, digest, said
):
    shutil.copytree(package, tmp_path / "source")
    damage(tmp_path / "source")
    done = script(
        "fetch.py", tmp_path / "source", tmp_path / "to" / "model", *([digest] if digest else [])
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list((tmp_path / "to").iterdir()) == []


@pytest.fixture(scope="module")
def service(package, tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """The server's container of the chart as a process: its command and environment, its folders
    below one."""
    folder = tmp_path_factory.mktemp("pod")
    pod = next(one for one in objects(Case("model", "default")) if one["kind"] == "Deployment")[
        "spec"
    ]["template"]
    container = pod["spec"]["containers"][0]
    (folder / "package").mkdir()
    (folder / "predictions").mkdir()
    (folder / "tmp").mkdir()
    shutil.copytree(package, folder / "package" / "model")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def here(text: str) -> str:
        return (
            str(folder / text[1:])
            if text.startswith(("/package", "/predictions", "/tmp"))
            else text
        )

    command = [here(part) for part in [*container["command"], *container["args"]]]
    command = [str(port) if part == "3000" else part for part in command]
    command[:1] = [sys.executable, "-m", "modelyard"]
    environment = {one["name"]: here(one["value"]) for one in container["env"]}
    environment |= {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(folder / "tmp"),
    }
    environment |= {
        "MODELYARD_FAMILIES": json.loads((package / "package.json").read_text())["family"]
    }
    process = subprocess.Popen(command, env=environment, cwd=folder / "package")
    url = f"http://127.0.0.1:{port}"
    try:
        ready(url + container["readinessProbe"]["httpGet"]["path"], process)
        assert httpx.get(url + container["livenessProbe"]["httpGet"]["path"]).status_code == 200
        yield url, folder
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None
        try:
            if httpx.get(url, timeout=1).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{url} never became ready")


def test_the_service_that_the_chart_starts_gives_the_packages_own_answer(service, package):
    done = script("golden.py", service[0], package)
    assert (done.returncode, done.stdout) == (0, "the service gives the package's own answer\n"), (
        done.stderr
    )


def test_the_service_writes_below_its_mounted_folders_alone(service):
    folder = service[1]
    assert {one.name for one in folder.iterdir()} == {"package", "predictions", "tmp"}
    assert artifact.verify(folder / "package" / "model")
    assert [one.name for one in (folder / "package").iterdir()] == ["model"]


def test_another_answer_fails_the_test_with_the_place(service, package, tmp_path):
    shutil.copytree(package, tmp_path / "package")
    golden = json.loads((package / "golden.json").read_text())
    name = next(name for name, value in golden["response"].items() if isinstance(value, float))
    golden["response"][name] += 1
    (tmp_path / "package" / "golden.json").write_text(json.dumps(golden))
    done = script("golden.py", service[0], tmp_path / "package")
    assert done.returncode == 1
    assert f"answer.{name} is" in done.stdout


def test_another_version_fails_the_test_with_its_name(service, package, tmp_path):
    shutil.copytree(package, tmp_path / "package")
    info = json.loads((package / "package.json").read_text())
    (tmp_path / "package" / "package.json").write_text(
        json.dumps(info | {"version": "ffffffffffff"})
    )
    done = script("golden.py", service[0], tmp_path / "package")
    assert done.returncode == 1
    assert f"serves {info['version']}; version ffffffffffff did not answer" in done.stdout


def test_a_service_that_does_not_answer_fails_the_test(package):
    done = script("golden.py", "http://127.0.0.1:9", package)
    assert done.returncode == 1
    assert "does not answer" in done.stdout
