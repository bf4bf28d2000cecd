"""Another package takes over between two requests, a candidate takes a share, a shadow answers
nobody."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import resource
import shutil
import socket
import threading
from pathlib import Path

import httpx
import pytest

from modelyard.packages.package import Package
from modelyard.predictions.log import PredictionLog, read_log
from modelyard.serving.app import create_app
from modelyard.serving.champion import Champion
from modelyard.serving.follow import follow, point, pointed
from modelyard.serving.settings import Limits
from modelyard.serving.traffic import Traffic, opened
from modelyard.store import artifact
from tests.service.test_streaming import logged
from tests.standin.listening import Listening

pytestmark = pytest.mark.timed

TOKEN = {"authorization": "Bearer secret"}


def shifted(source: Path, folder: Path, version: str, offset: float) -> Path:
    """The package with another version whose line lies `offset` higher."""
    import onnx
    from onnx import numpy_helper

    with artifact.create(folder) as work:
        shutil.copytree(
            source, work, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json")
        )
        file = work / "graphs" / "onnx-fp32" / "line.onnx"
        graph = onnx.load(file)
        for weight in graph.graph.initializer:
            if weight.name == "b":
                weight.CopyFrom(
                    numpy_helper.from_array(numpy_helper.to_array(weight) + offset, "b")
                )
        file.write_bytes(graph.SerializeToString())
        golden = json.loads((work / "golden.json").read_text())
        golden["response"]["y"] += offset
        (work / "golden.json").write_text(json.dumps(golden))
        info = json.loads((work / "package.json").read_text())
        (work / "package.json").write_text(json.dumps(info | {"version": version}))
        made = artifact.read_manifest(source)
        artifact.seal(
            work, artifact.Origin(**made.model_dump(include=set(artifact.Origin.model_fields))), []
        )
    return folder


@pytest.fixture(scope="module")
def versions(line_path, tmp_path_factory) -> dict[str, Path]:
    """Packages by version: `v<n>` adds 100 n to each answer."""
    folder = tmp_path_factory.mktemp("versions")
    return {f"v{n}": shifted(line_path, folder / f"v{n}", f"v{n}", 100.0 * n) for n in (1, 2)}


def height(line, version: str) -> float:
    """What the version answers to x = 1."""
    return line.predict([{"x": 1.0}])[0].y + {"v1": 100.0, "v2": 200.0}.get(version, 0.0)


def client(app) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")


def test_a_hundred_swaps_under_load_fail_nobody_and_each_answer_is_of_the_version_it_names(
    line, versions, tmp_path
):
    log = PredictionLog(tmp_path, line)
    app = create_app(line, log, Limits(batch_rows=4))
    app.token = b"secret"
    answers: list[tuple[str, str, float]] = []
    done = False

    async def ask(http: httpx.AsyncClient, worker: int) -> None:
        number = 0
        while not done:
            name = f"{worker}.{number}"
            reply = await http.post(
                "/predict", json={"x": 1.0}, headers=TOKEN | {"x-request-id": name}
            )
            assert reply.status_code == 200, reply.text
            answers.append((name, reply.headers["x-modelyard-package"], reply.json()["y"]))
            number += 1
            await asyncio.sleep(
                0.002
            )  # as a network would: without it the thread that opens a package finds no time

    async def swap() -> None:
        nonlocal done
        async with client(app) as http:
            asking = [asyncio.ensure_future(ask(http, worker)) for worker in range(4)]
            for number in range(100):
                path = versions[f"v{1 + number % 2}"]
                reply = await http.post("/admin/swap", json={"package": str(path)}, headers=TOKEN)
                assert reply.json() == {"package": path.name}, reply.text
            done = True
            await asyncio.gather(*asking)

    asyncio.run(swap())
    log.close()
    assert len(answers) > 300
    assert {version for _, version, _ in answers} == {"v1", "v2", line.info.version}
    for _, version, value in answers:
        assert value == pytest.approx(height(line, version), abs=1e-4)
    columns = read_log(tmp_path)
    assert dict(zip(columns["_id"], columns["_package"], strict=True)) == {
        name: one for name, one, _ in answers
    }


def broken(
    versions: dict[str, Path], payments_path: Path, folder: Path
) -> dict[str, tuple[Path, str]]:
    """Packages that must not take over, and what is said of each."""
    changed = folder / "changed"
    shutil.copytree(versions["v1"], changed)
    (changed / "golden.json").write_text("{}")
    failing = shifted(versions["v1"], folder / "failing", "vx", 0.0)
    graph = (failing / "graphs" / "onnx-fp32" / "line.onnx").read_bytes()
    with artifact.create(folder / "no-graph") as work:
        shutil.copytree(
            failing, work, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json")
        )
        (work / "graphs" / "onnx-fp32" / "line.onnx").write_bytes(graph[:-20])
        made = artifact.read_manifest(failing)
        artifact.seal(
            work, artifact.Origin(**made.model_dump(include=set(artifact.Origin.model_fields))), []
        )
    return {
        "changed": (changed, "was changed"),
        "no graph": (folder / "no-graph", "not an ONNX model that runs here"),
        "another family": (payments_path, "of family"),
        "no folder": (folder / "nowhere", "not a folder"),
    }


def test_a_package_that_cannot_serve_is_refused_and_the_old_one_stays(
    line, line_path, versions, payments_path, tmp_path
):
    app = create_app(line, None)
    app.token = b"secret"

    async def swap() -> None:
        async with client(app) as http:
            for path, words in broken(versions, payments_path, tmp_path).values():
                reply = await http.post("/admin/swap", json={"package": str(path)}, headers=TOKEN)
                assert reply.status_code == 409
                assert words in reply.json()["error"]
                after = await http.post("/predict", json={"x": 1.0}, headers=TOKEN)
                assert after.headers["x-modelyard-package"] == line.info.version
                assert after.json()["y"] == height(line, "")
            assert 'modelyard_swaps_total{outcome="refused"}' in (await http.get("/metrics")).text

    asyncio.run(swap())


def test_nobody_swaps_without_a_token(line, versions):
    async def swap() -> list[int]:
        seen = []
        for token in (b"", b"secret"):
            app = create_app(line, None)
            app.token = token
            async with client(app) as http:
                seen += [
                    (
                        await http.post("/admin/swap", json={"package": str(versions["v1"])})
                    ).status_code
                ]
        return seen

    assert asyncio.run(swap()) == [403, 401]


def test_a_pointer_file_names_any_path(tmp_path):
    pointer, package = tmp_path / "pointer", Path(os.fsdecode(b"/models/caf\xe9"))
    point(pointer, package, breaking=True)
    assert pointed(pointer) == (package, True)
    pointer.write_text("\n  v1 \r\n\nbreaking\n")
    assert pointed(pointer) == (tmp_path / "v1", True)
    pointer.write_text(" \n")
    assert pointed(pointer) is None


def test_a_pointer_file_is_followed_and_a_bad_one_waits_for_the_next(line, versions, tmp_path):
    pointer = tmp_path / "pointer"

    async def followed() -> list[str]:
        traffic = Traffic(opened(line, None, Limits()))
        task = asyncio.ensure_future(follow(traffic, str(pointer), 0.02))
        seen = []
        for path in (versions["v1"], tmp_path / "nowhere", versions["v2"]):
            point(pointer, path)
            expected = path.name if path.name in versions else "v1"
            for _ in range(100):
                await asyncio.sleep(0.02)
                if traffic.champion.opened.info.version == expected and path.name in versions:
                    break
            seen.append(traffic.champion.opened.info.version)
        task.cancel()
        return seen

    assert asyncio.run(followed()) == ["v1", "v1", "v2"]


def test_a_pointer_that_cannot_be_read_as_text_waits_for_the_next(line, versions, tmp_path):
    pointer = tmp_path / "pointer"
    pointer.write_bytes(b"\xff\xfe\x00")

    async def followed() -> str:
        traffic = Traffic(opened(line, None, Limits()))
        task = asyncio.ensure_future(follow(traffic, str(pointer), 0.02))
        await asyncio.sleep(0.1)
        point(pointer, versions["v1"])
        for _ in range(100):
            await asyncio.sleep(0.02)
            if traffic.champion.opened.info.version == "v1":
                break
        task.cancel()
        return traffic.champion.opened.info.version

    assert asyncio.run(followed()) == "v1"


def test_a_swap_by_a_relative_path_reaches_the_other_workers(line, versions, tmp_path, monkeypatch):
    """The pointer's own folder is another one than that of the service."""
    app = create_app(line, None)
    app.pointer = tmp_path / "work" / "pointer"
    app.pointer.parent.mkdir()
    monkeypatch.chdir(versions["v1"].parent)

    async def swapped() -> str:
        assert await app.take_over(Path("v1")) == "v1"
        other = Traffic(opened(line, None, Limits()))
        task = asyncio.ensure_future(follow(other, str(app.pointer), 0.02))
        for _ in range(100):
            await asyncio.sleep(0.02)
            if other.champion.opened.info.version == "v1":
                break
        task.cancel()
        return other.champion.opened.info.version

    assert asyncio.run(swapped()) == "v1"


