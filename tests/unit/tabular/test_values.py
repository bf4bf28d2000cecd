"""Codes, words among numbers, large numbers and notations keep their values, from a person's file to
a request."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from pydantic import ValidationError

from modelyard.errors import BadData
from modelyard.families.tabular.host import TabularHost
from modelyard.families.tabular.schema import TableSchema
from modelyard.families.tabular.table import load_split
from modelyard.kit.columns.encode import Encoder
from modelyard.kit.columns.frames import load_columns
from modelyard.kit.columns.rows import read_rows
from modelyard.kit.columns.schema import Column
from modelyard.runtimes.types import Arrays
from modelyard.serving.problems import Reader, Refusal
from tests.unit.tabular.conftest import SPLITS, built, customers, make, write

LONG = 1582218195625938000


def with_cells(cells: list[Any] | np.ndarray, rows: int = 400) -> pd.DataFrame:
    return customers(rows)[["age", "churn"]].assign(x=cells)


def column_of(tmp_path: Path, cells: list[Any] | np.ndarray, **options: Any) -> Column:
    """What a column of a table is taken for; its reason as description where it is dropped."""
    frame = with_cells(cells, len(cells))
    _, out = built(tmp_path, write(tmp_path, frame, **options), target="churn")
    schema = TableSchema.load(out / "assets")
    (column,) = (column for column in schema.columns if column.name == "x")
    return column.model_copy(update={"description": schema.dropped.get("x", "")})


def values(out: Path, name: str = "x") -> pd.Series:
    return pd.concat([pd.read_parquet(out / f"{split}.parquet")[name] for split in SPLITS])


def cycled(*cells: str) -> list[str]:
    return [cells[n % len(cells)] for n in range(400)]


@pytest.mark.parametrize(
    "cells",
    [
        cycled("250.00", "410.9", "038.11", "007.1"),
        cycled("99084", "02134", "10115"),
        cycled("004", "6", "10", "5"),
        cycled("038,11", "410,9", "250,00"),
        cycled("00", "1", "2", "31.5"),
    ],
)
def test_codes_with_a_leading_zero_stay_text(tmp_path: Path, cells: list[str]) -> None:
    summary, out = built(tmp_path, write(tmp_path, with_cells(cells), sep=";"), target="churn")
    assert set(values(out)) == set(cells)
    assert any("x: taken for codes, not numbers: '0" in note for note in summary["notes"])


@pytest.mark.parametrize(
    ("cells", "role"),
    [
        (cycled("0.5", "0", "-0.1", "0.0", "12"), "numeric"),
        (cycled("0,5", "0", "-0,1", "12"), "numeric"),
        (cycled("00:10", "08:30", "12:00"), "category"),
        (cycled("2024-01-02T00:10:00", "2024-01-03T08:00:00"), "time"),
        (cycled("01.02.2024", "13.05.2024"), "time"),
    ],
)
def test_a_zero_before_decimals_or_in_a_time_is_no_code(
    tmp_path: Path, cells: list[str], role: str
) -> None:
    summary, out = built(tmp_path, write(tmp_path, with_cells(cells), sep=";"), target="churn")
    (column,) = (c for c in TableSchema.load(out / "assets").inputs if c.name == "x")
    assert column.role == role
    assert not any("taken for codes" in note for note in summary["notes"])


def test_a_person_may_say_that_codes_are_numbers(tmp_path: Path) -> None:
    file = write(tmp_path, with_cells(cycled("007", "012", "3")))
    (file.parent / "schema.json").write_text('{"columns": [{"name": "x", "role": "numeric"}]}')
    summary, out = built(tmp_path, file, target="churn")
    assert set(values(out)) == {7, 12, 3}
    assert "x: cells with a leading zero, such as '007', were read as numbers" in summary["notes"]


def as_csv(tmp_path: Path, codes: list[int]) -> Path:
    return write(tmp_path, with_cells(list(map(str, codes))))


def as_parquet(kind: pa.DataType) -> Callable[[Path, list[int]], Path]:
    def save(tmp_path: Path, codes: list[int]) -> Path:
        frame = with_cells(codes)
        cells: list[Any] = codes
        if pa.types.is_decimal(kind):
            cells = [Decimal(code) for code in codes]
        table = pa.table({"age": frame["age"], "churn": frame["churn"], "x": pa.array(cells, kind)})
        pyarrow.parquet.write_table(table, tmp_path / "table.parquet")
        return tmp_path / "table.parquet"

    return save


@pytest.mark.parametrize(
    "save",
    [
        as_csv,
        as_parquet(pa.int64()),
        as_parquet(pa.uint64()),
        as_parquet(pa.decimal128(38, 0)),
    ],
)
def test_whole_numbers_beyond_2_to_the_53_are_codes(
    tmp_path: Path, save: Callable[[Path, list[int]], Path]
) -> None:
    codes = [LONG + n % 12 for n in range(400)]
    summary, out = built(tmp_path, save(tmp_path, codes), target="churn")
    assert set(values(out)) == {str(code) for code in codes}
    assert any("x: taken for codes" in note for note in summary["notes"])
    host = TabularHost(out / "assets")
    bodies = [{"age": 40, "x": str(LONG + n)} for n in range(12)]
    x = host.encoder.transform(host.columns([host.Request.model_validate(b) for b in bodies]))
    assert len(np.unique(x, axis=0)) == 12
    (tmp_path / "again").mkdir()
    different = save(tmp_path / "again", [LONG + n for n in range(400)])
    _, out = built(tmp_path / "again", different, target="churn")
    assert "id-like" in TableSchema.load(out / "assets").dropped["x"]


def test_long_codes_that_a_person_calls_numbers_are_refused(tmp_path: Path) -> None:
    file = as_csv(tmp_path, [LONG + n % 12 for n in range(400)])
    (file.parent / "schema.json").write_text('{"columns": [{"name": "x", "role": "numeric"}]}')
    with pytest.raises(
        BadData, match=r"row 1, column 'x': '1582218195625938000' is a code: .*2\^53"
    ):
        built(tmp_path, file, target="churn")


def test_whole_numbers_that_32_bits_would_merge_are_codes(tmp_path: Path) -> None:
    accounts = [
        (4_000_000_000_000_000 if n % 2 else 5_000_000_000_000_000) + n % 6 for n in range(400)
    ]
    assert column_of(tmp_path, accounts).role == "category"


def test_one_value_far_away_does_not_merge_the_others(tmp_path: Path) -> None:
    cells = np.round(np.random.default_rng(0).normal(20, 2, 400), 3)
    cells[7] = 1e20
    summary, out = built(tmp_path, write(tmp_path, with_cells(cells)), target="churn")
    (column,) = (c for c in TableSchema.load(out / "assets").inputs if c.name == "x")
    assert column.transform == "log"
    assert any(note.startswith("x: its logarithm is taken") for note in summary["notes"])
    place = Encoder.load(out / "assets").names.index("x")
    x = load_split(out, "train")[0][:, place]
    assert len(np.unique(x)) > 0.95 * len(np.unique(values(out)[: len(x)]))


@pytest.mark.parametrize("transform", ["standardize", "log", "identity"])
def test_an_odometer_keeps_its_last_digits_in_training_and_in_service(
    tmp_path: Path, transform: str
) -> None:
    kilometres = 1_500_000_000 + np.random.default_rng(1).permutation(400)
    file = write(tmp_path, with_cells(kilometres))
    _, out = built(tmp_path, file, target="churn", numeric=transform)
    place = Encoder.load(out / "assets").names.index("x")
    x = load_split(out, "train")[0][:, place]
    assert len(np.unique(x)) == len(x) == 260
    host = TabularHost(out / "assets")
    rows = [
        host.Request.model_validate(body) for body in make(target="churn").requests(out, "train")
    ]
    assert np.array_equal(host.encoder.transform(host.columns(rows))[:, place], x)


def mixed(tmp_path: Path) -> tuple[dict[str, Any], Path, Path]:
    r = np.random.default_rng(2)
    cells = [f"{value:.3f}" for value in r.normal(0, 1, 400)]
    for n in range(0, 400, 9):
        cells[n] = "none recorded"
    cells[1:4] = ["not asked"] * 3
    cells[5] = ""
    file = write(tmp_path, with_cells(cells))
    return *built(tmp_path, file, target="churn"), file


def test_words_among_numbers_have_an_input_of_their_own(tmp_path: Path) -> None:
    summary, out, file = mixed(tmp_path)
    note = "x: a word in place of a number in 48 cells: 'none recorded' (45), 'not asked' (3)"
    assert note in summary["notes"]
    schema, encoder = TableSchema.load(out / "assets"), Encoder.load(out / "assets")
    (column,) = (column for column in schema.inputs if column.name == "x")
    assert (column.role, column.words) == ("numeric", ["none recorded", "not asked"])
    assert (column.minimum or 0) < -1
    names = ["x", "x=none recorded", "x=not asked", "x is missing"]
    assert [encoder.names[place] for place in encoder.groups["x"]] == names
    frame = pd.read_csv(file, dtype=str, keep_default_na=False)["x"]
    written = load_columns(out, "train", schema)["x"]
    assert {cell for cell in written if isinstance(cell, str)} == set(column.words)
    known = {float(cell) for cell in frame if cell not in ("", *column.words)}
    assert {cell for cell in written if isinstance(cell, float)} <= known
    x = encoder.transform({"age": [40] * 4, "x": [1.5, "none recorded", "not asked", None]})
    assert x[:, encoder.groups["x"]][:, 1:].tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    spread = np.std([cell for cell in written if isinstance(cell, float)])
    assert x[0, encoder.groups["x"][0]] - x[1, encoder.groups["x"][0]] == pytest.approx(
        (1.5 - encoder.parts["x"].number.median) / spread, rel=1e-3
    )


def test_a_request_holds_a_number_or_one_of_the_words(tmp_path: Path) -> None:
    _, out, file = mixed(tmp_path)
    host = TabularHost(out / "assets")
    for body in make(target="churn").requests(out, "test"):
        assert host.Request.model_validate(body).model_dump(by_alias=True) == body
    assert host.Request.model_validate({"age": 4, "x": 2}).model_dump()["x"] == 2
    with pytest.raises(ValidationError, match="must be a number, or one of 'none recorded', 'not"):
        host.Request.model_validate({"age": 4, "x": "unheard of"})
    with pytest.raises(Refusal, match="field 'x': must be a number, or one of") as refused:
        Reader(host.Request)([{"age": 4, "x": "12"}], many=False)
    assert [problem.field for problem in refused.value.problems] == ["x"]

    def run(graph: str, inputs: Arrays) -> Arrays:
        return {"probabilities": np.tile(np.float32([0.4, 0.6]), (len(inputs["features"]), 1))}

    seen = []
    for x in (1.5, "not asked", None):
        request = host.Request.model_validate({"age": 40, "x": x})
        row = host.describe(request, host.predict(run, [request])[0])
        seen.append((row["x"], row["x: word"]))
    assert seen == [(1.5, None), (None, "not asked"), (None, None)]
    schema = TableSchema.load(out / "assets")
    assert [row["x"] for row in read_rows(file, schema)[:6]][:5] == [
        "none recorded",
        "not asked",
        "not asked",
        "not asked",
        read_rows(file, schema)[4]["x"],
    ]
    new = tmp_path / "new.csv"
    new.write_text("age,x\n40,refused\n")
    with pytest.raises(
        BadData, match="row 1, column 'x': 'refused' is not a number and none of the"
    ):
        read_rows(new, schema)


def test_words_may_be_edited_and_stand_for_numbers_only(tmp_path: Path) -> None:
    cells = [f"{n / 7:.3f}" for n in range(400)]
    cells[3] = "broken"
    file = write(tmp_path, with_cells(cells))
    with pytest.raises(BadData, match="row 4, column 'x': 'broken' is not a number"):
        built(tmp_path, file, target="churn")
    schema = {"columns": [{"name": "x", "words": ["broken"]}]}
    (file.parent / "schema.json").write_text(json.dumps(schema))
    summary, _ = built(tmp_path, file, target="churn")
    assert "x: a word in place of a number in 1 cell: 'broken' (1)" in summary["notes"]
    with pytest.raises(ValidationError, match="words may stand in place of numbers only"):
        Column(name="x", role="category", words=["broken"])


@pytest.mark.parametrize(
    "cells",
    [
        [f"{n / 7:.3f}" if n % 3 else f"remark {n}" for n in range(400)],
        [f"{n % 9}" if n % 3 else "many" for n in range(400)],
        [f"{n / 7:.3f}" if n % 3 else f"{n % 5} lb" for n in range(400)],
    ],
)
def test_other_mixed_columns_stay_text(tmp_path: Path, cells: list[str]) -> None:
    column = column_of(tmp_path, cells)
    assert column.role in ("category", "text", "drop")
    assert not column.words


def test_a_service_takes_times_with_the_name_of_a_zone(tmp_path: Path) -> None:
    times = [f"2024-03-{1 + n % 30:02d}T08:00:00+01:00[Europe/Berlin]" for n in range(400)]
    _, out = built(tmp_path, write(tmp_path, with_cells(times)), target="churn")
    assert values(out).dt.hour.unique().tolist() == [7]
    host = TabularHost(out / "assets")
    written = ["2024-07-01T08:00:00[Europe/Berlin]", "2024-07-01T08:00:00+02:00[Europe/Berlin]"]
    rows = [
        host.Request.model_validate({"age": 1, "x": text})
        for text in [*written, "2024-07-01T06:00:00Z"]
    ]
    x = host.encoder.transform(host.columns(rows))
    assert len(np.unique(x, axis=0)) == 1
    with pytest.raises(ValidationError, match="is not an ISO 8601 date or time"):
        host.Request.model_validate({"age": 1, "x": "2024-07-01T08:00:00[Europe/Nowhere]"})


def german(value: float, places: int = 2) -> str:
    return f"{value:,.{places}f}".translate(str.maketrans(",.", ".,"))


def test_a_table_from_a_german_office_keeps_every_value(tmp_path: Path) -> None:
    r = np.random.default_rng(5)
    truth = pd.DataFrame(
        {
            "Umsatz": np.round(r.lognormal(7, 1, 300), 2),
            "Marge": np.round(r.normal(10, 8, 300), 1),
            "Stück": r.integers(20, 4000, 300),
            "Ergebnis": np.round(r.normal(500, 900, 300), 2),
        }
    )
    frame = truth.assign(
        Umsatz=[f"{german(value)} €" for value in truth["Umsatz"]],
        Marge=[f"{german(value, 1)} %" for value in truth["Marge"]],
        Stück=[german(value, 0) for value in truth["Stück"]],
        Ergebnis=[german(value) for value in truth["Ergebnis"]],
    )
    file = write(tmp_path, frame, sep=";", encoding="utf-8-sig")
    summary, out = built(tmp_path, file, target="Ergebnis")
    assert not [note for note in summary["notes"] if "nothing in the file proves" in note]
    for name in ("Umsatz", "Marge", "Stück"):
        assert sorted(values(out, name)) == pytest.approx(sorted(truth[name]))
    schema = TableSchema.load(out / "assets")
    found = pd.DataFrame(read_rows(file, schema))
    assert np.allclose(found[["Umsatz", "Marge", "Stück"]], truth[["Umsatz", "Marge", "Stück"]])
    alone = frame[["Stück"]].assign(Ergebnis=truth["Ergebnis"].round().astype(int))
    summary, out = built(tmp_path, write(tmp_path, alone, sep=";"), target="Ergebnis")
    (doubt,) = (note for note in summary["notes"] if "nothing in the file proves" in note)
    assert doubt.startswith("Stück: numbers such as '")
    assert doubt.endswith('; set its "format" in the schema if they are')
    column = {"name": "Stück", "format": "1.234,5"}
    (file.parent / "schema.json").write_text(json.dumps({"columns": [column]}))
    summary, out = built(tmp_path, file, target="Ergebnis")
    assert sorted(values(out, "Stück")) == sorted(truth["Stück"])
    schema = TableSchema.load(out / "assets")
    new = tmp_path / "new.csv"
    for cell in ("1.234", "1,234.0", "1234.0"):
        new.write_text(f"Stück;Ergebnis\n{cell};1\n")
        assert read_rows(new, schema)[0]["Stück"] == 1234
    alone.loc[7, "Stück"] = "12.5"
    with pytest.raises(BadData, match=r"row 8, column 'Stück': '12\.5' is not a number; .* says"):
        built(tmp_path, write(tmp_path, alone, sep=";"), target="Ergebnis")
    assert not [note for note in summary["notes"] if "nothing in the file proves" in note]


@pytest.mark.parametrize(
    ("name", "cells", "role"),
    [
        ("Kundennr", range(100_001, 100_401), "drop"),
        ("Kundennr", np.random.default_rng(0).permutation(10**6)[:400], "drop"),
        ("order no.", np.random.default_rng(0).permutation(10**6)[:400], "drop"),
        ("rooms number", [n % 9 for n in range(400)], "numeric"),
        ("piano", np.random.default_rng(0).permutation(10**6)[:400], "numeric"),
    ],
)
def test_numbers_of_customers_and_rows_are_no_quantities(
    tmp_path: Path, name: str, cells: Any, role: str
) -> None:
    frame = with_cells(np.array(list(cells))).rename(columns={"x": name})
    _, out = built(tmp_path, write(tmp_path, frame), target="churn")
    schema = TableSchema.load(out / "assets")
    assert {column.name: column.role for column in schema.columns}[name] == role
