"""Trials are counted from 1 wherever people meet them."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from modelyard.cli import tuning
from modelyard.tuning import report
from modelyard.tuning.study import Tried


def tried(number: int, value: float, same_as: int | None = None) -> Tried:
    settings: dict[str, Any] = {"model.width": number} if number else {}
    return Tried(number, "finished", settings, value, {}, 1.0, "", same_as)


TRIALS = [tried(0, 0.5), tried(1, 0.7), tried(2, 0.7, same_as=1)]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    console = Console(file=stream, width=200, highlight=False)
    monkeypatch.setattr(tuning, "console", console)
    return stream


def test_lines_and_table_give_a_trial_the_same_number(said: io.StringIO) -> None:
    search: Any = SimpleNamespace(
        plan=SimpleNamespace(trials=3), start=SimpleNamespace(metric="auc")
    )
    for count, one in enumerate(TRIALS, 1):
        tuning._show(search, one, TRIALS[1], count)
    lines = said.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["1/3", "2/3", "3/3"]
    assert "the same as trial 2" in lines[2]
    assert not any(re.search(r"trial \d", line) for line in lines[:2])
    said.truncate(0)
    tuning.console.print(tuning._table(True, TRIALS, "auc"))
    rows = [line for line in said.getvalue().splitlines() if " 1.0 s" in line]
    assert [row.split()[1] for row in rows] == ["2", "1"]
    assert "the starting settings" in rows[1]


def test_a_trial_that_ends_out_of_turn_says_which_it_is(said: io.StringIO) -> None:
    search: Any = SimpleNamespace(
        plan=SimpleNamespace(trials=3), start=SimpleNamespace(metric="auc")
    )
    tuning._show(search, tried(2, 0.6), TRIALS[1], 2)
    assert "trial 3" in said.getvalue()


def test_the_file_and_the_page_count_from_1_too(tmp_path: Path) -> None:
    study: Any = SimpleNamespace(tried=lambda: TRIALS)
    rows = json.loads(report.write_trials(tmp_path, study, "auc").read_text())
    assert [(row["trial"], row["same_as"]) for row in rows] == [(1, None), (2, None), (3, 2)]
    plot = report.history(TRIALS, "auc", True)
    assert plot.series[1].x == [1.0, 2.0, 3.0]