def test_a_candidate_answers_its_share_and_the_same_ids_again(line, versions):
    champion, candidate = (
        opened(line, None, Limits()),
        opened(Package(versions["v1"], threads=1), None, Limits()),
    )
    app = create_app(line, None)
    app.open = Traffic(champion, candidate=candidate, share=0.25)

    async def ask() -> list[dict[str, str]]:
        seen = []
        async with client(app) as http:
            for _ in range(2):
                found = {}
                for number in range(400):
                    reply = await http.post(
                        "/predict", json={"x": 1.0}, headers={"x-request-id": f"id{number}"}
                    )
                    found[f"id{number}"] = reply.headers["x-modelyard-package"]
                    assert reply.json()["y"] == pytest.approx(
                        height(line, found[f"id{number}"]), abs=1e-4
                    )
                seen.append(found)
        return seen

    first, second = asyncio.run(ask())
    assert first == second
    assert 60 < list(first.values()).count("v1") < 140


def test_a_shadow_is_shown_what_was_asked_and_its_answers_reach_the_log_alone(
    line, versions, tmp_path
):
    log = PredictionLog(tmp_path, line, seconds=0.05)
    shadow = opened(Package(versions["v2"], threads=1), log, Limits())
    app = create_app(line, log)
    app.open = Traffic(opened(line, log, Limits()), shadow=shadow)

    async def ask() -> None:
        async with client(app) as http:
            reply = await http.post(
                "/predict", json=[{"x": 1.0}, {"x": 2.0}], headers={"x-request-id": "mirrored"}
            )
            assert reply.headers["x-modelyard-package"] == line.info.version
            assert reply.json()[0]["y"] == height(line, "")
            assert (await http.post("/predict", json={"x": "bad"})).status_code == 400
            await app.traffic.settle()

    asyncio.run(ask())
    rows = {(row["_package"], row["_id"]): row["y"] for row in logged(tmp_path, "mirrored")}
    log.close()
    rows = {(row["_package"], row["_id"]): row["y"] for row in logged(tmp_path, "mirrored")}
    assert set(rows) == {
        (version, f"mirrored-{n}") for version in (line.info.version, "v2") for n in (0, 1)
    }
    assert rows["v2", "mirrored-0"] == pytest.approx(height(line, "v2"), abs=1e-4)


