"""A row of a table stays in its split when the table grows: what one model learned from, no later
one is judged on."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.family import Tabular
from tests.unit.tabular.conftest import customers

SPLITS = ("train", "validation", "test")


def divided(folder: Path, frame: pd.DataFrame, seed: int = 0, **features: object) -> dict[str, set]:
    """The incomes of each split, which tell customers apart."""
    raw, out = folder / "raw", folder / "features"
    raw.mkdir(parents=True)
    out.mkdir()
    frame.to_csv(raw / "customers.csv", index=False)
    config = {
        "seed": seed,
        "data": {"uri": "customers.csv"},
        "features": {"target": "churn", "split": "random"} | features,
    }
    Tabular(TabularConfig.model_validate(config)).features(raw, out)
    return {
        split: set(pd.read_parquet(out / f"{split}.parquet").income.dropna()) for split in SPLITS
    }


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    frame = customers(600)
    return frame[frame.income.astype(float).notna()].drop_duplicates("income")


def test_a_grown_and_mixed_table_is_judged_on_nothing_that_trained(table, tmp_path):
    old = divided(tmp_path / "old", table[:450])
    new = divided(tmp_path / "new", table.sample(frac=1.0, random_state=1))
    assert not old["train"] & new["test"]
    assert len(old["test"] & new["test"]) > 0.9 * len(old["test"])
    assert len(new["test"]) == pytest.approx(0.2 * len(table), abs=2)


def test_another_seed_of_the_model_changes_no_split(table, tmp_path):
    assert divided(tmp_path / "0", table) == divided(tmp_path / "1", table, seed=1)


def test_a_group_that_gets_further_rows_stays_where_it_was(table, tmp_path):
    grouped = table.assign(patient=[number % 60 for number in range(len(table))])
    old = divided(tmp_path / "old", grouped[:300], group="patient")
    new = divided(tmp_path / "new", grouped, group="patient")
    assert not old["train"] & new["test"]
