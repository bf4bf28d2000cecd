"""Another package takes over only where it answers what callers send, and only code that runs
already reads it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from modelyard.errors import UsageError
from modelyard.packages.package import Package
from modelyard.packages.trust import Trust
from modelyard.serving import takeover
from modelyard.serving.app import create_app
from modelyard.serving.follow import follow, point
from modelyard.serving.settings import Limits
from modelyard.serving.traffic import Traffic, opened
from modelyard.store import artifact
from tests.service.conftest import build
from tests.service.shaped import FILE

NAME = "tests.service.shaped:Shaped"
TOKEN = {"authorization": "Bearer secret"}
X: dict[str, Any] = {"type": "number"}
KIND = {"choices": ["a", "b"]}


@pytest.fixture(scope="module")
def shaped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("shaped"), NAME)


def reading(
    whole: Path, folder: Path, version: str, schema: dict[str, Any], family: str = NAME
) -> Path:
    """The package with requests and answers of another shape."""
    with artifact.create(folder / version) as work:
        shutil.copytree(
            whole, work, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json")
        )
        (work / "assets" / FILE).write_text(json.dumps(schema))
        golden = json.loads((work / "golden.json").read_text())
        asked = schema.get("request", {"fields": {"x": X}})["fields"]
        golden["request"] = {name: 1.0 for name, field in asked.items() if field == X}
        x = golden["request"].get("x", 0.0)
        golden["response"] = {"y": Package(whole).predict([{"x": x}])[0].y}
        (work / "golden.json").write_text(json.dumps(golden))
        info = json.loads((work / "package.json").read_text()) | {
            "version": version,
            "family": family,
        }
        (work / "package.json").write_text(json.dumps(info))
        made = artifact.read_manifest(whole).model_dump(include=set(artifact.Origin.model_fields))
        artifact.seal(work, artifact.Origin(**made | {"family": family}), [])
    return folder / version


def request(*, more: bool = False, **fields: Any) -> dict[str, Any]:
    return {"request": {"fields": {"x": X} | fields, "open": more}}


def answer(**fields: Any) -> dict[str, Any]:
    return {"response": {"fields": fields, "open": True}}


BREAKING: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a field that is required now": (request(), request(z=X), "field 'z' is now required"),
    "an optional field that is required now": (
        request(z=X | {"required": False, "default": 1.0}),
        request(z=X),
        "field 'z' is now required",
    ),
    "a field that is no longer taken": (
        request(z=X | {"required": False, "default": 0.0}),
        request(),
        "field 'z' is no longer taken",
    ),
    "further fields that are no longer taken": (
        request(more=True),
        request(),
        "further fields are no longer taken",
    ),
    "a number that must be whole": (
        request(),
        request(x={"type": "integer"}),
        "was number and must be integer",
    ),
    "a number that is a text": (
        request(),
        request(x={"type": "string"}),
        "was number and must be string",
    ),
    "a larger minimum": (request(x=X | {"ge": 0}), request(x=X | {"ge": 1}), "at least 1"),
    "a maximum where there was none": (request(), request(x=X | {"le": 9}), "at most 9"),
    "a shorter text": (
        request(z={"type": "string"}),
        request(z={"type": "string", "max_length": 3}),
        "at most 3 characters",
    ),
    "a pattern": (
        request(z={"type": "string"}),
        request(z={"type": "string", "pattern": "^a"}),
        "pattern ^a",
    ),
    "a choice less": (request(z=KIND), request(z={"choices": ["a"]}), "no longer 'b'"),
    "choices where any text was taken": (
        request(z={"type": "string"}),
        request(z=KIND),
        "takes only 'a', 'b'",
    ),
    "null that is no longer taken": (
        request(z=X | {"nullable": True}),
        request(z=X),
        "field 'z' was null and must be number",
    ),
    "items of another type": (
        request(z={"items": X}),
        request(z={"items": {"type": "string"}}),
        "an item of field 'z' was number",
    ),
    "a field within a field": (
        request(z={"fields": {"a": X}}),
        request(z={"fields": {"a": X, "b": X}}),
        "field 'b' of field 'z' is now",
    ),
    "an answer without a field": (answer(y=X, z=X), answer(y=X), "field 'z' of the answer is gone"),
    "an answer of another type": (answer(y=X), answer(y={"type": "string"}), "may be string now"),
}
FITTING: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "the same": (request(), request()),
    "an optional field more": (request(), request(z=X | {"required": False, "default": 1.0})),
    "a required field that is optional now": (
        request(z=X),
        request(z=X | {"required": False, "default": 0.0}),
    ),
    "whole numbers that may be any": (request(z={"type": "integer"}), request(z=X)),
    "wider bounds": (request(x=X | {"ge": 0, "le": 9}), request(x=X | {"ge": -1})),
    "a choice more": (request(z={"choices": ["a"]}), request(z=KIND)),
    "any text where choices were": (request(z=KIND), request(z={"type": "string"})),
    "null that is taken now": (request(z=X), request(z=X | {"nullable": True})),
    "further fields that are taken now": (request(), request(more=True)),
    "an answer with a field more": (
        answer(y=X),
        answer(y=X, z=X | {"required": False, "default": 0.0}),
    ),
}


def pair(
    shaped: Path, folder: Path, before: dict[str, Any], after: dict[str, Any]
) -> tuple[Package, Path]:
    return Package(reading(shaped, folder, "before", before)), reading(
        shaped, folder, "after", after
    )


@pytest.mark.parametrize("name", BREAKING)
def test_a_package_that_breaks_callers_is_refused_unless_it_is_asked_for(shaped, tmp_path, name):
    before, after, words = BREAKING[name]
    old, path = pair(shaped, tmp_path, before, after)
    with pytest.raises(UsageError) as refused:
        takeover.opened(path, old, breaking=False)
    assert words in str(refused.value)
    assert 'send "breaking": true, or set MODELYARD_BREAKING_SWAPS=1' in str(refused.value)
    assert takeover.opened(path, old, breaking=True).info.version == "after"


@pytest.mark.parametrize("name", FITTING)
def test_a_package_that_answers_all_that_callers_send_takes_over(shaped, tmp_path, name):
    old, path = pair(shaped, tmp_path, *FITTING[name])
    assert takeover.opened(path, old, breaking=False).info.version == "after"


def test_a_swap_refuses_and_is_told_otherwise_over_http_and_callers_never_see_a_400(
    shaped, tmp_path
):
    old, path = pair(shaped, tmp_path, request(), request(z=X))
    app = create_app(old, None)
    app.token = b"secret"
    app.pointer = tmp_path / "pointer"

    async def swap() -> None:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://service"
        ) as http:
            refused = await http.post("/admin/swap", json={"package": str(path)}, headers=TOKEN)
            assert refused.status_code == 409
            assert "field 'z' is now required" in refused.json()["error"]
            assert not app.pointer.exists()
            assert (await http.post("/predict", json={"x": 1.0}, headers=TOKEN)).status_code == 200
            taken = await http.post(
                "/admin/swap", json={"package": str(path), "breaking": True}, headers=TOKEN
            )
            assert taken.json() == {"package": "after"}
            assert (await http.post("/predict", json={"x": 1.0}, headers=TOKEN)).status_code == 400

    asyncio.run(swap())
    assert app.pointer.read_text() == f"{path}\nbreaking\n"


def test_a_list_of_one_length_is_asked_for_by_that_length(shaped, tmp_path):
    three = {"items": X, "min_length": 3, "max_length": 3, "required": False, "default": [0, 0, 0]}
    path = reading(shaped, tmp_path, "three", request(z=three))
    with TestClient(create_app(Package(path), None)) as client:
        reply = client.post("/predict", json={"x": 1.0, "z": [1.0]})
    assert reply.status_code == 400
    assert "a list of 3 items" in reply.json()["error"]


@pytest.mark.parametrize("asked", [False, True])
def test_other_workers_take_a_breaking_package_only_where_the_pointer_says_so(
    shaped, tmp_path, asked
):
    old, path = pair(shaped, tmp_path, request(), request(z=X))
    pointer = tmp_path / "pointer"

    async def followed() -> str:
        traffic = Traffic(opened(old, None, Limits()))
        task = asyncio.ensure_future(follow(traffic, str(pointer), 0.02))
        point(pointer, path, asked)
        for _ in range(60):
            await asyncio.sleep(0.02)
            if traffic.champion.opened.info.version == "after":
                break
        task.cancel()
        return traffic.champion.opened.info.version

    assert asyncio.run(followed()) == ("after" if asked else "before")


def test_a_swap_imports_no_other_familys_code(shaped, tmp_path, monkeypatch):
    """Even one that the operator named: its package is of another family, which is known from
    its manifest."""
    (tmp_path / "evil_family.py").write_text(
        "from pathlib import Path\nPath('taken').write_text('taken')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    path = reading(shaped, tmp_path, "evil", request(), family="evil_family:Evil")
    trust = Trust(frozenset({"evil_family:Evil"}))
    with pytest.raises(UsageError, match="is of family 'evil_family:Evil'; here serves"):
        takeover.opened(path, Package(shaped), breaking=True, trust=trust)
    assert not (tmp_path / "taken").exists()
    assert "evil_family" not in sys.modules


@pytest.mark.parametrize("breaking", ["", "1"])
def test_a_served_candidate_that_breaks_callers_does_not_start_unless_asked_for(
    shaped, tmp_path, breaking
):
    _, path = pair(shaped, tmp_path, request(), request(z=X))
    environment = os.environ | {
        "MODELYARD_CANDIDATE": str(path),
        "MODELYARD_BREAKING_SWAPS": breaking,
        "MODELYARD_HOME": str(tmp_path),
    }
    command = [sys.executable, "-m", "modelyard", "serve", str(shaped), "--port", "0"]
    command[-1] = str(free_port())
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(
            command, env=environment, stdout=said, stderr=said, cwd=Path(__file__).parents[2]
        )
    try:
        started = came_up(int(command[-1]), process)
    finally:
        process.terminate()
        process.wait(30)
    assert started == bool(breaking)
    if not breaking:
        assert "field 'z' is now required" in (tmp_path / "said").read_text()


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def came_up(port: int, process: subprocess.Popen[bytes]) -> bool:
    """Whether the service became ready; False once it ended."""
    for _ in range(600):
        if process.poll() is not None:
            return False
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                return True
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("neither ready nor ended within a minute")
