"""Rows of one person stay in one split where `features.group` says so, and it is said where not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from modelyard.errors import BadData, UsageError
from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.family import Tabular
from modelyard.families.tabular.folds import folds_of
from modelyard.families.tabular.host import TabularHost
from modelyard.families.tabular.schema import TableSchema
from modelyard.families.tabular.table import load_split, load_table
from modelyard.training.loop import Trainer
from tests.unit.tabular.conftest import SPLITS, built, make, write


def visits(rows: int = 600, patients: int = 60, seed: int = 0) -> pd.DataFrame:
    """Visits of patients, who are ill or not at all of theirs, and of very different number."""
    r = np.random.default_rng(seed)
    patient = r.choice(patients, rows, p=np.arange(1, patients + 1) / sum(range(patients + 1)))
    ill = r.random(patients) < 0.3
    return pd.DataFrame(
        {
            "patient_id": [f"P{number}" for number in patient],
            "weight": np.round(60 + patient + r.normal(0, 0.1, rows), 2),
            "pulse": r.integers(50, 100, rows),
            "ill": np.where(ill[patient], "yes", "no"),
        }
    )


def grouped(tmp_path: Path, frame: pd.DataFrame, target: str = "ill") -> tuple[str, Path]:
    summary, out = built(tmp_path, write(tmp_path, frame), target=target, group="patient_id")
    return summary["headline"], out


def _patients(out: Path, frame: pd.DataFrame) -> list[set[str]]:
    """Of each split, found by the rows' weights and pulses."""
    key = ["weight", "pulse"]
    of = frame.drop_duplicates(key).set_index(key)["patient_id"]
    parts = [pd.read_parquet(out / f"{split}.parquet") for split in SPLITS]
    return [{of[tuple(row)] for row in part[key].itertuples(index=False)} for part in parts]


@pytest.mark.parametrize("target", ["ill", "pulse"])
def test_no_patient_is_in_two_splits_and_the_shares_hold(tmp_path: Path, target: str) -> None:
    frame = visits().drop_duplicates(["weight", "pulse"])
    headline, out = grouped(tmp_path, frame, target)
    train, validation, test = _patients(out, frame)
    assert len(train) + len(validation) + len(test) == frame["patient_id"].nunique()
    sizes = np.array([len(load_split(out, split)[1]) for split in SPLITS]) / len(frame)
    assert sizes == pytest.approx([0.65, 0.15, 0.2], abs=0.04)
    assert "split by patient_id (features.group)" in headline
    columns = {column.name: column.role for column in TableSchema.load(out / "assets").columns}
    assert columns["patient_id"] == "drop"


@pytest.mark.parametrize("target", ["ill", "pulse"])
def test_held_out_folds_hold_other_patients_too(tmp_path: Path, target: str) -> None:
    config = make(target=target).config
    table = load_table(grouped(tmp_path, visits(), target)[1], config.model)
    for one in (table, table.joined(None)):
        assert one.groups is not None
        assert len(one.groups) == len(one.x)
        for rest, part in folds_of(one, 0):
            assert not set(one.groups[rest]) & set(one.groups[part])


def test_a_row_without_a_group_stands_for_itself(tmp_path: Path) -> None:
    frame = visits()
    frame.loc[frame["patient_id"] == "P59", "patient_id"] = None
    _, out = grouped(tmp_path, frame)
    lone = frame[frame["patient_id"].isna()]["weight"]
    seen = [
        pd.read_parquet(out / f"{split}.parquet")["weight"].isin(lone).sum() for split in SPLITS
    ]
    assert all(seen)


def test_a_patient_in_several_splits_is_said_with_the_setting_that_keeps_them(
    tmp_path: Path,
) -> None:
    summary, _ = built(tmp_path, write(tmp_path, visits()), target="ill")
    assert "--set features.group=patient_id" in summary["headline"]
    own = visits(100).assign(patient_id=[f"P{row}" for row in range(100)])
    summary, _ = built(tmp_path, write(tmp_path, own), target="pulse")
    assert "features.group" not in summary["headline"]


@pytest.mark.parametrize(
    ("features", "said"),
    [({"group": "patient"}, "patient_id"), ({"group": "ill"}, "is the target")],
)
def test_a_group_that_cannot_be_one_is_refused(
    tmp_path: Path, features: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        built(tmp_path, write(tmp_path, visits()), target="ill", **features)


def test_few_groups_are_refused_and_so_is_a_division_by_time_as_well(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="holds 3 groups"):
        grouped(tmp_path, visits(patients=3).assign(ill=["yes", "no"] * 300))
    with pytest.raises(ValidationError, match="one or the other"):
        TabularConfig.model_validate({"features": {"group": "a", "time_column": "b"}})


@pytest.mark.parametrize(("target", "main"), [("ill", "roc_auc"), ("pulse", "mae")])
def test_intervals_rest_on_patients_and_not_on_their_visits(
    tmp_path: Path, one_thread: None, target: str, main: str
) -> None:
    frame = visits()
    number = frame["patient_id"].str[1:].astype(int)
    frame["pulse"] = 60 + number % 7 * 9 + frame["pulse"] % 3
    _, out = grouped(tmp_path, frame, target)
    model = {"kind": "lightgbm", "trees": 20}
    family = Tabular(TabularConfig.model_validate({"features": {"target": target}, "model": model}))
    shutil.copytree(out / "assets", tmp_path / "model/assets")
    family.fit(out, tmp_path / "model", Trainer(0, family.config.training))
    host, run = TabularHost(tmp_path / "model/assets"), family.native(tmp_path / "model")
    patients = family.evaluate(host, run, out)
    (out / "test.groups.npy").unlink()
    rows = family.evaluate(host, run, out)
    assert patients.metrics == rows.metrics
    assert np.diff(patients.intervals[main])[0] > 1.3 * np.diff(rows.intervals[main])[0]
    assert "bootstrap samples of" in " ".join(patients.notes)
    assert "groups" not in " ".join(rows.notes)
