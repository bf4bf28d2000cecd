"""Tables as people save them: separators, encodings, quotes, parts, Parquet."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelyard.families.tabular.schema import TableSchema
from modelyard.families.tabular.table import load_split
from modelyard.kit.columns.encode import Encoder
from modelyard.kit.columns.frames import load_columns
from tests.unit.tabular.conftest import SPLITS, built, customers, further, make, roles, write


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_separators_are_found_out(tmp_path: Path, separator: str) -> None:
    summary, out = built(tmp_path, write(tmp_path, customers(), sep=separator), target="churn")
    assert roles(out)["income"] == "numeric"
    assert any("separated by" in note for note in summary["notes"])


def test_decimal_commas_are_numbers(tmp_path: Path) -> None:
    _, out = built(tmp_path, write(tmp_path, customers(), sep=";", decimal=","), target="churn")
    income = pd.concat([pd.read_parquet(out / f"{split}.parquet")["income"] for split in SPLITS])
    assert np.isclose(income.sum(), customers()["income"].sum())


@pytest.mark.parametrize(
    ("encoding", "note"), [("utf-8-sig", ""), ("cp1252", "Windows-1252"), ("utf-16", "UTF-16")]
)
def test_letters_survive_every_encoding(tmp_path: Path, encoding: str, note: str) -> None:
    summary, out = built(tmp_path, write(tmp_path, customers(), encoding=encoding), target="churn")
    assert "Köln" in set(pd.read_parquet(out / "train.parquet")["city"])
    assert note in " ".join(summary["notes"])
    assert bool(further(summary["notes"])) == bool(note)


def test_quoted_cells_keep_separators_quotes_and_line_breaks(tmp_path: Path) -> None:
    frame = customers()
    frame["note"] = [f'{note}, "so it was"\nsigned' for note in frame["note"]]
    _, out = built(tmp_path, write(tmp_path, frame), target="churn")
    assert (
        pd.read_parquet(out / "train.parquet")["note"].str.endswith(', "so it was"\nsigned').all()
    )


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
    frame["joined"] = pd.to_datetime(frame["joined"]) + pd.Timedelta(1, "ns")
    frame["member"] = (
        frame["member"].map({"true": True, "false": False, "": None}).astype("boolean")
    )
    frame["city"] = frame["city"].astype("category")
    frame["visits"] = pd.array([None, *range(399)], "Int64")
    frame["tags"] = [["a"]] * 400
    frame["nothing"] = None
    file = tmp_path / "table.parquet"
    frame.to_parquet(file)
    summary, out = built(tmp_path, file, target="income")
    assert summary["task"] == "regression"
    assert summary["dropped"]["without income"] == int(frame["income"].isna().sum())
    assert summary["dropped"]["columns: holds values of type list<element: string>"] == 1
    assert summary["dropped"]["columns: all cells are empty"] == 1
    x, y = load_split(out, "train")
    assert y.dtype == np.float64
    assert np.isfinite(x).all()
    body = make(target="income").requests(out, "train", 1)[0]
    assert {name: type(body[name]) for name in ("age", "member", "joined")} == {
        "age": int,
        "member": bool,
        "joined": str,
    }


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
