"""How good the answers were whose label came."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from modelyard.drift import quality
from modelyard.host import Outcome
from modelyard.store.artifact import write_json


def answered(label: float) -> Outcome:
    return Outcome(label, abs(label - 900.0), predicted=900.0, happened=label)


def test_labels_near_the_largest_number_are_unclear_and_leave_the_figures_finite(
    tmp_path, monkeypatch
):
    labels = [910.0, 880.0, 1e308, -1e308, 900.0]
    rows = [{"_label": label} for label in labels]
    read = SimpleNamespace(rows=rows, labels=len(rows), unmatched=4, skipped=[])
    monkeypatch.setattr(quality, "read_labels", lambda *place, **most: read)
    host = SimpleNamespace(
        error_name="mean absolute error",
        counts_errors=False,
        outcome=lambda row, label: answered(label),
    )
    found = quality.labelled("log", datetime.now(UTC), "v", tmp_path, host, least=50).quality
    assert (found.rows, found.unclear) == (3, 2)
    assert found.value == pytest.approx(10.0)
    assert "labels without an answer of this version in the log: 4" in found.in_words()
    assert found.happened == pytest.approx(2690 / 3)
    write_json(tmp_path / "verdict.json", found)  # refuses what is not finite
