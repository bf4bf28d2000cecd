"""Rows to answer are read as the rows to train on were, and numbers as people write them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from modelyard.errors import BadData
from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.data import TabularData
from modelyard.families.tabular.schema import TableSchema
from modelyard.kit.columns.host import request_model
from modelyard.kit.columns.rows import read_rows
from modelyard.kit.columns.schema import Column
from modelyard.kit.columns.values import numbers
from modelyard.kit.numerals import CONTINENTAL, ENGLISH, FRENCH
from modelyard.kit.tables import Notation, Table, TableFile, as_numbers, notation, plainly
from tests.unit.tabular.conftest import POSITIVE, SPLITS, built, customers, roles, write


def _continental(value: float) -> str:
    return f"{value:,.2f}".replace(",", " ").replace(".", ",").replace(" ", ".")


def _table(cells: list[str], delimiter: str = ",") -> Table:
    file = TableFile(Path("x.csv"), len(cells))
    return Table(pa.table({"x": cells}), [file], delimiter=delimiter)


def _german(rows: int = 200) -> pd.DataFrame:
    frame = customers(rows).assign(
        zip=[f"{n % 7:05d}" for n in range(rows)],
        since=[f"{1 + n % 28:02d}/{1 + n % 12:02d}/2024" for n in range(rows)],
        income=[
            _continental(value) if value == value else "NA" for value in customers(rows)["income"]
        ],
    )
    return frame.drop(columns="note")


def test_a_file_to_answer_is_read_as_the_file_that_was_trained_on(tmp_path: Path) -> None:
    file = write(tmp_path, _german(), sep=";", encoding="cp1252")
    _, out = built(tmp_path, file, target="churn")
    schema = TableSchema.load(out / "assets")
    names = [column.name for column in schema.inputs]
    trained = [
        body for split in SPLITS for body in TabularData(TabularConfig()).requests(out, split)
    ]
    answered = [{name: row[name] for name in names} for row in read_rows(file, schema)]
    assert sorted(map(str, answered)) == sorted(map(str, trained))
    assert {row["city"] for row in answered} == {"Köln", "Oslo", "Paris", None}
    assert "00003" in {row["zip"] for row in answered}


@pytest.mark.parametrize("target", ["c1", "c3"])
def test_rows_to_answer_without_a_header_are_those_of_a_model_trained_without_one(
    tmp_path: Path, target: str
) -> None:
    lines = []
    for n in range(120):
        cells = [f"{n % 11}.5", "pqr"[n % 3], f"{n * 7 % 13}.25"]
        cells.insert(int(target[1]) - 1, "ab"[n % 2])
        lines.append(cells)
    (tmp_path / "t.data").write_text("".join(",".join(cells) + "\n" for cells in lines))
    _, out = built(tmp_path, tmp_path / "t.data", target=target)
    schema = TableSchema.load(out / "assets")

    def answered(rows: list[list[str]]) -> list[dict[str, object]]:
        file = tmp_path / "new.csv"
        file.write_text("".join(",".join(cells) + "\n" for cells in rows))
        return list(read_rows(file, schema))

    whole = answered(lines)
    without = [cells[: int(target[1]) - 1] + cells[int(target[1]) :] for cells in lines]
    for row in whole:
        del row[target]
    assert answered(without) == whole
    # The first row looks like names, by itself too.
    assert answered(without[:2]) == whole[:2]
    assert answered(without[:1]) == whole[:1]
    with pytest.raises(BadData, match=f"2 columns and no header.* all but {target}"):
        answered([["1.5", "2.5"], ["2.5", "3.5"]])
    named = answered([["size", "kind", "weight"], *without])
    assert [*named[0]] == ["size", "kind", "weight"]


def test_a_parquet_file_to_answer_says_what_the_csv_says(tmp_path: Path) -> None:
    frame = customers(100).assign(zip=[n % 7 for n in range(100)])
    file = write(tmp_path, frame)
    (file.parent / "schema.json").write_text('{"columns": [{"name": "zip", "role": "category"}]}')
    _, out = built(tmp_path, file.parent, target="churn")
    schema = TableSchema.load(out / "assets")
    typed = frame.assign(joined=pd.to_datetime(frame["joined"]), member=frame["member"] == "true")
    typed.to_parquet(tmp_path / "new.parquet")
    for parquet, csv in zip(
        read_rows(tmp_path / "new.parquet", schema), read_rows(file, schema), strict=True
    ):
        assert parquet == csv


def test_what_can_be_read_in_two_ways_is_read_as_in_the_training_data(tmp_path: Path) -> None:
    _, out = built(tmp_path, write(tmp_path, _german(), sep=";", encoding="cp1252"), target="churn")
    schema = TableSchema.load(out / "assets")
    one = tmp_path / "one.csv"
    one.write_text("age;income;since\n40;1.234;03/04/2024\n")
    assert read_rows(one, schema)[0] == {
        "age": 40.0,
        "income": 1234.0,
        "since": "2024-04-03T00:00:00",
    }


def test_a_row_that_cannot_be_answered_is_named_by_its_place(tmp_path: Path) -> None:
    _, out = built(tmp_path, write(tmp_path, customers()), target="churn")
    file = tmp_path / "new.csv"
    for cells, words in {
        "forty,true": "row 2, column 'age': 'forty' is not a number",
        "41,maybe": "row 2, column 'member': 'maybe' is neither true nor false",
        ",true": "row 2, column 'age': the cell is empty",
    }.items():
        file.write_text(f"age,member\n40,false\n{cells}\n")
        with pytest.raises(BadData, match=words):
            read_rows(file, TableSchema.load(out / "assets"))


@pytest.mark.parametrize(
    ("cells", "delimiter", "style", "values"),
    [
        (["1,234.50", "7.25", "12,345,678"], ",", ENGLISH, [1234.5, 7.25, 12345678]),
        (["1.234,50", "7,25", "-12.345.678"], ";", CONTINENTAL, [1234.5, 7.25, -12345678]),
        (["1,234", "567", "89"], ",", ENGLISH, [1234, 567, 89]),
        (["1 234,50", "7,25", "12\u202f345\u00a0678"], ";", FRENCH, [1234.5, 7.25, 12345678]),
        (["1 234.50", "7.25"], ",", "1 234.5", [1234.5, 7.25]),
        (["1'234.50", "12’345", "8"], ",", "1'234.5", [1234.5, 12345, 8]),
        (["1 234,50", "7 890,25"], ";", FRENCH, [1234.5, 7890.25]),
        (["3 200", "4 150"], ";", "1 234.5", [3200, 4150]),
        (["1'234,50", "8"], ";", "1'234,5", [1234.5, 8]),
        (["1,23,456.5", "12,34,567", "999"], ",", ENGLISH, [123456.5, 1234567, 999]),
        (["560 001", "560 002"], ",", "", None),
        (["600 123 456", "601 123 457"], ",", "", None),
        (["110 00", "602 00"], ",", "", None),
        (["1,234", "567,800"], ";", CONTINENTAL, [1.234, 567.8]),
        (["1.234", "567.800"], ";", "", [1.234, 567.8]),
        (["0,125", "3,5"], ",", CONTINENTAL, [0.125, 3.5]),
        (["1234", "5678"], ",", "", [1234, 5678]),
    ],
)
def test_separators_between_thousands_are_told_from_decimals(
    cells: list[str], delimiter: str, style: str, values: list[float] | None
) -> None:
    written = notation(_table(cells, delimiter), "x")
    assert written == Notation(style)
    found = as_numbers(plainly(pa.array(cells), written).cells)
    assert np.array_equal(found, values or [np.nan] * len(cells), equal_nan=True)


def test_a_schema_may_say_how_numbers_are_written_and_an_empty_format_says_nothing(
    tmp_path: Path,
) -> None:
    frame = customers().assign(price=[f"{1 + n % 9},{100 + n % 800}" for n in range(400)])
    file = write(tmp_path, frame)
    for given, largest in (("", 9_000.0), (CONTINENTAL, 9.9)):
        column = {"name": "price", "role": "numeric", "format": given}
        (file.parent / "schema.json").write_text(json.dumps({"columns": [column]}))
        _, out = built(tmp_path, file, target="churn")
        assert pd.read_parquet(out / "train.parquet")["price"].max() == pytest.approx(
            largest, rel=0.1
        )


def test_a_schema_with_a_format_of_no_numbers_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, customers())
    column = {"name": "income", "format": "1234"}
    (file.parent / "schema.json").write_text(json.dumps({"columns": [column]}))
    with pytest.raises(
        BadData, match=r"column 'income': .*format '1234' is none of numbers. Allowed: \"1,234.5\""
    ):
        built(tmp_path, file, target="churn")


def test_a_target_may_have_separators_between_thousands(tmp_path: Path) -> None:
    frame = customers().assign(price=lambda f: [f"{1000 + 37.5 * age:,.2f}" for age in f["age"]])
    summary, out = built(tmp_path, write(tmp_path, frame.drop(columns="churn")), target="price")
    assert summary["task"] == "regression"
    assert pd.read_parquet(out / "train.parquet")["price"].min() > 1000


@pytest.mark.parametrize(
    ("cells", "unit", "style", "values"),
    [
        (["44 %", "7.5%", "100 %"], "%", "", [44, 7.5, 100]),
        (["$1,250.00", "-$7.25", "$ 12"], "$", ENGLISH, [1250, -7.25, 12]),
        (["1.250,00 €", "7,25 €", "-3,50€"], "€", CONTINENTAL, [1250, 7.25, -3.5]),
        (["1.250,00-€", "(7,25 €)", "\u22123,50€"], "€", CONTINENTAL, [-1250, -7.25, -3.5]),
        (["1 250,00 €", "7,25 €"], "€", FRENCH, [1250, 7.25]),
        (["CHF 1'250.00", "CHF 7.25"], "CHF", "1'234.5", [1250, 7.25]),
        (["EUR 12.50", "EUR 3", "EUR -1"], "EUR", "", [12.5, 3, -1]),
        (["12 km/h", "7.5 km/h"], "km/h", "", [12, 7.5]),
        (["21,5°C", "-3°C"], "°C", CONTINENTAL, [21.5, -3]),
        (["36 months", "60 months"], "months", "", [36, 60]),
        (["1 room", "2 rooms", "4 rooms"], "rooms", "", [1, 2, 4]),
        (["3 lb", "4 lbs"], "lbs", "", [3, 4]),
        (["3 ms", "4 m"], "", "", None),
        (["12 kg", "800 g"], "", "", None),
        (["1.2.3 beta", "1.2.4 beta"], "", "", None),
        (["12A", "14B"], "", "", None),
        (["SKU1201", "SKU1202"], "", "", None),
        (["12", "13"], "", "", [12, 13]),
    ],
)
def test_a_unit_is_told_from_its_number(
    cells: list[str], unit: str, style: str, values: list[float] | None
) -> None:
    table = _table(cells)
    column = Column(name="x", role="numeric", unit=unit, format=style)
    if values is None:
        with pytest.raises(BadData, match="is not a number"):
            numbers(column, table)
    else:
        assert notation(table, "x") == Notation(style, unit)
        assert numbers(column, table).tolist() == values


def test_numbers_with_a_unit_are_quantities_to_learn_from_to_predict_and_to_ask_with(
    tmp_path: Path,
) -> None:
    frame = customers().assign(
        weight=lambda f: [f"{age / 2:.1f} kg" for age in f["age"]],
        price=lambda f: [f"€ {1000 + 37.5 * age:,.2f}" for age in f["age"]],
    )
    frame.loc[5, "weight"] = "20.5"
    file = write(tmp_path, frame.drop(columns="churn"))
    summary, out = built(tmp_path, file, target="price")
    assert summary["task"] == "regression"
    assert pd.read_parquet(out / "train.parquet")["price"].between(1000, 5000).all()
    schema = TableSchema.load(out / "assets")
    (weight,) = (column for column in schema.inputs if column.name == "weight")
    assert (weight.role, weight.unit) == ("numeric", "kg")
    assert (
        "weight: numbers were read without their unit 'kg'; 1 cell without one taken for the same"
        in (summary["notes"])
    )
    assert (
        request_model(schema, "One row")
        .model_fields["weight"]
        .description.startswith("a number, in kg: in training ")
    )
    new = tmp_path / "new.csv"
    for cell, value in {"31.5 kg": 31.5, "31.5": 31.5}.items():
        new.write_text(f"age,weight\n63,{cell}\n")
        assert read_rows(new, schema)[0]["weight"] == value
    new.write_text("age,weight\n63,69.4 lb\n")
    with pytest.raises(BadData, match="row 1, column 'weight': '69.4 lb' is not a number"):
        read_rows(new, schema)


def test_classes_keep_their_unit(tmp_path: Path) -> None:
    frame = customers().assign(rate=lambda f: np.where(f["churn"] == "left", "5 %", "10 %"))
    _, out = built(tmp_path, write(tmp_path, frame.drop(columns="churn")), target="rate")
    assert set(TableSchema.load(out / "assets").classes) == {"5 %", "10 %"}


def test_a_column_that_tells_the_target_by_itself_is_named(tmp_path: Path) -> None:
    r = np.random.default_rng(0)
    frame = customers().assign(code=lambda f: (f["churn"] == "left") * 1)
    frame["after"] = frame["code"] * 0.8 + r.normal(0, 0.01, 400)
    summary, _ = built(tmp_path, write(tmp_path, frame), target="churn")
    assert summary["headline"].endswith(
        "; by itself determines churn: code, after (known beforehand?)" + POSITIVE
    )
    assert [note.split()[0] for note in summary["warnings"]] == ["code", "after"]


def test_a_copy_of_a_quantity_to_predict_is_named_and_a_good_predictor_is_not(
    tmp_path: Path,
) -> None:
    r = np.random.default_rng(0)
    frame = customers().assign(price=lambda f: 3.0 * f["age"] + r.normal(0, 1, 400))
    frame["gross"] = frame["price"] * 1.19
    summary, _ = built(tmp_path, write(tmp_path, frame), target="price")
    assert "by itself determines price: gross (" in summary["headline"]


@pytest.mark.parametrize(("yes", "no"), [("yes", "no"), ("1", "0"), ("True", "False")])
def test_yes_is_the_positive_class_even_where_it_is_frequent(
    tmp_path: Path, yes: str, no: str
) -> None:
    frame = customers().assign(churn=lambda f: np.where(f["churn"] == "left", no, yes))
    _, out = built(tmp_path, write(tmp_path, frame), target="churn")
    assert TableSchema.load(out / "assets").classes == [no, yes]


def test_dates_in_several_formats_are_left_out_with_a_word(tmp_path: Path) -> None:
    frame = customers()
    iso = pd.to_datetime(frame["joined"]).dt
    frame["joined"] = np.where(
        np.arange(400) % 2, iso.strftime("%Y-%m-%d"), iso.strftime("%d.%m.%Y")
    )
    _, out = built(tmp_path, write(tmp_path, frame), target="churn")
    assert "several formats" in TableSchema.load(out / "assets").dropped["joined"]


@pytest.mark.parametrize("clock", ["%m/%d/%Y %I:%M %p", "%Y-%m-%d %I:%M:%S %p"])
def test_times_with_am_and_pm_are_times(tmp_path: Path, clock: str) -> None:
    frame = customers()
    expected = pd.to_datetime(frame["joined"]).dt.floor("min" if "%S" not in clock else "s")
    frame["joined"] = expected.dt.strftime(clock).str.lower()
    _, out = built(tmp_path, write(tmp_path, frame), target="churn")
    assert roles(out)["joined"] == "time"
    found = pd.concat(pd.read_parquet(out / f"{split}.parquet")["joined"] for split in SPLITS)
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("form", ["%d/%m/%y %H:%M", "%m/%d/%y %I:%M %p", "%d.%m.%y"])
def test_years_of_two_digits_are_read_and_said(tmp_path: Path, form: str) -> None:
    frame = customers()
    days = pd.to_datetime(frame["joined"])
    days = days.dt.floor("min") if "%M" in form else days.dt.floor("D")
    frame["joined"] = days.dt.strftime(form)
    summary, out = built(tmp_path, write(tmp_path, frame), target="churn")
    assert roles(out)["joined"] == "time"
    found = pd.concat(pd.read_parquet(out / f"{split}.parquet")["joined"] for split in SPLITS)
    assert sorted(found) == sorted(days)
    assert "joined: two-digit years were read as 1969 to 2068" in summary["notes"]
    new = read_rows(tmp_path / "raw/customers.csv", TableSchema.load(out / "assets"))
    assert [row["joined"][:10] for row in new] == days.dt.strftime("%Y-%m-%d").tolist()


@pytest.mark.parametrize("form", ["%y-%m-%d", "%d/%m/%y"])
def test_years_of_two_digits_that_may_be_days_are_left_out_with_a_word(
    tmp_path: Path, form: str
) -> None:
    frame = customers()
    days = pd.to_datetime(frame["joined"])
    frame["joined"] = days.map(lambda day: day.replace(day=day.day % 12 + 1)).dt.strftime(form)
    _, out = built(tmp_path, write(tmp_path, frame), target="churn")
    assert "two-digit years" in TableSchema.load(out / "assets").dropped["joined"]
