"""A person's table becomes splits and assets."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from modelyard.config import resolve
from modelyard.errors import BadData, UsageError
from modelyard.families.tabular import Tabular
from modelyard.families.tabular.data import load_columns
from modelyard.families.tabular.encode import Encoder
from modelyard.families.tabular.schema import TableSchema, write_back
from modelyard.families.tabular.splits import load_split

WORDS = ["late", "parcel", "broken", "box", "friendly", "call", "refund", "order", "quick", "wrong", "size", "again"]
SPLITS = ("train", "validation", "test")


def make(uri: str | None = "mine", **features: Any) -> Tabular:
    return Tabular(resolve(Tabular.Config, ("--set", {"features": features, "data": {"uri": uri}})))


def customers(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    r = np.random.default_rng(seed)
    days = pd.to_timedelta(r.integers(0, 700 * 86_400, rows), unit="s")
    frame = pd.DataFrame(
        {
            "customer": [f"C{n:06d}" for n in r.permutation(rows)],
            "age": r.integers(18, 90, rows),
            "income": np.round(r.lognormal(10, 0.6, rows), 2),
            "city": r.choice(["Paris", "Köln", "Oslo"], rows, p=[0.5, 0.3, 0.2]),
            "joined": (pd.Timestamp("2024-01-01") + days).strftime("%Y-%m-%dT%H:%M:%S"),
            "member": r.choice(["true", "false"], rows),
            "note": [" ".join(r.choice(WORDS, 6)) for _ in range(rows)],
            "unit": "EUR",
        }
    )
    frame.loc[r.random(rows) < 0.1, "income"] = np.nan
    frame.loc[r.random(rows) < 0.1, "city"] = None
    frame["churn"] = np.where(r.random(rows) < 0.15 + 0.3 * (frame["age"] < 30), "left", "stayed")
    return frame


def built(tmp_path: Path, data: Path, **features: Any) -> tuple[dict[str, Any], Path]:
    out = tmp_path / "features"
    out.mkdir(exist_ok=True)
    return make(**features).features(data, out), out


def write(tmp_path: Path, frame: pd.DataFrame, **options: Any) -> Path:
    file = tmp_path / "raw" / "customers.csv"
    file.parent.mkdir(exist_ok=True)
    frame.to_csv(file, index=False, **options)
    return file


def roles(out: Path) -> dict[str, str]:
    return {column.name: column.role for column in TableSchema.load(out / "assets").columns}


def test_each_kind_of_column_is_recognised(tmp_path: Path) -> None:
    summary, out = built(tmp_path, write(tmp_path, customers()), target="churn")
    assert roles(out) == {
        "customer": "drop", "age": "numeric", "income": "numeric", "city": "category", "joined": "time",
        "member": "numeric", "note": "text", "unit": "drop",
    }  # fmt: skip
    schema = TableSchema.load(out / "assets")
    assert next(c for c in schema.columns if c.name == "member").boolean
    assert schema.dropped == {"customer": "nearly every value is different (id-like)", "unit": "constant"}
    assert summary["dropped"] == {"columns: nearly every value is different (id-like)": 1, "columns: constant": 1}
    assert summary["headline"] == "400 rows × 6 columns, 2 classes"
    assert sum(summary["rows"].values()) == 400
    json.dumps(summary, allow_nan=False)


def test_codes_stay_text_and_numbers_with_units_are_left_out_with_a_word(tmp_path: Path) -> None:
    frame = customers().assign(
        zip=[f"{n % 30:05d}" for n in range(400)],
        weight=[f"{n / 8} kg" for n in range(400)],
        order_id=np.random.default_rng(0).permutation(10**6)[:400],
        score=np.random.default_rng(1).permutation(10**6)[:400],
    )
    _, out = built(tmp_path, write(tmp_path, frame), target="churn")
    found = roles(out)
    assert (found["zip"], found["weight"], found["order_id"], found["score"]) == ("category", "drop", "drop", "numeric")
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


def test_the_rarer_of_two_classes_is_the_positive_one_unless_another_is_named(tmp_path: Path) -> None:
    file = write(tmp_path, customers())
    built(tmp_path, file, target="churn")
    assert TableSchema.load(tmp_path / "features/assets").classes == ["stayed", "left"]
    config = {"features": {"target": "churn", "positive": "stayed"}, "data": {"uri": "mine"}}
    Tabular(resolve(Tabular.Config, ("--set", config))).features(file, tmp_path / "features")
    assert TableSchema.load(tmp_path / "features/assets").classes == ["left", "stayed"]
    config["features"]["positive"] = "gone"
    with pytest.raises(UsageError, match=r"class 'gone' is unknown.*left, stayed"):
        Tabular(resolve(Tabular.Config, ("--set", config))).features(file, tmp_path / "features")


def test_nothing_of_the_test_rows_reaches_the_encoders(tmp_path: Path) -> None:
    frame = customers()
    frame["joined"] = pd.to_datetime(frame["joined"])
    late = frame["joined"] >= frame["joined"].quantile(0.81)
    altered = frame.copy()
    altered.loc[late, "income"] = 1e9
    altered.loc[late, "city"] = "Rome"
    altered.loc[late, "note"] = "entirely unheard of sentence number " + altered.loc[late].index.astype(str)
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
    assert summary["dropped"]["rows without churn"] == 10
    assert sum(summary["rows"].values()) == 390


def test_duplicates_across_splits_and_giveaways_are_told(tmp_path: Path) -> None:
    frame = customers(200).drop(columns="customer")
    frame["reason"] = frame["churn"].map({"left": "cancelled", "stayed": "none given"})
    summary, _ = built(tmp_path, write(tmp_path, pd.concat([frame, frame])), target="churn")
    notes = " ".join(summary["notes"])
    assert "also stand in the training split" in notes
    assert "reason alone determines churn" in notes
    clean, _ = built(tmp_path, write(tmp_path, customers()), target="churn")
    assert clean["notes"] == []


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_separators_are_found_out(tmp_path: Path, separator: str) -> None:
    summary, out = built(tmp_path, write(tmp_path, customers(), sep=separator), target="churn")
    assert roles(out)["income"] == "numeric"
    assert any("separated by" in note for note in summary["notes"])


def test_decimal_commas_are_numbers(tmp_path: Path) -> None:
    _, out = built(tmp_path, write(tmp_path, customers(), sep=";", decimal=","), target="churn")
    income = pd.concat([pd.read_parquet(out / f"{split}.parquet")["income"] for split in SPLITS])
    assert np.isclose(income.sum(), customers()["income"].sum())


@pytest.mark.parametrize(("encoding", "note"), [("utf-8-sig", ""), ("cp1252", "Windows-1252"), ("utf-16", "UTF-16")])
def test_letters_survive_every_encoding(tmp_path: Path, encoding: str, note: str) -> None:
    summary, out = built(tmp_path, write(tmp_path, customers(), encoding=encoding), target="churn")
    assert "Köln" in set(pd.read_parquet(out / "train.parquet")["city"])
    assert note in " ".join(summary["notes"])
    assert bool(summary["notes"]) == bool(note)


def test_quoted_cells_keep_separators_quotes_and_line_breaks(tmp_path: Path) -> None:
    frame = customers()
    frame["note"] = [f'{note}, "so it was"\nsigned' for note in frame["note"]]
    _, out = built(tmp_path, write(tmp_path, frame), target="churn")
    assert pd.read_parquet(out / "train.parquet")["note"].str.endswith(', "so it was"\nsigned').all()


def test_a_folder_of_csv_gz_parts_is_one_table(tmp_path: Path) -> None:
    raw, frame = tmp_path / "raw", customers()
    raw.mkdir()
    for part in range(2):
        text = frame.iloc[part::2].to_csv(index=False)
        (raw / f"part{part}.csv.gz").write_bytes(gzip.compress(text.encode()))
    (raw / "README.md").write_text("about the data")
    summary, _ = built(tmp_path, raw, target="churn")
    assert sum(summary["rows"].values()) == 400


def test_a_parquet_regression_keeps_its_types(tmp_path: Path) -> None:
    frame = customers()
    frame["joined"] = pd.to_datetime(frame["joined"])
    frame["member"] = frame["member"].map({"true": True, "false": False, "": None}).astype("boolean")
    frame["city"] = frame["city"].astype("category")
    frame["visits"] = pd.array([None, *range(399)], "Int64")
    frame["tags"] = [["a"]] * 400
    file = tmp_path / "table.parquet"
    frame.to_parquet(file)
    summary, out = built(tmp_path, file, target="income")
    assert summary["task"] == "regression"
    assert summary["dropped"]["rows without income"] == int(frame["income"].isna().sum())
    assert summary["dropped"]["columns: holds values of type list<element: string>"] == 1
    x, y = load_split(out, "train")
    assert y.dtype == np.float32
    assert np.isfinite(x).all()
    body = make(target="income").requests(out, "train", 1)[0]
    assert {name: type(body[name]) for name in ("age", "member", "joined")} == {
        "age": int, "member": bool, "joined": str,
    }  # fmt: skip


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
    host = family.host(out / "assets")
    requests = [host.Request.model_validate(body) for body in bodies]
    assert np.array_equal(host.encoder.transform(host.columns(requests)), load_split(out, "test")[0])  # type: ignore[attr-defined]
    assert len(family.requests(out, "test", 3)) == 3
    assert any(body["city"] is None for body in bodies)


def test_an_edited_schema_beside_the_data_is_followed(tmp_path: Path) -> None:
    file = write(tmp_path, customers())
    _, out = built(tmp_path, file, target="churn")
    (written,) = write_back(out, file)
    assert written.name == "customers.schema.json"
    schema = json.loads(written.read_text())
    for column in schema["columns"]:
        if column["name"] == "age":
            column.update(role="category", transform=None)
        if column["name"] == "income":
            column.update(transform="log", description="before tax, EUR a year")
        if column["name"] == "note":
            column.update(role="drop", transform=None)
    written.write_text(json.dumps(schema))
    summary, out = built(tmp_path, file)
    assert roles(out) | {"age": "category", "note": "drop"} == roles(out)
    income = next(c for c in TableSchema.load(out / "assets").columns if c.name == "income")
    assert (income.transform, income.description) == ("log", "before tax, EUR a year")
    assert any("follow customers.schema.json" in note for note in summary["notes"])
    raw_folder, _ = built(tmp_path, file.parent)
    assert raw_folder["columns"] == summary["columns"]


def test_a_schema_may_name_some_columns_only(tmp_path: Path) -> None:
    frame = customers()
    frame["grade"] = np.random.default_rng(0).choice(["low", "middle", "high"], 400)
    schema = tmp_path / "mine.json"
    choices = ["low", "middle", "high"]
    column = {"name": "grade", "role": "category", "transform": "ordinal", "choices": choices}
    schema.write_text(json.dumps({"columns": [column]}))
    _, out = built(tmp_path, write(tmp_path, frame), target="churn", table_schema=str(schema))
    part = Encoder.load(out / "assets").parts["grade"]
    assert part.categories == choices  # type: ignore[union-attr]
    assert part.names == ["grade: rank", "grade=(other)"]


def test_a_new_role_alone_brings_its_own_transform(tmp_path: Path) -> None:
    file = write(tmp_path, customers())
    (file.parent / "schema.json").write_text('{"columns": [{"name": "age", "role": "category"}]}')
    _, out = built(tmp_path, file, target="churn")
    age = next(column for column in TableSchema.load(out / "assets").columns if column.name == "age")
    assert (age.role, age.transform) == ("category", "onehot")
    member = {"columns": [{"name": "member", "role": "category"}]}
    (file.parent / "schema.json").write_text(json.dumps(member))
    _, out = built(tmp_path, file, target="churn")
    assert set(pd.read_parquet(out / "train.parquet")["member"]) == {"true", "false"}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ('{"columns": [{"name": "age", "role": "number"}]}', "column 'age': role 'number' is unknown.*numeric"),
        ('{"columns": [{"name": "age", "transform": "onehot"}]}', "'age'.*'onehot' does not suit role 'numeric'"),
        ('{"columns": [{"name": "age", "rule": 1}]}', "column 'age': field 'rule' is unknown.*'role'"),
        ('{"columns": [{"name": "Age"}]}', "column 'Age': the schema names a column.*Did you mean 'age'"),
        ('{"columns": [{"role": "text"}]}', r"columns\[0\] must be an object with a 'name'"),
        ('{"columns": [{"name": "age", "nullable": "perhaps"}]}', "column 'age': field 'nullable' = 'perhaps'"),
        ('{"kolumns": []}', "field 'kolumns' is unknown. Did you mean 'columns'"),
        ('{"task": "guess"}', "task 'guess' is unknown"),
        ('{"classes": ["left", "lost"]}', "schema's classes are left, lost, the data's left, stayed"),
        ('{"columns": [{"name": "city", "nullable": false}]}', "column 'city': the cell is empty"),
        ("{", "is not JSON"),
    ],
)
def test_a_wrong_schema_is_told_by_field(tmp_path: Path, schema: str, said: str) -> None:
    file = write(tmp_path, customers())
    (file.parent / "schema.json").write_text(schema)
    with pytest.raises(BadData, match=said):
        built(tmp_path, file, target="churn")


def test_fifty_thousand_mixed_rows_take_seconds(tmp_path: Path) -> None:
    file = write(tmp_path, customers(50_000))
    start = time.process_time()
    summary, out = built(tmp_path, file, target="churn")
    assert time.process_time() - start < 10
    assert summary["rows"] == {"train": 32_500, "validation": 7_500, "test": 10_000}
    schema = TableSchema.load(out / "assets")
    columns = load_columns(out, "train", schema)
    start = time.process_time()
    encoder = Encoder.fit(columns, schema, make().config.features)
    assert np.array_equal(encoder.transform(columns), load_split(out, "train")[0])
    assert time.process_time() - start < 5


@pytest.mark.parametrize(("name", "rows", "task"), [
    ("breast_cancer", 569, "classification"), ("diabetes", 442, "regression"), ("fraud", 3000, "classification"),
])  # fmt: skip
def test_samples_pass_through(tmp_path: Path, name: str, rows: int, task: str) -> None:
    family = make(uri=None, sample=name, sample_rows=3000)
    family.sample(tmp_path / "raw")
    summary = family.features(tmp_path / "raw", tmp_path)
    assert sum(summary["rows"].values()) == rows
    assert summary["task"] == task
    positive = {"breast_cancer": ["benign", "malignant"], "diabetes": [], "fraud": ["no", "yes"]}[name]
    assert (TableSchema.load(tmp_path / "assets").classes or []) == positive


def test_simulated_fraud_follows_its_seed_and_drifts_on_demand(tmp_path: Path) -> None:
    frames = {}
    for key, drift, seed in (("usual", 0.0, 0), ("same", 0.0, 0), ("other", 0.0, 1), ("drifted", 0.6, 1)):
        config = {"features": {"sample": "fraud", "sample_rows": 6000, "sample_drift": drift}, "seed": seed}
        Tabular(resolve(Tabular.Config, ("--set", config))).sample(tmp_path / key)
        frames[key] = pd.read_csv(tmp_path / key / "data.csv")
    assert frames["usual"].equals(frames["same"])
    assert not frames["usual"].equals(frames["other"])
    assert 0.015 < (frames["usual"]["fraud"] == "yes").mean() < 0.04
    assert abs(frames["usual"]["amount"].median() / frames["other"]["amount"].median() - 1) < 0.1
    assert frames["drifted"]["amount"].median() > 1.3 * frames["usual"]["amount"].median()
    assert (frames["drifted"]["country"] == "DE").mean() < (frames["usual"]["country"] == "DE").mean() - 0.1
