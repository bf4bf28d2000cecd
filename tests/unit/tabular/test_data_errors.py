"""Data that cannot be used is refused in one line, with its place."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from modelyard.errors import BadData, UsageError
from modelyard.families.tabular.schema import TableSchema
from tests.unit.tabular.conftest import built, customers, further, write

ROWS = "".join(f"{n % 7}.5,{'ab'[n % 2]},{n % 3}\n" for n in range(60))
GOOD = "x,y,z\n" + ROWS


def refused(
    tmp_path: Path, content: str | bytes, name: str = "table.csv", **features: object
) -> str:
    file = tmp_path / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(BadData) as caught:
        built(tmp_path, file, **{"target": "y", **features})
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_table_that_the_faults_are_made_from_is_good(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(GOOD)
    summary, _ = built(tmp_path, tmp_path / "table.csv", target="y")
    assert sum(summary["rows"].values()) == 60


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("only\n" + "1\n" * 40, "only one column was found.*comma, semicolon"),
        (
            GOOD.replace("4.5,a,1", "4.5o,a,1", 1),
            "row 5, column 'x': '4.5o' is not a number.*schema.json",
        ),
        (GOOD.replace("1.5,b,1", "inf,b,1", 1), "row 2, column 'x': the cell is infinite"),
        ("x,y,z\n" + ROWS.replace(",b,", ",a,"), "column 'y': the target has only one class, 'a'"),
        ("x,y,z\n" + "".join(ROWS.splitlines(True)[:18]), "18 rows can be used; at least 20"),
        (GOOD + "1.5,c,1\n" * 4, "class 'c' has 4 of 64 rows; each class needs 6"),
        (
            "x,y,z\n" + re.sub(",[ab],[12]", ",,1", ROWS),
            "column 'y': 40 of 60 rows have no value.* remove the rows",
        ),
    ],
)
def test_a_faulty_csv_is_refused(tmp_path: Path, content: str | bytes, said: str) -> None:
    message = refused(tmp_path, content)
    assert re.search(said, message), message


def test_a_small_tail_of_rare_classes_is_left_out_and_counted(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(GOOD + "1.5,c,1\n2.5,d,1\n3.5,d,2\n4.5,,2\n")
    summary, out = built(tmp_path, tmp_path / "table.csv", target="y")
    assert sum(summary["rows"].values()) == 60
    assert summary["dropped"] == {"of rare classes": 3, "without y": 1}
    assert "2 classes of fewer than 6 rows left out (c: 1, d: 2)" in summary["headline"]
    assert any("To learn them, add rows" in note for note in summary["notes"])
    assert TableSchema.load(out / "assets").classes == ["a", "b"]


def test_a_rare_class_that_settings_or_a_schema_name_is_refused(tmp_path: Path) -> None:
    rare = GOOD + "1.5,c,1\n"
    assert "class 'c' has 1 of 61 rows" in refused(tmp_path, rare, positive="c")
    named = {"target": "y", "task": "classification", "classes": ["a", "b", "c"]}
    (tmp_path / "table.schema.json").write_text(json.dumps(named))
    assert "class 'c' has 1 of 61 rows" in refused(tmp_path, rare)


def test_a_missing_target_lists_the_columns(tmp_path: Path) -> None:
    message = refused(tmp_path, GOOD, target="Y")
    assert "column 'Y': the table has no such column" in message
    assert "Did you mean 'y'? Columns: x, y, z" in message
    assert "say which column is to be predicted. Type --target NAME" in refused(
        tmp_path, GOOD, target=None
    )


def test_too_many_classes_point_to_regression(tmp_path: Path) -> None:
    many = "x,y,z\n" + "".join(f"{n % 7},{n},{n % 3}\n" for n in range(600))
    assert "600 classes; at most 100" in refused(tmp_path, many, task="classification")
    assert "features.task=regression" in refused(tmp_path, many, task="classification")
    assert "holds no numbers ('a')" in refused(tmp_path, GOOD, task="regression")


def test_targets_whose_squares_leave_float64_are_refused(tmp_path: Path) -> None:
    values = [f"{n % 7},{n}.5,{n % 3}\n" for n in range(60)]
    huge = "x,y,z\n" + "".join([*values, "1,1e300,2\n"])
    assert "row 61, column 'y': 1e+300 is too large" in refused(tmp_path, huge)
    word = "x,y,z\n" + "".join([*values, "1,many,2\n"])
    assert "row 61, column 'y': 'many' is not a number" in refused(tmp_path, word)
    assert "features.drop" not in refused(tmp_path, word)


def test_the_row_of_a_bad_cell_is_counted_in_its_own_file(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "one.csv").write_text(GOOD)
    (folder / "two.csv").write_text(GOOD.replace("2.5,a,2", "2.5!,a,2", 1))
    with pytest.raises(BadData, match=r"two\.csv, row 3, column 'x': '2\.5!'"):
        built(tmp_path, folder, target="y")


def test_placeholders_in_a_numeric_column_are_empty_cells_and_said_so(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(GOOD.replace("3.5,", "?,"))
    summary, out = built(tmp_path, tmp_path / "table.csv", target="y")
    assert "x: 9 cells such as '?' or 'unknown' read as empty" in summary["notes"]
    assert (
        sum(
            pd.read_parquet(out / f"{s}.parquet")["x"].isna().sum()
            for s in ("train", "validation", "test")
        )
        == 9
    )


def test_a_bad_date_is_told_with_its_row(tmp_path: Path) -> None:
    frame = customers()
    frame.loc[6, "joined"] = "2024-02-30T00:00:00"
    with pytest.raises(
        BadData, match=r"row 7, column 'joined': '2024-02-30T00:00:00' is not a date"
    ):
        built(tmp_path, write(tmp_path, frame), target="churn")


def test_day_first_dates_are_read_and_doubtful_ones_noted(tmp_path: Path) -> None:
    frame = customers()
    days = pd.to_datetime(frame["joined"])
    frame["joined"] = days.dt.strftime("%d/%m/%Y %H:%M")
    summary, out = built(tmp_path, write(tmp_path, frame), target="churn")
    months = pd.concat(
        [pd.read_parquet(out / f"{s}.parquet") for s in ("train", "validation", "test")]
    )["joined"]
    assert sorted(months) == sorted(days.dt.floor("min"))
    assert further(summary["notes"]) == []
    frame["joined"] = days.map(lambda day: day.replace(day=day.day % 12 + 1)).dt.strftime(
        "%d/%m/%Y"
    )
    summary, _ = built(tmp_path, write(tmp_path, frame), target="churn")
    assert "were read as month/day/year" in " ".join(summary["notes"])
    frame["joined"] = frame["joined"].str.replace("/", "-")
    frame.loc[3, "joined"] = ""
    summary, _ = built(tmp_path, write(tmp_path, frame), target="churn")
    assert "were read as month/day/year" in " ".join(summary["notes"])


def test_a_class_that_a_later_split_lacks_is_told(tmp_path: Path) -> None:
    frame = customers().sort_values("joined")
    frame["churn"] = ["left"] * 40 + ["stayed"] * 360
    with pytest.raises(BadData, match=r"validation split .* without class 'left'"):
        built(tmp_path, write(tmp_path, frame), target="churn", time_column="joined")


def test_settings_that_name_no_column_are_told(tmp_path: Path) -> None:
    file = write(tmp_path, customers())
    with pytest.raises(UsageError, match=r"'features\.drop': column 'agee'.*Did you mean 'age'"):
        built(tmp_path, file, target="churn", drop=["agee"])
    with pytest.raises(UsageError, match=r"'features\.time_column': column 'when'"):
        built(tmp_path, file, target="churn", time_column="when")
    names = [name for name in customers().columns if name != "churn"]
    with pytest.raises(BadData, match="no column is left to predict from"):
        built(tmp_path, file, target="churn", drop=names)
