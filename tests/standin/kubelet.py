"""A node: pods run as processes of this machine, their volumes are folders, their Services are
found by their names.

Mounted paths and a Service's address are put into commands and variables as this machine has them.
What only a real cluster has is not here: security contexts, networks, images, resources,
schedulers.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.charts.helm import ROOT
from tests.standin.kinds import CLAIM, POD, Cluster
from tests.standin.rollout import READY, Rollouts
from tests.standin.server import Line
from tests.standin.store import Kind, Object, now

OLD_PODS_ANSWER = 0.8
"""Seconds after a rollout in which a fifth of the requests still goes to the pods before, as
seen on a real cluster."""


@dataclass
class Server:
    """A process that answers, and since when it does."""

    url: str
    process: subprocess.Popen[str]
    since: float


@dataclass
class Kubelet:
    """Runs what a namespace's pods and Deployments ask for."""

    cluster: Cluster
    folder: Path
    servers: list[Server] = field(default_factory=list)
    logs: dict[str, list[Line]] = field(default_factory=dict)
    """Of the init containers of a Deployment's pods, by the digest of their spec."""
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> Rollouts:
        """Follows the namespace."""
        self.cluster.api.store.admission.append(self._admit)
        rollouts = Rollouts(self.cluster, self.deploy)
        self.cluster.api.on_exec = lambda pod, command: self._run(command, {}, {})[1]
        return rollouts

    def stop(self) -> None:
        self.cluster.api.store.admission.remove(self._admit)
        for server in self.servers:
            server.process.terminate()
        for server in self.servers:
            server.process.wait(40)

    def deploy(self, spec: Object) -> Object:
        """The status of a Deployment's pods: their server runs, or an init container has failed."""
        digest = _digest(spec)
        volumes = self._volumes(spec, digest)
        for container in spec.get("initContainers", []):
            code, said = self._container(container, volumes)
            self.logs[digest] = [Line(now(), line) for line in said.splitlines()]
            if code:
                over = {"exitCode": code, "reason": "Error"}
                state = {"state": {"terminated": over}, "lastState": {"terminated": over}}
                waits = [
                    {
                        "name": one["name"],
                        "ready": False,
                        "state": {"waiting": {"reason": "PodInitializing"}},
                    }
                    for one in spec["containers"]
                ]
                return {
                    "phase": "Pending",
                    "containerStatuses": waits,
                    "initContainerStatuses": [
                        {
                            "name": container["name"],
                            "image": container["image"],
                            "ready": False,
                            **state,
                        }
                    ],
                }
        self._serve(spec["containers"][0], volumes)
        return READY

    def _serve(self, container: Object, volumes: dict[str, Path]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        places = _places(container, volumes)
        words = [
            str(port) if word == "3000" else word
            for word in [*container["command"], *container["args"]]
        ]
        command, environment = self._here(words, places), self._environment(container, places)
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        url = f"http://127.0.0.1:{port}"
        until = time.monotonic() + 120
        while not _answers(f"{url}{container['readinessProbe']['httpGet']['path']}"):
            assert process.poll() is None, command
            assert time.monotonic() < until, command
            time.sleep(0.1)
        self.servers.append(Server(url, process, time.monotonic()))

    def service(self) -> str:
        """Where a request to the Service goes."""
        newest, before = self.servers[-1], self.servers[-2:-1]
        old = time.monotonic() - newest.since < OLD_PODS_ANSWER and random.random() < 0.2
        return before[0].url if old and before else newest.url

    def _admit(self, kind: Kind, thing: Object) -> None:
        if kind == CLAIM:
            thing["status"] = {"phase": "Bound"}
        if kind != POD:
            return
        owners = thing["metadata"].get("ownerReferences") or []
        name = thing["metadata"]["name"]
        if owners:
            spec = {part: one for part, one in thing["spec"].items() if part != "nodeName"}
            self.cluster.api.logs[f"{name}/package"] = self.logs.get(_digest(spec), [])
            return
        thing["status"] = {"phase": "Pending"}
        thread = threading.Thread(target=self._pod, args=(name, thing["spec"]), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _pod(self, name: str, spec: Object) -> None:
        """A pod of its own, from its start to its end."""
        volumes = self._volumes(spec, f"{name}-{time.monotonic_ns()}")
        code, statuses = 0, []
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            code, said = self._container(container, volumes)
            self.cluster.api.logs[f"{name}/{container['name']}"] = [
                Line(now(), line) for line in said.splitlines()
            ]
            self.cluster.api.logs.setdefault(name, []).extend(
                self.cluster.api.logs[f"{name}/{container['name']}"]
            )
            over = {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}}
            statuses.append(
                {
                    "name": container["name"],
                    "image": container["image"],
                    "ready": False,
                    "state": over,
                }
            )
            if code:
                break
        status = {"phase": "Failed" if code else "Succeeded", "containerStatuses": statuses}
        store, space = self.cluster.api.store, self.cluster.namespace
        while (POD, space, name) not in store.objects:
            time.sleep(0.01)
        store.change(POD, space, name, lambda one: one.update(status=status))

    def _container(self, container: Object, volumes: dict[str, Path]) -> tuple[int, str]:
        words = [*container.get("command", []), *container.get("args", [])]
        places = _places(container, volumes)
        return self._run(words, places, self._environment(container, places))

    def _run(
        self, words: list[str], places: dict[str, Path], environment: dict[str, str]
    ) -> tuple[int, str]:
        command = self._here(words, places)
        done = subprocess.run(
            command,
            env=environment or os.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        return done.returncode, done.stdout

    def _here(self, words: list[str], places: dict[str, Path]) -> list[str]:
        """A command as this machine runs it."""
        found = []
        for word in words:
            for at, folder in sorted(places.items(), key=lambda one: -len(one[0])):
                if word == at or word.startswith(f"{at}/"):
                    word = f"{folder}{word[len(at) :]}"
                    break
            word = re.sub(r"^http://payments(:\d+)?(?=/|$)", lambda _: self.service(), word)
            found.append(word)
        return [
            sys.executable,
            *{"python": [], "modelyard": ["-m", "modelyard"]}[found[0]],
            *found[1:],
        ]

    def _environment(self, container: Object, places: dict[str, Path]) -> dict[str, str]:
        own = {one["name"]: str(one.get("value", "")) for one in container.get("env", [])}
        here = {
            name: f"{places[value]}" if value in places else value for name, value in own.items()
        }
        for name, value in here.items():
            for at, folder in places.items():
                if value.startswith(f"{at}/"):
                    here[name] = f"{folder}{value[len(at) :]}"
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return kept | {"PYTHONPATH": str(ROOT)} | here

    def _volumes(self, spec: Object, own: str) -> dict[str, Path]:
        """A folder a volume; claims have one for all pods."""
        found = {}
        for volume in spec.get("volumes", []):
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            folder = self.folder / ("claims" if claim else own) / (claim or volume["name"])
            folder.mkdir(parents=True, exist_ok=True)
            maps = [volume["configMap"]] if "configMap" in volume else []
            maps += [one["configMap"] for one in volume.get("projected", {}).get("sources", [])]
            for one in maps:
                self._write(one["name"], folder)
            found[volume["name"]] = folder
        return found

    def _write(self, name: str, folder: Path) -> None:
        kind = self.cluster.api.store.kinds[("", "configmaps")]
        content = self.cluster.api.store.get(kind, self.cluster.namespace, name)
        for file, text in (content.get("data") or {}).items():
            (folder / file).write_text(text)
        for file, data in (content.get("binaryData") or {}).items():
            (folder / file).write_bytes(base64.b64decode(data))


def _places(container: Object, volumes: dict[str, Path]) -> dict[str, Path]:
    return {one["mountPath"]: volumes[one["name"]] for one in container.get("volumeMounts", [])}


def _digest(spec: Any) -> str:
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:12]


def _answers(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 a process of ours
        return bool(answer.status == 200)
    return False
