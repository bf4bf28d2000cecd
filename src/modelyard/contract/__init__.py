"""The contract of a family as checks: real stages on `family.debug()`, then one question each.

    import pytest
    from modelyard.contract import CHECKS, Lab

    @pytest.fixture(scope="session")
    def lab(tmp_path_factory):
        return Lab("my_package:MyFamily", tmp_path_factory.mktemp("lab"))

    @pytest.mark.parametrize("check", CHECKS)
    def test_contract(check, lab):
        CHECKS[check](lab)

A check raises AssertionError with one line that says what is wrong, `unittest.SkipTest` (which
pytest shows as skipped) where it does not apply, and returns what it saw.
"""

from __future__ import annotations

import importlib
import time
import traceback
import unittest
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modelyard.contract import answering, building, compressing, handing
from modelyard.contract.lab import Lab

Check = Callable[[Lab], str]

_IN_ORDER: tuple[Check, ...] = (
    answering.importing_loads_no_training_library,
    building.config_is_valid_documented_and_survives_json,
    building.misspelt_setting_is_refused,
    building.features_report_three_disjoint_splits,
    building.features_are_the_same_again,
    handing.features_read_what_their_step_is_handed,
    building.bad_data_is_named,
    building.same_epoch_gives_the_same_batches,
    building.parts_of_a_batch_add_up_to_it,
    building.loss_falls_on_a_repeated_batch,
    building.weights_survive_the_file,
    building.same_seed_gives_the_same_model,
    building.figures_stand_beside_a_baseline,
    answering.requests_validate_and_survive_json,
    answering.bad_request_is_named_by_field,
    answering.graphs_match_the_trained_model,
    answering.evaluation_is_the_same_on_onnx,
    answering.answers_depend_on_the_request_alone,
    answering.answers_survive_json,
    answering.describe_gives_flat_rows_of_the_same_columns,
    answering.package_answers_without_training_libraries,
    compressing.variants_answer_or_say_why_not,
    answering.nothing_is_pickled,
)
CHECKS: dict[str, Check] = {check.__name__: check for check in _IN_ORDER}
"""All checks, in the order in which a family comes to stand."""


@dataclass(frozen=True)
class Result:
    """What one check found."""

    check: str
    state: Literal["kept", "broken", "skipped"]
    text: str
    """One line: what was seen, what is wrong, or why it does not apply."""
    seconds: float


def run(family: str, folder: Path) -> list[Result]:
    """All checks of `family` (a built-in name, or `package.module:entry`), with its debug run made
    in `folder`.

    Raises:
        UsageError: no such family.
    """
    return list(results(Lab(family, folder)))


def results(lab: Lab) -> Iterator[Result]:
    """The checks one by one, each when it is done."""
    for name, check in CHECKS.items():
        started = time.perf_counter()
        state: Literal["kept", "broken", "skipped"]
        try:
            state, text = "kept", check(lab)
        except unittest.SkipTest as reason:
            state, text = "skipped", str(reason)
        except AssertionError as error:
            state, text = "broken", _line(error)
        except Exception as error:
            # A family's own code may raise anything; its last line in the family's folder is what
            # its author needs.
            state, text = "broken", f"{type(error).__name__}: {_line(error)}{_place(error, lab)}"
        yield Result(name, state, text, round(time.perf_counter() - started, 3))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _place(error: Exception, lab: Lab) -> str:
    """Where in the family's own code it came up; empty where none of it was running."""
    module = importlib.import_module(lab.run.entry.module)
    assert module.__file__ is not None, "a family is a module with a file"
    own = Path(module.__file__).parent
    place = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if Path(frame.filename).is_relative_to(own):
            place = f" ({own.name}/{Path(frame.filename).relative_to(own)}, line {frame.lineno})"
    return place


__all__ = ["CHECKS", "Check", "Lab", "Result", "results", "run"]
