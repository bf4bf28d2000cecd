"""Keeps what a released chart renders, for the tests that upgrade from it: make.py CHART >
CHART-VERSION.json.

Only what cannot change under a running release is kept: names, selectors, claims, roles that
bindings refer to.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.charts.helm import CASES, Object, label, objects


def fixed(objects_: list[Object]) -> dict[str, Any]:
    """What the API server refuses to change, or what losing would hurt, by object."""
    return {
        label(one): _fixed(one)
        for one in objects_
        if "helm.sh/hook" not in one["metadata"].get("annotations", {})
    }


def _fixed(one: Object) -> Any:
    spec = one.get("spec", {})
    match one["kind"]:
        case "Deployment":
            return spec["selector"]
        case "StatefulSet":
            return {
                name: spec[name]
                for name in ("selector", "serviceName", "volumeClaimTemplates")
                if name in spec
            }
        case "PersistentVolumeClaim":
            return {name: value for name, value in spec.items() if name != "resources"}
        case "RoleBinding" | "ClusterRoleBinding":
            return one["roleRef"]
    return {}


if __name__ == "__main__":
    chosen = [case for case in CASES if case.chart == sys.argv[1]]
    values = {case.file: case.values.read_text() for case in chosen}
    kept = {
        case.file: {"values": values[case.file], "fixed": fixed(objects(case))} for case in chosen
    }
    print(json.dumps(kept, indent=1, sort_keys=True))
