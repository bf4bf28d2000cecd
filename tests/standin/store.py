"""Objects of a cluster, with versions, selectors and a history to watch."""

from __future__ import annotations

import copy
import itertools
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Refused(Exception):
    """An answer other than success, as the API's Status object."""

    code: int
    reason: str
    message: str
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> Object:
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": {},
            "code": self.code,
        }


@dataclass(frozen=True)
class Kind:
    """A resource of the API."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


class Store:
    """All objects. Every change gets the next resource version; watchers wait on `changed`."""

    def __init__(self) -> None:
        self.kinds: dict[tuple[str, str], Kind] = {}
        self.objects: dict[tuple[Kind, str, str], Object] = {}
        self.history: list[tuple[int, Kind, str, Object]] = []
        self.changed = threading.Condition()
        self.forgotten = 0
        """Versions up to this one are compacted: a watch from there is answered 410 Gone."""
        self.admission: list[Callable[[Kind, Object], None]] = []
        self.defaults: list[Callable[[Kind, Object], None]] = []
        """What the API server fills in where a request leaves it out or takes it out, at every
        change."""
        self.strict: dict[Kind, Callable[[Object], list[str]]] = {}
        self._versions = itertools.count(1000)
        self.version = next(self._versions)

    def register(self, *kinds: Kind) -> None:
        self.kinds |= {(kind.group, kind.plural): kind for kind in kinds}

    def create(self, kind: Kind, namespace: str, thing: Object, strict: bool = False) -> Object:
        generated = f"{thing['metadata'].get('generateName')}{uuid.uuid4().hex[:5]}"
        name = thing["metadata"].setdefault("name", generated)
        if strict and kind in self.strict and (wrong := self.strict[kind](thing)):
            raise Refused(400, "BadRequest", f"strict decoding error: {', '.join(wrong)}")
        with self.changed:
            if (kind, namespace, name) in self.objects:
                raise Refused(409, "AlreadyExists", f'{kind.qualified} "{name}" already exists')
            for admit in self.admission:
                admit(kind, thing)
            made = copy.deepcopy(thing)
            made |= {"apiVersion": kind.api_version, "kind": kind.kind}
            made["metadata"] = {"uid": str(uuid.uuid4()), "creationTimestamp": now()} | made[
                "metadata"
            ]
            if kind.namespaced:
                made["metadata"]["namespace"] = namespace
            return self._record("ADDED", kind, namespace, made)

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        try:
            return self.objects[(kind, namespace, name)]
        except KeyError:
            raise Refused(404, "NotFound", f'{kind.qualified} "{name}" not found') from None

    def find(self, kind: Kind, namespace: str, labels: str = "", fields: str = "") -> list[Object]:
        return self.list_at(kind, namespace, labels, fields)[0]

    def list_at(
        self, kind: Kind, namespace: str, labels: str, fields: str
    ) -> tuple[list[Object], int]:
        """Objects, and the version at which they are all there is."""
        with self.changed:
            found = [(key, one) for key, one in self.objects.items() if key[0] == kind]
            version = self.version
        return [
            one for key, one in found if namespace in ("", key[1]) and matches(one, labels, fields)
        ], version

    def change(
        self, kind: Kind, namespace: str, name: str, edit: Callable[[Object], None]
    ) -> Object:
        with self.changed:
            thing = copy.deepcopy(self.get(kind, namespace, name))
            edit(thing)
            return self._record("MODIFIED", kind, namespace, thing)

    def remove(self, kind: Kind, namespace: str, name: str) -> Object:
        with self.changed:
            thing = copy.deepcopy(self.get(kind, namespace, name))
            self._record("DELETED", kind, namespace, thing)
            del self.objects[(kind, namespace, name)]
            return thing

    def _record(self, what: str, kind: Kind, namespace: str, thing: Object) -> Object:
        for fill in self.defaults:
            fill(kind, thing)
        self.version = next(self._versions)
        thing["metadata"]["resourceVersion"] = str(self.version)
        self.objects[(kind, namespace, thing["metadata"]["name"])] = thing
        self.history.append((self.version, kind, what, thing))
        self.changed.notify_all()
        return thing

    def compact(self) -> None:
        """Forgets the history, as the API server does after some minutes."""
        with self.changed:
            self.forgotten = self.version
            self.history = []

    def watch(
        self,
        kind: Kind,
        namespace: str,
        version: int,
        labels: str,
        fields: str,
        on: Callable[[], bool],
    ) -> Iterator[Object | None]:
        """Events after a version while `on()`; None now and then, when there is none."""
        while on():
            with self.changed:
                if version < self.forgotten:
                    status = Refused(
                        410, "Expired", f"too old resource version: {version} ({self.forgotten})"
                    ).body()
                    yield {"type": "ERROR", "object": status}
                    return
                fresh = [entry for entry in self.history if entry[0] > version]
                if not fresh:
                    self.changed.wait(0.02)
            for number, of, what, thing in fresh:
                version = number
                here = of == kind and namespace in ("", thing["metadata"].get("namespace"))
                if here and matches(thing, labels, fields):
                    yield {"type": what, "object": thing}
            yield None


def matches(thing: Object, labels: str, fields: str) -> bool:
    """Whether an object has what selectors ask for: equality, or of a label that it is there."""
    own = thing["metadata"].get("labels", {})
    for part in filter(None, labels.split(",")):
        name, equals, value = part.partition("=")
        if name not in own or (equals and own[name] != value.lstrip("=")):
            return False
    for part in filter(None, fields.split(",")):
        name, _, value = part.partition("=")
        node: Any = thing
        for step in name.rstrip("!").split("."):
            node = node.get(step, {})
        if (node == value.lstrip("=")) is name.endswith("!"):
            return False
    return True
