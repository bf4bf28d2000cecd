"""The Deployment controller and the kubelet, as far as a rollout goes; a test says which pods
cannot start."""

from __future__ import annotations

import copy
import hashlib
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tests.standin.kinds import DEPLOYMENT, POD, REPLICA_SET, Cluster
from tests.standin.store import Object, Refused, now

Status = dict[str, Any]
READY: Status = {
    "phase": "Running",
    "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"}],
    "containerStatuses": [
        {"name": "server", "ready": True, "state": {"running": {"startedAt": now()}}}
    ],
}


class Rollouts:
    """Follows every Deployment until the test ends. `fate` gives the status of a new pod, by its
    spec."""

    def __init__(
        self, cluster: Cluster, fate: Callable[[Object], Status] = lambda spec: READY
    ) -> None:
        self.cluster, self.store, self.fate = cluster, cluster.api.store, fate
        self.on_ready: Callable[[Object], None] = lambda template: None
        """Called with the pods' template when all pods of a version are ready."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(5)

    def _follow(self) -> None:
        while not self._over.wait(0.02):
            with suppress(Refused):  # it was deleted in the meantime
                for deployment in self.store.find(DEPLOYMENT, self.cluster.namespace):
                    self._step(deployment)
                self._collect()

    def _step(self, deployment: Object) -> None:
        spec, name = deployment["spec"], deployment["metadata"]["name"]
        digest = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:10]
        if deployment.get("status", {}).get("seen") == digest:
            return
        template = hashlib.sha256(
            json.dumps(spec["template"], sort_keys=True).encode()
        ).hexdigest()[:10]
        fate, old = self.fate(spec["template"]["spec"]), self._sets(deployment)
        wanted = int(spec.get("replicas", 1))
        this = next((one for one in old if one["metadata"]["name"] == f"{name}-{template}"), None)
        if this is not None and this["status"].get("readyReplicas"):
            fate = READY  # what runs goes on running
        if this is None:
            this = self._make_set(deployment, template, wanted if fate is READY else 1)
        self._fill(this, fate, wanted if fate is READY else 1)
        if fate is READY:
            self.on_ready(spec["template"])
            for one in old:
                if one["metadata"]["name"] != this["metadata"]["name"]:
                    self._empty(one)
        generation = int(deployment["metadata"].get("generation", 0)) + 1
        before = deployment.get("status", {}).get("availableReplicas", 0)
        counts = {
            "replicas": wanted,
            "updatedReplicas": wanted,
            "availableReplicas": wanted,
            "readyReplicas": wanted,
        }
        if fate is not READY:
            counts = {
                "replicas": before + 1,
                "updatedReplicas": 1,
                "availableReplicas": before,
                "readyReplicas": before,
            }
        status = {**counts, "observedGeneration": generation, "seen": digest}
        self._edit(
            DEPLOYMENT,
            name,
            lambda one: one.update(status=status) or one["metadata"].update(generation=generation),
        )

    def _make_set(self, deployment: Object, template: str, replicas: int) -> Object:
        spec, name = copy.deepcopy(deployment["spec"]), deployment["metadata"]["name"]
        labels = {**spec["template"]["metadata"]["labels"], "pod-template-hash": template}
        spec["template"]["metadata"]["labels"] = labels
        owner = [
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": name,
                "uid": deployment["metadata"]["uid"],
                "controller": True,
            }
        ]
        return self.cluster.add(
            REPLICA_SET,
            f"{name}-{template}",
            labels=labels,
            metadata={"ownerReferences": owner},
            spec={"replicas": replicas, "selector": spec["selector"], "template": spec["template"]},
            status={},
        )

    def _fill(self, owner: Object, fate: Status, count: int) -> None:
        name, template = owner["metadata"]["name"], owner["spec"]["template"]
        there = self._pods(name)
        for number in range(len(there), count):
            self.cluster.add(
                POD,
                f"{name}-{number}",
                labels=template["metadata"]["labels"],
                spec=template["spec"],
                status={"startTime": now(), **copy.deepcopy(fate)},
                metadata={
                    "ownerReferences": [
                        {
                            "apiVersion": "apps/v1",
                            "kind": "ReplicaSet",
                            "name": name,
                            "uid": owner["metadata"]["uid"],
                        }
                    ]
                },
            )
        ready = count if fate is READY else 0
        status = {
            "replicas": count,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "observedGeneration": 1,
        }
        self._edit(
            REPLICA_SET,
            name,
            lambda one: one.update(status=status) or one["spec"].update(replicas=count),
        )

    def _empty(self, owner: Object) -> None:
        name = owner["metadata"]["name"]
        for pod in self._pods(name):
            self.store.remove(POD, self.cluster.namespace, pod["metadata"]["name"])
        self._edit(
            REPLICA_SET,
            name,
            lambda one: one.update(status={"replicas": 0}) or one["spec"].update(replicas=0),
        )

    def _collect(self) -> None:
        """What belonged to a Deployment that is gone."""
        there = {
            one["metadata"]["name"] for one in self.store.find(DEPLOYMENT, self.cluster.namespace)
        }
        for owner in self.store.find(REPLICA_SET, self.cluster.namespace):
            if owner["metadata"]["ownerReferences"][0]["name"] not in there:
                self._empty(owner)
                self.store.remove(REPLICA_SET, self.cluster.namespace, owner["metadata"]["name"])

    def _sets(self, deployment: Object) -> list[Object]:
        sets = self.store.find(REPLICA_SET, self.cluster.namespace)
        return [
            one
            for one in sets
            if one["metadata"]["ownerReferences"][0]["name"] == deployment["metadata"]["name"]
        ]

    def _pods(self, owner: str) -> list[Object]:
        pods = self.store.find(POD, self.cluster.namespace)
        return [
            one
            for one in pods
            if (one["metadata"].get("ownerReferences") or [{}])[0].get("name") == owner
        ]

    def _edit(self, kind: Any, name: str, edit: Callable[[Object], Any]) -> None:
        self.store.change(kind, self.cluster.namespace, name, edit)