def test_a_shadow_that_fails_harms_nobody(line, payments, caplog):
    app = create_app(line, None)
    app.open = Traffic(opened(line, None, Limits()), shadow=opened(payments, None, Limits()))

    async def ask() -> int:
        async with client(app) as http:
            reply = await http.post("/predict", json={"x": 1.0})
            await app.traffic.settle()
            return reply.status_code

    assert asyncio.run(ask()) == 200
    assert "the shadow" in caplog.text


def test_what_the_registry_resolves_is_followed_and_a_name_it_lacks_is_told(
    line_path, tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path))
    assert asyncio.run(Champion(str(line_path)).folder()) == str(line_path)
    assert asyncio.run(Champion("nobody").folder()) is None
    assert "nobody" in caplog.text


class Registry(http.server.BaseHTTPRequestHandler):
    """Answers who is champion as MLflow's server does, and counts how often it is asked."""

    version: str
    asked: list[tuple[str, str | None]]

    def do_GET(self):
        self.asked.append((self.path, self.headers["authorization"]))
        body = json.dumps({"model_version": {"name": "line", "version": self.version}}).encode()
        self.send_response(200 if self.version else 404)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_champion_that_did_not_change_costs_one_small_request_and_no_process(
    line_path, monkeypatch
):
    handler = type("Mine", (Registry,), {"version": "1", "asked": []})
    with Listening(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
        champion = Champion(str(line_path))

        async def looks(times: int) -> tuple[set[str | None], float]:
            before = children_seconds()
            return {await champion.folder() for _ in range(times)}, children_seconds() - before

        first, started = asyncio.run(looks(1))
        again, idle = asyncio.run(looks(20))
        handler.version = "2"
        changed, restarted = asyncio.run(looks(3))
        server.shutdown()
    assert first == again == changed == {str(line_path)}
    assert started > 0.05
    assert idle == 0.0
    assert 0.05 < restarted < 2 * started + 1
    assert len(handler.asked) == 24
    path, authorization = handler.asked[0]
    assert path.startswith("/api/2.0/mlflow/registered-models/alias?name=")
    assert authorization == "Bearer t0ken"


def test_a_registry_that_does_not_answer_changes_nothing_and_says_so(
    line_path, monkeypatch, caplog
):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{closed.getsockname()[1]}")
        assert asyncio.run(Champion(str(line_path)).folder()) is None
    assert "the registry does not say who is champion" in caplog.text
