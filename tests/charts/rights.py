"""Rights as sets of `verb resource.group`: those that a role gives, and those that requests to
the API took."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qs, urlsplit

from modelyard.doctor.rights import Right
from tests.charts.helm import Object

_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/v\w+/namespaces/[^/]+/(?P<plural>[^/]+)(?:/(?P<name>[^/]+)(?P<sub>/[^/]+)?)?"
)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def granted(role: Object) -> set[str]:
    """What a Role gives: `patch deployments.apps`, `get pods/log.`."""
    return {
        f"{verb} {resource}.{group}"
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def listed(rights: Iterable[Right]) -> set[str]:
    """The same of a list of the launcher's."""
    return {
        f"{verb} {resource}.{group}" for group, resource, verbs in rights for verb in verbs.split()
    }


def taken(requests: Iterable[str]) -> set[str]:
    """The same of requests for what a namespace holds, each as `METHOD /path?query`."""
    found = set()
    for one in requests:
        method, _, target = one.partition(" ")
        url = urlsplit(target)
        if (at := _PATH.match(url.path)) is None:
            continue
        watching = parse_qs(url.query).get("watch", ["false"])[0].lower() in ("true", "1")
        reading = "get" if at["name"] else "watch" if watching else "list"
        verb = _VERBS.get(method, reading)
        found.add(f"{verb} {at['plural']}{at['sub'] or ''}.{at['group'] or ''}")
    return found
