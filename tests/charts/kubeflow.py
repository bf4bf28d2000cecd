"""A stand-in for Kubeflow Pipelines' API, as far as registering pipelines goes: kfp's own client
talks to it."""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import yaml

from tests.standin.listening import Listening

Row = dict[str, Any]


@dataclass
class Kubeflow:
    """What was registered."""

    pipelines: list[Row] = field(default_factory=list)
    versions: list[Row] = field(default_factory=list)
    experiments: list[Row] = field(default_factory=list)
    recurring: list[Row] = field(default_factory=list)
    runs: list[Row] = field(default_factory=list)
    """Runs that recurring runs started, and what became of them."""
    broken: list[str] = field(default_factory=list)
    """Runs whose workflow went with the recurring run that owned it."""
    removed: list[Row] = field(default_factory=list)
    """Recurring runs that were deleted."""
    tokens: set[str | None] = field(default_factory=set)
    url: str = ""
    _ids: Iterator[int] = field(default_factory=itertools.count)

    def upload(self, query: Row, body: bytes) -> Row:
        """A pipeline with its first version, which has its name and description."""
        assert query["name"] not in [one["display_name"] for one in self.pipelines], "HTTP 409"
        pipeline = {"pipeline_id": f"p{next(self._ids)}", "display_name": query["name"]}
        about = {name: query.get(name) for name in ("namespace", "description")}
        self.pipelines.append(pipeline | about)
        self._version(pipeline["pipeline_id"], query, body)
        return pipeline

    def upload_version(self, query: Row, body: bytes) -> Row:
        """A further version."""
        return self._version(query["pipelineid"], query, body)

    def _version(self, pipeline: str, query: Row, body: bytes) -> Row:
        text = re.split(rb"\r?\n--[^\r\n]+--\s*$", body.split(b"\r\n\r\n", 1)[1])[0]
        row = {
            "pipeline_id": pipeline,
            "pipeline_version_id": f"v{next(self._ids)}",
            "display_name": query["name"],
            "description": query.get("description"),
            "created_at": self._now(),
        }
        self.versions.append(row | {"spec": next(yaml.safe_load_all(text))})
        return row

    def _now(self) -> str:
        """Later at each call, as Kubeflow writes it."""
        return f"2026-11-28T19:10:00.{next(self._ids):06}Z"

    def schedule(self, body: bytes) -> Row:
        """A recurring run, with its state as the API tells it."""
        row = self.add(self.recurring, "recurring_run_id", body)
        return self.switch(row["recurring_run_id"], row.get("mode", "ENABLE"))

    def switch(self, job: str, mode: str) -> Row:
        """Enables or disables a recurring run."""
        (row,) = (one for one in self.recurring if one["recurring_run_id"] == job)
        row |= {"mode": mode, "status": f"{mode}D"}
        return row

    def tick(self) -> None:
        """Every enabled recurring run starts a run, unless one of its goes on (max_concurrency 1)."""
        for one in self.recurring:
            job = one["recurring_run_id"]
            active = [
                run
                for run in self.runs
                if run["recurring_run_id"] == job and run["state"] == "RUNNING"
            ]
            if one["mode"] == "ENABLE" and not active:
                self.runs.append(
                    {
                        "run_id": f"run{next(self._ids)}",
                        "display_name": one["display_name"],
                        "experiment_id": one["experiment_id"],
                        "recurring_run_id": job,
                        "state": "RUNNING",
                    }
                )

    def delete(self, job: str) -> None:
        """A recurring run owns its workflows: they go with it, and their runs read RUNNING for ever."""
        self.removed += [one for one in self.recurring if one["recurring_run_id"] == job]
        self.recurring = [one for one in self.recurring if one["recurring_run_id"] != job]
        self.broken += [
            run["run_id"]
            for run in self.runs
            if run["recurring_run_id"] == job and run["state"] == "RUNNING"
        ]

    def add(self, rows: list[Row], key: str, body: bytes) -> Row:
        """A row of JSON with an id."""
        rows.append(json.loads(body) | {key: f"r{next(self._ids)}"})
        return rows[-1]

    def answer(self, method: str, path: str, query: Row, body: bytes) -> Row:
        """The answer to one request."""
        named = json.loads(query.get("filter", "{}")).get("predicates", [{}])[0]
        name = named.get("stringValue")
        match (method, path.removeprefix("/apis/v2beta1").strip("/").split("/")):
            case ("GET", ["healthz"]):
                return {"multi_user": False}
            case ("POST", ["pipelines", "upload"]):
                return self.upload(query, body)
            case ("POST", ["pipelines", "upload_version"]):
                return self.upload_version(query, body)
            case ("GET", ["pipelines"]):
                return {"pipelines": [one for one in self.pipelines if one["display_name"] == name]}
            case ("GET", ["pipelines", pipeline, "versions"]):
                found = [one for one in self.versions if one["pipeline_id"] == pipeline]
                return {
                    "pipeline_versions": [
                        {k: v for k, v in one.items() if k != "spec"} for one in found
                    ]
                }
            case ("GET", ["experiments"]):
                return {
                    "experiments": [one for one in self.experiments if one["display_name"] == name]
                }
            case ("POST", ["experiments"]):
                return self.add(self.experiments, "experiment_id", body)
            case ("GET", ["recurringruns"]):
                asked = query.get("experiment_id")
                return {
                    "recurringRuns": [
                        one for one in self.recurring if one["experiment_id"] == asked
                    ]
                }
            case ("POST", ["recurringruns"]):
                return self.schedule(body)
            case ("GET", ["runs"]):
                asked = query.get("experiment_id")
                return {"runs": [one for one in self.runs if one["experiment_id"] == asked]}
            case ("POST", ["recurringruns", act]) if act.endswith((":enable", ":disable")):
                job, _, mode = act.partition(":")
                self.switch(job, mode.upper())
                return {}
            case ("DELETE", ["recurringruns", job]):
                self.delete(job)
                return {}
        raise AssertionError(f"{method} {path} is not known here")


@contextmanager
def running(port: int = 0) -> Iterator[Kubeflow]:
    """An API that answers on a port, else on a free one, until the block ends."""
    kubeflow = Kubeflow()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            where = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            kubeflow.tokens.add(self.headers.get("authorization"))
            content = json.dumps(
                kubeflow.answer(self.command, where.path, dict(parse_qsl(where.query)), body)
            )
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content.encode())

        do_GET = _do  # noqa: N815
        do_POST = _do  # noqa: N815
        do_DELETE = _do  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Says nothing."""

    server = Listening(("127.0.0.1", port), Handler)
    kubeflow.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield kubeflow
    finally:
        server.shutdown()
        server.server_close()
