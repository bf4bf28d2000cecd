"""Makes the files of variants: those that a run asks for, each recipe on its own."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from modelyard.compress.recipes import RECIPES, Recipe, Source, Task
from modelyard.cost.meters import memory_limit
from modelyard.packages.variant import LeftOut

Files = dict[str, str]
"""File by graph, relative to the folder of all variants."""

MEMORY = 3
"""Times the size of the graphs that a recipe may take: the file, the model that is read from it, and
the one that is written."""
LONGEST = 300
"""Characters of a reason that a library gave."""
_NODE = re.compile(r"[Nn]ode \(?'?(?P<node>[\w./:-]+)|name:? '(?P<name>[^']+)'")


def make_variants(
    sources: Sequence[Source],
    folder: Path,
    task: Task,
    progress: Callable[[int, int], None],
) -> tuple[dict[str, Files], list[LeftOut]]:
    """Files of every variant that could be made in `folder`, and the others with their reasons.

    A recipe that fails leaves out its variant, no other one.
    """
    made: dict[str, Files] = {}
    left_out: list[LeftOut] = []
    ends = time.perf_counter() + task.settings.seconds
    recipes = [recipe for recipe in RECIPES if _is_wanted(recipe, task)]
    for number, recipe in enumerate(recipes, start=1):
        name = recipe.name
        reason = _refusal(recipe, sources, task, ends)
        if reason:
            left_out.append(LeftOut(name=name, verdict="refused", reason=reason))
        else:
            try:
                made[name] = _make(recipe, sources, folder, task)
            except Exception as error:
                # Compilers fail in many ways on graphs that they do not know: the others still work.
                shutil.rmtree(folder / name, ignore_errors=True)
                left_out.append(LeftOut(name=name, verdict="failed", reason=one_line(error)))
        progress(number, len(recipes))
    return made, left_out


def one_line(error: BaseException) -> str:
    """What a library raised, for a table: without line breaks, the operator's name included."""
    said = " ".join(str(error).split()) or type(error).__name__
    if len(said) <= LONGEST:
        return said
    short = f"{said[:LONGEST]} …"
    # ONNX Runtime names the node at the end of a long sentence.
    if named := _NODE.search(said[LONGEST:]):
        short += f" node {named.group('node') or named.group('name')}"
    return short


def _is_wanted(recipe: Recipe, task: Task) -> bool:
    wanted = task.settings.variants
    if recipe.name in wanted:
        return True
    return "auto" in wanted and recipe.concerns(task)


def _refusal(recipe: Recipe, sources: Sequence[Source], task: Task, ends: float) -> str:
    """Why a recipe is not tried; empty: it is."""
    named = recipe.name in task.settings.variants
    if not named and (doubt := recipe.doubt(sources, task)):
        return doubt
    if reason := recipe.refusal(sources, task):
        return reason
    if time.perf_counter() > ends:
        return f"no time left: export.seconds = {task.settings.seconds:g}"
    needed = MEMORY * sum(source.file.stat().st_size for source in sources)
    free = _free_memory()
    if needed > free:
        return f"it needs about {needed / 1e9:.3g} GB of memory, and {free / 1e9:.3g} GB are free"
    return ""


def _free_memory() -> int:
    """Bytes that this process may still take: of the machine's, or of its container's."""
    free: int = psutil.virtual_memory().available
    limit = memory_limit()
    if limit is None:
        return free
    return min(free, max(0, limit - psutil.Process().memory_info().rss))


def _make(recipe: Recipe, sources: Sequence[Source], folder: Path, task: Task) -> Files:
    files = {}
    for source in sources:
        name = f"{recipe.name}/{source.name}{recipe.suffix}"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        recipe.make(source, folder / name, task)
        files[source.name] = name
    return files
