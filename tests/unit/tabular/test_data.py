"""A person's table becomes splits and assets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelyard.errors import UsageError
from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.family import Tabular
from modelyard.families.tabular.host import TabularHost
from modelyard.families.tabular.schema import TableSchema
from modelyard.families.tabular.table import load_split
from modelyard.kit.columns.encode import Encoder
from modelyard.kit.columns.frames import load_columns
from modelyard.kit.splits import load_groups
from modelyard.settings.family import resolve
from tests.unit.tabular.conftest import (
    POSITIVE,
    SPLITS,
    built,
    customers,
    make,
    roles,
    write,
)


def test_each_kind_of_column_is_recognised(tmp_path: Path) -> None:
    summary, out = built(tmp_path, write(tmp_path, customers()), target="churn")
    assert roles(out) == {
        "customer": "drop",
        "age": "numeric",
        "income": "numeric",
        "city": "category",
        "joined": "time",
        "member": "numeric",
        "note": "text",
        "unit": "drop",
    }
    schema = TableSchema.load(out / "assets")
    assert next(c for c in schema.columns if c.name == "member").boolean
    assert schema.dropped == {
        "customer": "nearly every value is different (id-like)",
        "unit": "constant",
    }
    assert summary["dropped"] == {
        "columns: nearly every value is different (id-like)": 1,
        "columns: constant": 1,
    }
    assert summary["headline"] == "400 rows × 6 columns, 2 classes" + POSITIVE
    assert sum(summary["rows"].values()) == 400
    json.dumps(summary, allow_nan=False)


def test_codes_stay_text_and_numbers_with_several_units_are_left_out_with_a_word(
    tmp_path: Path,
) -> None:
    frame = customers().assign(
        zip=[f"{n % 30:05d}" for n in range(400)],
        weight=[f"{n / 8} {('kg', 'lb')[n % 2]}" for n in range(400)],
        order_id=np.random.default_rng(0).permutation(10**6)[:400],
        score=np.random.default_rng(1).permutation(10**6)[:400],
    )
    _, out = built(tmp_path, write(tmp_path, frame), target="churn")
    found = roles(out)
    assert (found["zip"], found["weight"], found["order_id"], found["score"]) == (
        "category",
        "drop",
        "drop",
        "numeric",
    )
    assert "units" in TableSchema.load(out / "assets").dropped["weight"]
    assert "00007" in set(pd.read_parquet(out / "train.parquet")["zip"])


def test_splits_are_disjoint_stratified_and_follow_the_seed(tmp_path: Path) -> None:
    file = write(tmp_path, customers())
    _, out = built(tmp_path, file, target="churn")
    whole = pd.concat([pd.read_parquet(out / f"{split}.parquet") for split in SPLITS])
    assert len(whole.drop_duplicates()) == 400
    shares = [load_split(out, split)[1].mean() for split in SPLITS]
    assert max(shares) - min(shares) < 0.02
    again = tmp_path / "again"
    again.mkdir()
    make(target="churn").features(file, again)
    assert np.array_equal(load_split(out, "test")[0], load_split(again, "test")[0])


def test_the_rarer_of_two_classes_is_the_positive_one_unless_another_is_named(
    tmp_path: Path,
) -> None:
    file = write(tmp_path, customers())
    built(tmp_path, file, target="churn")
    assert TableSchema.load(tmp_path / "features/assets").classes == ["stayed", "left"]
    config = {"features": {"target": "churn", "positive": "stayed"}, "data": {"uri": "mine"}}
    Tabular(resolve(TabularConfig, ("--set", config))).features(file, tmp_path / "features")
    assert TableSchema.load(tmp_path / "features/assets").classes == ["left", "stayed"]
    config["features"]["positive"] = "gone"
    with pytest.raises(UsageError, match=r"class 'gone' is unknown.*left, stayed"):
        Tabular(resolve(TabularConfig, ("--set", config))).features(file, tmp_path / "features")


def test_nothing_of_the_test_rows_reaches_the_encoders(tmp_path: Path) -> None:
    frame = customers()
    frame["joined"] = pd.to_datetime(frame["joined"])
    late = frame["joined"] >= frame["joined"].quantile(0.81)
    altered = frame.copy()
    altered.loc[late, "income"] = 1e9
    altered.loc[late, "city"] = "Rome"
    altered.loc[late, "note"] = "entirely unheard of sentence number " + altered.loc[
        late
    ].index.astype(str)
    texts = []
    for variant in (frame, altered):
        _, out = built(tmp_path, write(tmp_path, variant), target="churn", time_column="joined")
        texts.append((out / "assets/encoders.json").read_text())
    assert texts[0] == texts[1]


def test_dividing_by_time_puts_the_latest_rows_last(tmp_path: Path) -> None:
    _, out = built(tmp_path, write(tmp_path, customers()), target="churn", time_column="joined")
    times = [pd.read_parquet(out / f"{split}.parquet")["joined"] for split in SPLITS]
    assert times[0].max() < times[1].min() < times[1].max() < times[2].min()


def test_rows_of_one_time_stay_in_one_split(tmp_path: Path) -> None:
    frame = customers().assign(week=np.arange(400) // 40)
    _, out = built(tmp_path, write(tmp_path, frame), target="churn", time_column="week")
    weeks = [set(pd.read_parquet(out / f"{split}.parquet")["week"]) for split in SPLITS]
    assert sum(len(week) for week in weeks) == len(set.union(*weeks)) == 10


def test_saved_inputs_are_what_the_saved_encoder_makes_of_the_saved_rows(tmp_path: Path) -> None:
    _, out = built(tmp_path, write(tmp_path, customers()), target="churn")
    encoder, schema = Encoder.load(out / "assets"), TableSchema.load(out / "assets")
    for split in SPLITS:
        x, y = load_split(out, split)
        assert np.array_equal(encoder.transform(load_columns(out, split, schema)), x)
        assert x.dtype == np.float32
        assert y.dtype == np.int64
        assert np.isfinite(x).all()


def test_rows_without_a_target_are_counted(tmp_path: Path) -> None:
    frame = customers()
    frame.loc[:9, "churn"] = None
    summary, _ = built(tmp_path, write(tmp_path, frame), target="churn")
    assert summary["dropped"]["without churn"] == 10
    assert sum(summary["rows"].values()) == 390


def test_copies_and_giveaways_are_told_and_no_copy_is_judged_on_that_was_learnt(
    tmp_path: Path,
) -> None:
    frame = customers(200).drop(columns="customer")
    frame["reason"] = frame["churn"].map({"left": "cancelled", "stayed": "none given"})
    summary, out = built(tmp_path, write(tmp_path, pd.concat([frame, frame])), target="churn")
    notes = " ".join(summary["warnings"])
    assert "200 of 400 rows are copies of others; they are in the split of these" in notes
    parts = [pd.read_parquet(out / f"{split}.parquet") for split in SPLITS]
    assert [len(part.drop_duplicates()) for part in parts] == [len(part) / 2 for part in parts]
    groups = load_groups(out, "test")
    assert groups is not None
    assert len(np.unique(groups)) == len(groups) / 2
    assert "reason by itself determines churn" in notes
    clean, _ = built(tmp_path, write(tmp_path, customers()), target="churn")
    assert clean["warnings"] == []


def test_numeric_targets_with_few_values_are_classes_in_order(tmp_path: Path) -> None:
    frame = customers().assign(stars=np.arange(400) % 11)
    summary, out = built(tmp_path, write(tmp_path, frame), target="stars")
    assert summary["task"] == "classification"
    assert TableSchema.load(out / "assets").classes == [str(n) for n in range(11)]
    summary, _ = built(tmp_path, write(tmp_path, frame), target="stars", task="regression")
    assert summary["task"] == "regression"


def test_requests_are_valid_bodies_in_the_order_of_the_split(tmp_path: Path) -> None:
    _, out = built(tmp_path, write(tmp_path, customers()), target="churn")
    family = make(target="churn")
    bodies = json.loads(json.dumps(family.requests(out, "test"), allow_nan=False))
    host = TabularHost(out / "assets")
    requests = [host.Request.model_validate(body) for body in bodies]
    assert np.array_equal(
        host.encoder.transform(host.columns(requests)), load_split(out, "test")[0]
    )  # type: ignore[attr-defined]
    assert len(family.requests(out, "test", 3)) == 3
    assert any(body["city"] is None for body in bodies)


@pytest.mark.parametrize(
    ("name", "rows", "task"),
    [
        ("breast_cancer", 569, "classification"),
        ("diabetes", 442, "regression"),
        ("fraud", 3000, "classification"),
    ],
)
def test_samples_pass_through(tmp_path: Path, name: str, rows: int, task: str) -> None:
    family = make(uri=None, sample=name, sample_rows=3000)
    family.sample(tmp_path / "raw")
    summary = family.features(tmp_path / "raw", tmp_path)
    assert sum(summary["rows"].values()) == rows
    assert summary["task"] == task
    positive = {"breast_cancer": ["benign", "malignant"], "diabetes": [], "fraud": ["no", "yes"]}[
        name
    ]
    assert (TableSchema.load(tmp_path / "assets").classes or []) == positive


def test_simulated_fraud_follows_its_seed_and_drifts_on_demand(tmp_path: Path) -> None:
    frames = {}
    for key, drift, seed in (
        ("usual", 0.0, 0),
        ("same", 0.0, 0),
        ("other", 0.0, 1),
        ("drifted", 0.6, 1),
    ):
        config = {
            "features": {"sample": "fraud", "sample_rows": 6000, "sample_drift": drift},
            "seed": seed,
        }
        Tabular(resolve(TabularConfig, ("--set", config))).sample(tmp_path / key)
        frames[key] = pd.read_csv(tmp_path / key / "data.csv")
    assert frames["usual"].equals(frames["same"])
    assert not frames["usual"].equals(frames["other"])
    assert 0.015 < (frames["usual"]["fraud"] == "yes").mean() < 0.04
    assert abs(frames["usual"]["amount"].median() / frames["other"]["amount"].median() - 1) < 0.1
    assert frames["drifted"]["amount"].median() > 1.3 * frames["usual"]["amount"].median()
    assert (frames["drifted"]["country"] == "DE").mean() < (
        frames["usual"]["country"] == "DE"
    ).mean() - 0.1
