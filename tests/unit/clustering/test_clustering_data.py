"""Tables to distances: what is left out, what counts how much, and labels that only judge."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from modelyard.errors import BadData, UsageError
from modelyard.families.clustering.evaluate import load_split
from tests.unit.clustering.conftest import blobs, fit, make, written


def prepared(frame, tmp_path, **settings):
    family = make(**settings)
    out = tmp_path / "features"
    out.mkdir()
    return family.features(written(frame, tmp_path / "raw"), out), out


def mixed(rows=200):
    r = np.random.default_rng(0)
    days = pd.to_timedelta(r.integers(0, 900, rows), unit="D")
    return pd.DataFrame(
        {
            "customer": [f"C{n:05d}" for n in r.permutation(rows)],
            "income": r.lognormal(10, 1, rows),
            "city": r.choice(["Paris", "Oslo"], rows),
            "member": r.choice(["true", "false"], rows),
            "joined": (pd.Timestamp("2024-01-01") + days).strftime("%Y-%m-%d"),
            "nothing": [None] * rows,
            "same": ["x"] * rows,
        }
    )


@pytest.mark.parametrize("kind", ["kmeans", "gmm", "dbscan", "hdbscan"])
def test_labels_change_no_byte_of_a_model(kind, tmp_path):
    frame = blobs(120, 3)
    found = {}
    for name, label in {
        "true": frame["label"],
        "other": frame["label"].sample(frac=1, random_state=1).to_numpy(),
        "none": None,
    }.items():
        table = frame.drop(columns="label") if label is None else frame.assign(label=label)
        fitted = fit(table, tmp_path / name, kind=kind)
        files = [fitted.model / "model.npz", *sorted((fitted.model / "assets").iterdir())]
        found[name] = {file.name: file.read_bytes() for file in files}
    assert found["true"] == found["other"] == found["none"]


def test_a_column_called_label_judges_and_is_no_input(tmp_path):
    summary, out = prepared(blobs().rename(columns={"label": "Label"}), tmp_path)
    assert summary["headline"] == "240 rows × 3 columns; Label (4 labels) only judges"
    schema = json.loads((out / "assets" / "schema.json").read_text())
    assert [column["name"] for column in schema["columns"]] == ["a", "b", "c"]
    assert sorted(set(load_split(out, "test")["label"])) == [0, 1, 2, 3]


def test_another_column_of_labels_is_named(tmp_path):
    frame = blobs().rename(columns={"label": "segment"})
    frame.loc[:9, "segment"] = None
    summary, _ = prepared(frame, tmp_path, label="segment")
    assert summary["headline"].endswith("; segment (4 labels, 10 rows without) only judges")


def test_a_column_that_is_no_label_is_not_judged_by(tmp_path):
    frame = blobs().assign(label=np.arange(240) / 7)
    summary, out = prepared(frame, tmp_path)
    assert summary["headline"].endswith("; label is no label: 240 different values")
    assert len(load_split(out, "test")["labels"]) == 0


def test_ids_constants_and_empty_columns_are_left_out_and_named(tmp_path):
    summary, _ = prepared(mixed(), tmp_path)
    assert summary["left_out"] == ["customer", "nothing", "same"]
    assert summary["headline"] == "200 rows × 4 columns; no column of labels"


def test_columns_of_every_kind_count_alike(tmp_path):
    """Two rows at random differ by about 2 in the square of each column."""
    fitted = fit(mixed(2000), tmp_path, clusters=2, numeric="log")
    z, groups = fitted.scaled("train"), fitted.host.encoder.groups
    for name in ("income", "city", "member", "joined"):
        apart = ((z[:600, groups[name]] - z[600:1200, groups[name]]) ** 2).sum(axis=1)
        # Two equal halves of a category differ in every other pair.
        expected = 1.0 if name in ("city", "member") else 2.0
        assert apart.mean() == pytest.approx(expected, rel=0.15), name


def test_numbers_in_their_own_unit_are_not_scaled(tmp_path):
    _, out = prepared(blobs(), tmp_path, numeric="identity")
    x = load_split(out, "train")["x"]
    assert x.std(axis=0).min() > 1.5
    with np.load(out / "assets" / "scale.npz") as scale:
        assert (scale["weight"] == 1).all()


def test_what_is_fitted_is_fitted_on_training_rows(tmp_path):
    frame = blobs(100, 2)
    frame.loc[3, "a"] = np.nan
    _, out = prepared(frame, tmp_path)
    encoders = json.loads((out / "assets" / "encoders.json").read_text())
    train = pd.read_parquet(out / "train.parquet")["a"].dropna()
    (part,) = [part for part in encoders if part["column"] == "a"]
    assert part["median"] == pytest.approx(train.median())
    assert part["center"] == pytest.approx(train.mean())


def test_an_edited_schema_binds(tmp_path):
    raw = written(mixed(), tmp_path / "raw")
    columns = [{"name": "income", "role": "drop"}, {"name": "city", "description": "home"}]
    (raw / "schema.json").write_text(json.dumps({"columns": columns}))
    (tmp_path / "out").mkdir()
    summary = make().features(raw, tmp_path / "out")
    assert "income" in summary["left_out"]
    schema = json.loads((tmp_path / "out" / "assets" / "schema.json").read_text())
    assert {"home"} == {c["description"] for c in schema["columns"] if c["name"] == "city"}


def test_a_schema_that_predicts_is_refused(tmp_path):
    raw = written(mixed(), tmp_path / "raw")
    (raw / "schema.json").write_text(json.dumps({"target": "city", "columns": []}))
    with pytest.raises(BadData, match=r"schema\.json: field 'target': clusters predict nothing"):
        make().features(raw, tmp_path / "out")


BROKEN = {
    "empty file": ("", "the file is empty"),
    "header only": ("a,b\n", "a header but no row"),
    "one column of text": ("a\n" + "x\n" * 30, "only one column was found"),
    "ragged row": ("a,b\n" + "1,2\n" * 25 + "1,2,3\n", "row 26"),
    "three rows": ("a,b\n1,2\n3,4\n5,6\n", "3 rows can be used; at least 20 are needed"),
    "nothing but constants": ("a,b\n" + "1,x\n" * 30, "no column is left to compare rows by"),
    "nothing but labels": (
        "label,b\n" + "".join(f"{row % 3},x\n" for row in range(30)),
        "no column is left to compare rows by (b: constant)",
    ),
    "an infinite number": (
        "a,b\n" + "".join(f"{row},{row % 7}.5\n" for row in range(30)) + "inf,2.5\n",
        "row 31, column 'a'",
    ),
    "a word among numbers": (
        "a,b\n" + "".join(f"{row}.5,{row % 7}.5\n" for row in range(30)) + "lots,2.5\n",
        "'lots'",
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_table_is_refused_in_one_line(broken, tmp_path):
    content, said = BROKEN[broken]
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "data.csv").write_text(content)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(BadData) as error:
        make().features(raw, out)
    assert said in str(error.value)
    assert "data.csv" in str(error.value)
    assert "\n" not in str(error.value)


def test_training_rows_that_are_all_the_same_are_refused(tmp_path):
    frame = pd.DataFrame({"a": [1.5] * 41, "b": [2.5] * 41})
    # The only other row is one of the test split's.
    frame.loc[np.random.default_rng(0).permutation(41)[0], "b"] = 7.5
    with pytest.raises(BadData, match=r"data\.csv: all 27 training rows are the same"):
        prepared(frame, tmp_path)


@pytest.mark.parametrize("setting", ["label", "drop"])
def test_a_setting_that_names_no_column_is_refused_before_a_run(setting, tmp_path):
    raw = written(blobs(), tmp_path / "raw")
    family = make(**{setting: "seg" if setting == "label" else ["seg"]})
    with pytest.raises(UsageError, match=rf"features\.{setting}.*'seg' is not in the table"):
        family.check(raw / "data.csv")


def test_a_word_for_an_empty_cell_may_be_left_out_of_a_request(tmp_path):
    frame = blobs(90, 3).astype({"a": str})
    frame.loc[::2, "a"] = "none"
    found = fit(frame, tmp_path, clusters=3)
    host, bodies = found.host, found.family.requests(found.features, "test")
    assert None in [body["a"] for body in bodies]
    answers = host.predict(found.onnx(), [host.Request.model_validate(body) for body in bodies])
    assert len(answers) == len(bodies)


def test_copies_are_counted_and_those_that_training_has_are_said(tmp_path):
    frame = pd.concat([blobs(60, 2)] * 3, ignore_index=True)
    summary, _ = prepared(frame, tmp_path)
    assert "120 of 180 rows are copies of others" in summary["warnings"][0]
    # Of few different rows equal ones are no copies.
    few = pd.DataFrame({"kind": ["a", "b", "c"] * 60, "size": [1, 2, 3, 4] * 45})
    (tmp_path / "few").mkdir()
    summary, _ = prepared(few, tmp_path / "few")
    assert "exact copies of training rows" in summary["warnings"][0]
