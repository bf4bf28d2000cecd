"""Kubeflow's cache: which steps of a run are answered by an earlier one's, as its driver decides it.

The key holds the names of the input artifacts, the values of all input parameters, names and types of
the outputs, their static metadata, the image, command and arguments, and names of claims: not the
environment, nor what a pod may use. A step that runs makes new artifacts, and with them new keys below.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable
from typing import Any

Outputs = dict[str, dict[str, Any]]
"""Output parameters, by task and name."""


class Backend:
    """Runs compiled pipelines so far as the cache goes."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, str]] = {}
        """Names of the artifacts that a step made, by its key."""
        self._numbers = itertools.count()

    def run(
        self,
        pipeline: Any,
        form: dict[str, Any],
        compute: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> list[str]:
        """The steps that are answered, in order; `compute` is the first step's function."""
        defaults = pipeline["root"]["inputDefinitions"]["parameters"]
        values = {name: one.get("defaultValue") for name, one in defaults.items()} | form
        artifacts: dict[tuple[str, str], str] = {}
        parameters: Outputs = {}
        answered = []
        for name in _in_order(pipeline["root"]["dag"]["tasks"]):
            task = pipeline["root"]["dag"]["tasks"][name]
            component = pipeline["components"][task["componentRef"]["name"]]
            inputs = _inputs(task, values, parameters)
            given = {
                key: artifacts[
                    one["taskOutputArtifact"]["producerTask"],
                    one["taskOutputArtifact"]["outputArtifactKey"],
                ]
                for key, one in task.get("inputs", {}).get("artifacts", {}).items()
            }
            executor = pipeline["deploymentSpec"]["executors"][component["executorLabel"]]
            key = _key(component, executor["container"], inputs, given)
            cached = bool(task.get("cachingOptions", {}).get("enableCache"))
            if cached and key in self._known:
                answered.append(name)
            else:
                outputs = component.get("outputDefinitions", {}).get("artifacts", {})
                self._known[key] = {one: f"{one}-{next(self._numbers)}" for one in outputs}
            for output, made in self._known[key].items():
                artifacts[name, output] = made
            if "settings" in inputs and "family" in inputs:
                parameters[name] = compute(inputs)
        return answered


def _in_order(tasks: Any) -> list[str]:
    done: list[str] = []
    while len(done) < len(tasks):
        done += [
            name
            for name, task in tasks.items()
            if name not in done and set(task.get("dependentTasks", [])) <= set(done)
        ]
    return done


def _inputs(task: Any, values: dict[str, Any], parameters: Outputs) -> dict[str, Any]:
    found = {}
    for name, source in task.get("inputs", {}).get("parameters", {}).items():
        if "componentInputParameter" in source:
            found[name] = values[source["componentInputParameter"]]
        elif "taskOutputParameter" in source:
            output = source["taskOutputParameter"]
            found[name] = parameters[output["producerTask"]][output["outputParameterKey"]]
        else:
            found[name] = source["runtimeValue"]["constant"]
    return found


def _key(component: Any, container: Any, inputs: dict[str, Any], artifacts: dict[str, str]) -> str:
    outputs = component.get("outputDefinitions", {})
    content = {
        "artifacts": artifacts,
        "parameters": inputs,
        "output artifacts": outputs.get("artifacts", {}),
        "output parameters": outputs.get("parameters", {}),
        "image": container["image"],
        "command": container["command"],
        "arguments": container["args"],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
