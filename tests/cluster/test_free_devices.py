"""How many devices the pods of a node leave free."""

from __future__ import annotations

from typing import Any

import pytest

from modelyard.doctor.capacity import free_devices


def asking(count: int, **fields: Any) -> dict[str, Any]:
    return {"resources": {"limits": {"nvidia.com/gpu": str(count)}}, **fields}


@pytest.mark.parametrize(
    ("before", "free"),
    [
        ([asking(2)], 5),
        ([asking(4)], 4),
        # A sidecar runs on with the containers, and while those after it start.
        ([asking(2, restartPolicy="Always")], 3),
        ([asking(2, restartPolicy="Always"), asking(4)], 2),
        ([asking(4), asking(2, restartPolicy="Always")], 3),
    ],
)
def test_an_init_container_holds_its_devices_where_it_asks_for_more(
    before: list[dict[str, Any]], free: int
) -> None:
    ready = {
        "conditions": [{"type": "Ready", "status": "True"}],
        "allocatable": {"nvidia.com/gpu": "8"},
    }
    spec = {"nodeName": "n", "containers": [asking(1), asking(2)], "initContainers": before}
    pod = {"spec": spec, "status": {}}
    (found,) = free_devices([{"metadata": {"name": "n"}, "status": ready}], [pod])
    assert found.free == free
