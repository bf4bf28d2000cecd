"""What the log of a container says in its own words.

The log of a pipeline's step holds lines of three programs: of Argo, of Kubeflow's launcher, and of the
step itself. The step's own last words stand some nine lines above the end.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Any

ERROR = "error: "
"""In front of the one line that a stage prints for what a person can fix."""
_LAUNCHER = re.compile(r"^[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ \S+\] ")
"""klog's prefix: level, month and day, time, thread, place in the source."""
_ARGO = re.compile(r"^time=\S+ level=.* argo=true|^Error: exit status \d+$")
_EXECUTOR = re.compile(r"^\[KFP Executor [^\]]*\]: ")
_OF_EXECUTOR = (
    "Looking for component `",
    "Loading KFP component ",
    "Got executor_input:",
    "Wrote executor output file to ",
)
"""What kfp's executor logs around the step; the step's own logging has its prefix too."""
_OPENS = ("{", "Got executor_input:")
"""Ends of lines below which JSON follows, up to a line with its closing brace."""
_ENDED = re.compile(r"Component failed to execute successfully: exit status (\d+)")
_CONTAINER = re.compile(r'sub-process exited".* error="exit status (\d+)"')
_FINISHED = re.compile(
    r"^(?P<stage>\w+) finished seconds=(?P<seconds>\S+)"
    r"( headline=(?P<headline>.*?))?( cost=(?P<cost>\{.*?\}))?( outputs=\{.*)?$"
)


@dataclass(frozen=True)
class Finished:
    """What a stage reported at its end."""

    stage: str
    seconds: float
    headline: str
    cost: dict[str, Any]


def own_lines(log: str) -> list[str]:
    """Lines of the program itself, without those of Argo, the launcher and kfp's executor, and without
    empty ones."""
    lines = []
    every = log.splitlines()
    number = 0
    while number < len(every):
        line = every[number]
        text = _EXECUTOR.sub("", line).strip()
        theirs = _LAUNCHER.match(line) or _ARGO.match(line) or text.startswith(_OF_EXECUTOR)
        if text and not theirs:
            lines.append(text)
        number += 1
        if theirs and text.endswith(_OPENS):
            # JSON over many lines; a log that breaks off in it is shown as it is.
            rest = every[number:]
            if "}" in rest:
                number += rest.index("}") + 1
    return lines


def last_words(log: str) -> str:
    """The line that says why a program ended: the last `error: …` of a step, else its last line.

    Where a step ended well and the launcher then failed to store its outputs, the launcher's words.
    """
    lines = own_lines(log)
    wrapped = [line for line in log.splitlines() if _LAUNCHER.match(line)]
    if not wrapped:
        return lines[-1] if lines else ""  # a container that runs under no launcher
    # klog's F ends the launcher itself. It does so after each failure of the program too, whose
    # exit status it writes then.
    fatal = [line for line in wrapped if line.startswith("F")]
    if fatal and exit_status(log) is None:
        return _LAUNCHER.sub("", fatal[-1])
    errors = [line for line in lines if line.startswith(ERROR)]
    told = errors or lines
    return told[-1] if told else ""


def exit_status(log: str) -> int | None:
    """With which status a step's own program failed; None where it did not, or where nobody wrote it.

    The container itself ends with 1, whatever the program's status was.
    """
    found = _ENDED.findall(log)
    return int(found[-1]) if found else None


def container_status(log: str) -> int | None:
    """With which status the container ended, as Argo wrote it; None where that is not in the log."""
    found = _CONTAINER.findall(log)
    return int(found[-1]) if found else None


def finished(log: str) -> Finished | None:
    """What the stage reported at its end; None where it did not come so far."""
    for line in reversed(own_lines(log)):
        match = _FINISHED.match(line)
        if match:
            cost = _cost(match["cost"] or "")
            return Finished(match["stage"], float(match["seconds"]), match["headline"] or "", cost)
    return None


def _cost(text: str) -> dict[str, Any]:
    """The usage that a stage writes as Python's own text; empty where it is cut."""
    try:
        found: dict[str, Any] = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return {}
    return found
