"""The resources of each step's pod, resolved from a compiled pipeline as Kubeflow's driver resolves
them.

A resource may name a parameter or an output. The driver reads the string of that value and nothing
else: a number counts as empty, and a resource that is empty is left out of the pod without a word.
"""

import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

REFERENCE = re.compile(r"\{\{\$\.inputs\.parameters\['(?P<name>[^']+)'\]\}\}")


def documents(path: Path) -> list[dict[str, Any]]:
    """Those of a compiled pipeline's YAML; PyYAML's own reader takes ten times as long as that of C."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return list(yaml.load_all(path.read_text(), loader))


def pods(
    documents: list[dict], parameters: dict[str, Any], outputs: dict[tuple[str, str], Any]
) -> dict[str, dict[str, dict[str, str]]]:
    """`requests`, `limits` and `memory_volumes` (size by path) of every step's pod, by its path such
    as `condition-1/training/train`.

    `documents` are those of the YAML: the pipeline, and what is only Kubernetes' own. `parameters`
    are given in place of the pipeline's defaults; `outputs` are values of (task, output) pairs.
    """
    pipeline = documents[0]
    definitions = pipeline["root"]["inputDefinitions"]["parameters"]
    values = {name: definition.get("defaultValue") for name, definition in definitions.items()}
    own = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for name, executor in pipeline["deploymentSpec"]["executors"].items():
        executor["volumes"] = {
            mount["mountPath"]: mount["sizeLimit"]
            for mount in own.get(name, {}).get("emptyDirMounts", [])
            if mount["medium"] == "Memory"
        }
    return dict(_pods_of(pipeline, pipeline["root"]["dag"], values | parameters, outputs, ""))


def _pods_of(
    pipeline: dict, dag: dict, values: dict, outputs: dict, path: str
) -> Iterator[tuple[str, dict[str, dict[str, str]]]]:
    for name, task in dag["tasks"].items():
        component = pipeline["components"][task["componentRef"]["name"]]
        sources = task.get("inputs", {}).get("parameters", {})
        output_of = functools.partial(_typed, pipeline, dag, outputs)
        inputs = {key: _value(source, values, output_of) for key, source in sources.items()}
        if "dag" in component:
            yield from _pods_of(pipeline, component["dag"], inputs, outputs, f"{path}{name}/")
            continue
        executor = pipeline["deploymentSpec"]["executors"][component["executorLabel"]]
        asked = _resources(executor["container"].get("resources", {}), inputs)
        yield f"{path}{name}", asked | {"memory_volumes": executor["volumes"]}


def _value(source: dict, values: dict, output_of: Callable[[str, str], Any]) -> Any:
    if "componentInputParameter" in source:
        return values.get(source["componentInputParameter"])
    if "taskOutputParameter" in source:
        output = source["taskOutputParameter"]
        return output_of(output["producerTask"], output["outputParameterKey"])
    return source["runtimeValue"]["constant"] if "runtimeValue" in source else None


def _typed(pipeline: dict, dag: dict, outputs: dict, producer: str, output: str) -> Any:
    """The launcher turns the text that a step wrote into the type that its component declares."""
    text = outputs.get((producer, output))
    component = pipeline["components"][dag["tasks"][producer]["componentRef"]["name"]]
    declared = component["outputDefinitions"]["parameters"][output]["parameterType"]
    return int(text) if text is not None and declared == "NUMBER_INTEGER" else text


def _resources(spec: dict, inputs: dict) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {"requests": {}, "limits": {}}
    for field, kind, resource in (
        ("resourceCpuRequest", "requests", "cpu"),
        ("resourceCpuLimit", "limits", "cpu"),
        ("resourceMemoryRequest", "requests", "memory"),
        ("resourceMemoryLimit", "limits", "memory"),
    ):
        if amount := _resolved(spec.get(field, ""), inputs):
            found[kind][resource] = amount
    accelerator = spec.get("accelerator", {})
    name = _resolved(accelerator.get("resourceType", ""), inputs)
    count = _resolved(accelerator.get("resourceCount", ""), inputs)
    if name and count:
        found["limits"][name] = count
    return found


def _resolved(text: str, inputs: dict) -> str:
    reference = REFERENCE.fullmatch(text)
    if reference is None:
        return text
    value = inputs[reference["name"]]
    return value if isinstance(value, str) else ""
