"""Requests answered together, so that one with a bad example fails without its company."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import TypeAlias

from pydantic import BaseModel

from modelyard.serving.work import Fault, Unwanted, Wanted, always

Predict: TypeAlias = Callable[[list[BaseModel], Wanted], list[BaseModel]]
"""Answers examples; may raise Unwanted once nobody waits for any of them."""
Outcome: TypeAlias = "list[BaseModel] | Exception"


def answer_all(
    predict: Predict, requests: Sequence[list[BaseModel]], wanted: Wanted = always
) -> list[Outcome]:
    """Answers all requests in one go; where that fails, in halves, so that a bad request fails
    alone."""
    try:
        answers = predict(list(chain.from_iterable(requests)), wanted)
    except Unwanted as stopped:
        return [stopped] * len(requests)
    except Exception as error:
        if len(requests) == 1:
            return [_fault(predict, requests[0], wanted, error)]
        half = len(requests) // 2
        return answer_all(predict, requests[:half], wanted) + answer_all(
            predict, requests[half:], wanted
        )
    outcomes: list[Outcome] = []
    start = 0
    for examples in requests:
        outcomes.append(answers[start : start + len(examples)])
        start += len(examples)
    return outcomes


def _fault(
    predict: Predict, examples: list[BaseModel], wanted: Wanted, error: Exception
) -> Exception:
    """The first example that the model fails on, found by halving, and what it raises about it."""
    # The fault is in examples[low:high] throughout; `error` is what the latest failure raised.
    low, high = 0, len(examples)
    while high - low > 1:
        middle = (low + high) // 2
        failed = _failure(predict, examples[low:middle], wanted)
        if isinstance(failed, Unwanted):
            return failed
        if failed is None:
            low = middle
        else:
            error, high = failed, middle
    # The latest failure may have been of several examples: what is raised about this one by itself?
    if len(examples) > 1:
        error = _failure(predict, examples[low:high], wanted) or error
    if isinstance(error, Unwanted):
        return error
    return Fault(error, low)


def _failure(predict: Predict, examples: list[BaseModel], wanted: Wanted) -> Exception | None:
    try:
        predict(examples, wanted)
    except Exception as error:
        return error
    return None
