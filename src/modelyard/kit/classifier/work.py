"""Work on many files at once. A broken file is reported together with the other broken ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn, TypeVar

from modelyard.errors import BadData
from modelyard.kit.classifier.examples import Example

SHOWN_BROKEN = 5
"""Broken files that an error names, at most."""
T = TypeVar("T")


def each(examples: Sequence[Example], work: Callable[[Example], T]) -> list[T]:
    """`work` of every example on all cores, in order: decoders run outside of Python's lock.

    Raises:
        BadData: for the files that `work` refuses: the first, and how many more.
    """

    # Returned, not raised: the pool would stop at the first broken file, and all are counted.
    def attempt(example: Example) -> T | BadData:
        try:
            return work(example)
        except BadData as problem:
            return problem

    with ThreadPoolExecutor() as pool:
        results = list(pool.map(attempt, examples))
    done: list[T] = []
    broken: list[tuple[Example, BadData]] = []
    for example, result in zip(examples, results, strict=True):
        if isinstance(result, BadData):
            broken.append((example, result))
        else:
            done.append(result)
    if broken:
        _refuse(broken)
    return done


def _refuse(broken: list[tuple[Example, BadData]]) -> NoReturn:
    first, problem = broken[0]
    text, hint = problem.problem, "Fix or remove it"
    if len(broken) > 1:
        names = ", ".join(example.name for example, _ in broken[1:SHOWN_BROKEN])
        text += f". So are {len(broken) - 1} more: {names}"
        hint = "Fix or remove them"
    if first.table is None:
        raise BadData(text, file=first.file.path, hint=hint)
    if first.table != first.file.path:
        text = f"{first.name} {text}"
    raise BadData(text, file=first.table, row=first.row, column=first.columns[0], hint=hint)
