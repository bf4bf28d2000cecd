"""What is looked at before a run begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelyard.cli import execute
from modelyard.errors import UsageError


def start(kind: Any, data: Path) -> None:
    params = data.with_name("params.yaml")
    params.write_text("{}")
    execute.run_pipeline(
        "tabular",
        data=str(data),
        target=None,
        rev=None,
        assignments=None,
        params=params,
        nodes=1,
        gpus=0,
        kind=kind,
    )


def test_training_data_that_are_gone_stop_a_training_and_no_monitoring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path))
    followed = []
    monkeypatch.setattr(execute, "follow", lambda folder: followed.append(folder.record.kind))
    with pytest.raises(UsageError, match="gone.csv"):
        start("training", tmp_path / "gone.csv")
    start("monitoring", tmp_path / "gone.csv")
    assert followed == ["monitoring"]
